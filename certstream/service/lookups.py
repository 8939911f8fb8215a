"""Look-ups: the calls by `Identifier` that decide what a page may not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial

from certstream.core import deletion
from certstream.core.answers import Answer, Denied
from certstream.core.draft import Draft
from certstream.core.errors import Transient
from certstream.core.normal import Unreadable, read
from certstream.service.budget import Urgency
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.doubts import Doubts
from certstream.service.observing import Observer

log = logging.getLogger("certstream")

AT_ONCE = 8
"""Candidates that the same two controls vouch for."""
CONTROLS = 3
FRESH_MS = 60_000
"""How recently a control must have been shown by an answer."""


class LookUps:
    """Decides doubts and candidates for deletion of one account."""

    def __init__(self, *, calls: Calls, observer: Observer, doubts: Doubts, clock: Clock) -> None:
        self._calls, self._observer, self._doubts, self._clock = calls, observer, doubts, clock
        self._ledger = observer.ledger
        self._busy = False

    async def run(self) -> None:
        """Decide doubts as they fall due, for ever."""
        while True:
            due = await self._doubts.take(AT_ONCE)
            self._busy = True
            try:
                empty, _ = await self._ask(due, Urgency.DECISION)
                if empty and await self.believable(len(empty)):
                    await self._delete(list(empty))
            finally:
                self._busy = False

    async def settle(self) -> None:
        """Until nothing is under way or due now; what has to wait longer is seen by the next sweep."""
        while self._busy or self._doubts.due():  # noqa: ASYNC110 - `once` alone asks, and only at its end
            await asyncio.sleep(0.05)

    async def delete(self, candidates: Sequence[str]) -> bool:
        """Decide about candidates for deletion that were judged not to be too many; whether all were decided."""
        now = [identifier for identifier in candidates if self._doubts.may(identifier)]
        decided = len(now) == len(candidates)
        for at in range(0, len(now), AT_ONCE):
            decided &= await self._delete(now[at : at + AT_ONCE])
        return decided and not self._busy and not self._doubts.open()

    async def named(self, identifiers: Sequence[str], urgency: Urgency) -> None:
        """Look up what is said to be revoked. What is not there is left to the sweep, which sees how much is missing:
        the other list may name what a narrowed permission hides, one after the other."""
        now = [identifier for identifier in identifiers if self._doubts.may(identifier)]
        for at in range(0, len(now), AT_ONCE):
            await self._ask(now[at : at + AT_ONCE], urgency)

    async def refresh(self, identifier: str) -> bool | None:
        """Look up what no page has shown for long, when nothing more urgent is to be asked: whether it is there; None
        where no answer says so, or none is to be expected now. What is not is a candidate for deletion like any other.
        """
        if not self._doubts.may(identifier):
            return None
        empty, open_ = await self._ask([identifier], Urgency.SWEEP)
        return None if identifier in open_ else identifier not in empty

    async def believable(self, candidates: int, *, empty: bool = False) -> bool:
        """Whether so many candidates for deletion may be looked up; if not, the account becomes suspect."""

        def judge(draft: Draft) -> str | None:
            reason = deletion.mass_disappearance(draft, candidates, empty=empty)
            if reason is not None:
                deletion.suspect(draft, reason, candidates)
            return reason

        reason = await self._observer.commit(judge)
        if reason is not None:
            self._observer.suspected(reason)
        return reason is None

    async def few(self, candidates: int) -> bool:
        """Whether so many may be looked up, judged like a sweep's; if not, nothing comes of it: what a search finds
        missing while a sweep runs, that sweep may have seen before, and would release the account again."""

        def judge(draft: Draft) -> bool:
            return draft.head.suspect is None and deletion.mass_disappearance(draft, candidates, empty=False) is None

        return await self._observer.commit(judge)

    async def _delete(self, identifiers: Sequence[str]) -> bool:
        """Look up a few between two controls; tell the deletion of what is not there. Whether all were decided.

        One control would not do: a service that is blind for a while may be so at a look-up and see again at the
        control after it, or go blind just after the control before it.
        """
        if not await self._enough(self._calls.total) or not await self._controlled(identifiers):
            return False
        empty, open_ = await self._ask(identifiers, Urgency.DECISION)
        if not empty:
            return not open_
        if not await self._controlled(identifiers, after=True) or not await self._counted():
            return False
        moved = await outside(self._calls, Urgency.DECISION, empty) if self._ledger.settings.grouped else set()
        later = await self._observer.commit(partial(deletion.delete, answers=empty, moved=moved))
        self._doubts.want(later)
        return not open_ and not later

    async def _ask(self, identifiers: Sequence[str], urgency: Urgency) -> tuple[dict[str, Answer], set[str]]:
        """Look up a few; what is there is observed.

        Returns known certificates that are not there → the answer; and those of which no answer said anything.
        """
        empty: dict[str, Answer] = {}
        async with asyncio.TaskGroup() as group:
            asked = {one: group.create_task(self._calls.look_up(urgency, one)) for one in identifiers}
        open_: set[str] = set()
        for identifier, task in asked.items():
            answer = task.result()
            if answer is None or (not shows(answer, identifier) and (answer.page.records or answer.page.total)):
                self._doubts.again(identifier)  # an answer about something else proves nothing either
                open_.add(identifier)
                continue
            self._doubts.decided(identifier)
            if shows(answer, identifier):
                await self._observe(answer, identifier)
            elif (row := self._ledger.inventory.get(identifier)) is not None and not row.gone:
                empty[identifier] = answer
        return empty, open_

    async def _observe(self, answer: Answer, identifier: str) -> None:
        try:
            await self._observer.observe(answer, decides=identifier)
        except Transient:
            self._doubts.again(identifier)

    async def _controlled(self, candidates: Sequence[str], *, after: bool = False) -> bool:
        """Does a look-up of a certificate that is certainly there find it? `after` the candidates were looked up, one
        that does not, though it may just be gone, is enough to say no: the next one may see again what they did not."""
        since = self._clock.wall() - FRESH_MS
        for control in self._ledger.controls(since, CONTROLS, frozenset(candidates)):
            answer = await self._calls.look_up(Urgency.DECISION, control)
            if answer is not None and shows(answer, control):
                await self._observe(answer, control)
                return True
            if answer is not None and after:
                break
        log.warning("deletion.unproven", extra={"account": self._ledger.name, "candidates": len(candidates)})
        return False

    async def _counted(self) -> bool:
        """Does the list, asked now, still count what is known?"""
        try:
            answer, _ = await self._observer.asked(lambda: self._calls.ask(Urgency.DECISION))
        except Transient:
            return False
        return await self._enough(answer.page.total)

    async def _enough(self, total: int | None) -> bool:
        """Whether a `TotalCount` is large enough for what is known. A permission that is narrowed during a sweep
        hides only a few from that one, and the controls may be left over; the count falls at once."""
        if total is None:
            return True

        def judge(draft: Draft) -> str | None:
            return deletion.mass_disappearance(draft, max(draft.head.live - total, 0), empty=False)

        reason = await self._observer.commit(judge)
        if reason is not None:
            log.warning("deletion.unproven", extra={"account": self._ledger.name, "reason": reason})
        return reason is None


async def outside(
    calls: Calls, urgency: Urgency, identifiers: Collection[str], *, tell: Callable[[int], None] = lambda at: None
) -> set[str]:
    """Those that are there outside the account's resource group. `tell` hears how many were asked for."""
    found: set[str] = set()
    for at, identifier in enumerate(identifiers):
        tell(at)
        try:
            answer = await calls.look_up(urgency, identifier, anywhere=True)
        except Denied:
            return found  # a policy for this group alone: where else it may be is not ours to see
        if answer is not None and shows(answer, identifier):
            found.add(identifier)
    return found


def shows(answer: Answer, identifier: str) -> bool:
    """Whether the answer holds a record of this certificate, readable or not."""
    for record in answer.page.records:
        try:
            found: str | None = read(bytes(record)).identifier
        except Unreadable as problem:
            found = problem.identifier
        if found == identifier:
            return True
    return False
