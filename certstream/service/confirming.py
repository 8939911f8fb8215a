"""An operator's word that what is missing is really gone: the only way out of suspicion but its return."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

from certstream.core import deletion
from certstream.core.answers import Answer, Refused
from certstream.core.draft import Draft
from certstream.core.errors import Rejected, Transient
from certstream.service.budget import Urgency
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.lookups import outside, shows
from certstream.service.observing import Observer, TooOld

log = logging.getLogger("certstream")

APART = 30.0
"""Seconds from the last of the first look-ups to the first of the second ones."""
BATCH = 200
"""Certificates told as deleted in one commit."""
AT_ONCE = 8


class NothingToConfirm(Exception):
    """Why there is nothing that an operator could confirm now."""


@dataclass(frozen=True, slots=True)
class _Word:
    by: str
    why: str
    missing: tuple[str, ...]
    nominated: int
    """when they were, Unix milliseconds"""
    suspected: int
    """since when the account is suspect, Unix milliseconds: a later suspicion is another one"""


class Confirming:
    """Of one account. `nominate` is for the poller, `begin` for the operator, `run` is the task.

    Confirmed is what the last sweep did not see, and that alone: each of these is looked up twice, half a minute
    apart. What is found either time is there. The rest is told as deleted, after `released` with the operator's words.
    """

    def __init__(self, *, calls: Calls, observer: Observer, clock: Clock) -> None:
        self._calls, self._observer, self._clock = calls, observer, clock
        self._ledger = observer.ledger
        self._nominated: tuple[str, ...] = ()
        self._nominated_at = 0
        self._word: _Word | None = None
        self._given = asyncio.Event()
        self.gone: frozenset[str] = frozenset()
        """confirmed, and not told as deleted yet: no sweep nominates them again"""
        self._released = float("-inf")
        self.state: Literal["under way", "done", "failed"] | None = None
        """of the last word, in this process"""
        self.progress = ""
        """for people: how far it is, or what came of it"""

    def nominate(self, missing: Sequence[str]) -> None:
        """What a sweep that is not believed did not see; nothing where it is believed."""
        self._nominated, self._nominated_at = tuple(missing), self._clock.wall()

    def quiet_since(self, began: float) -> bool:
        """Whether no word was carried out since `began` (monotonic), nor is now. A sweep that began while the account
        was suspect held changes back; one that ends before all is told does not see what is left to tell."""
        return self._released < began and not self.gone

    def begin(self, by: str, why: str) -> int:
        """An operator confirms; gives how many certificates that is about. Raises NothingToConfirm."""
        head = self._ledger.head
        if head is None or head.suspect is None:
            raise NothingToConfirm("the account is not suspect")
        if self._word is not None:
            raise NothingToConfirm(f"{self._word.by} has confirmed it already; it is under way: {self.progress}")
        if not self._nominated:
            raise NothingToConfirm("no sweep has ended since this process started: try again in a moment")
        self._word = _Word(by, why, self._nominated, self._nominated_at, head.suspected)
        self.state, self.progress = "under way", f"{len(self._nominated)} certificates are looked up"
        self._given.set()
        return len(self._nominated)

    def told(self) -> dict[str, str] | None:
        """For `/readyz`: what became of the last word, if there was one."""
        return None if self.state is None else {"state": self.state, "progress": self.progress}

    async def run(self) -> None:
        """Carry out what operators confirm, for ever."""
        while True:
            await self._given.wait()
            self._given.clear()
            try:
                if self._word is not None:
                    outcome = await self._carry_out(self._word)
                    self.state, self.progress = "done", outcome
            except (Transient, Rejected, Refused) as error:
                self.state, self.progress = "failed", f"given up, confirm it again: {error}"
                log.warning("confirm.failed", extra={"account": self._ledger.name, "reason": str(error)})
            except BaseException:
                self.state, self.progress = "failed", "interrupted, confirm it again"
                raise
            finally:
                self._word, self.gone = None, frozenset()

    async def _carry_out(self, word: _Word) -> str:
        log.warning(
            "confirm.begins",
            extra={"account": self._ledger.name, "by": word.by, "why": word.why, "certificates": len(word.missing)},
        )
        first = await self._missing(word.missing, "first")
        await asyncio.sleep(APART)
        second = await self._missing(list(first), "second")
        await self._look_at_list(len(second))
        moved: set[str] = set()
        if self._ledger.settings.grouped:
            tell = partial(self._tell_outside, len(second))
            moved = await outside(self._calls, Urgency.PROBE, second, tell=tell)
        self.gone = frozenset(second)
        told = await self._release(word, second, moved)
        self._nominated = ()
        self._observer.released()
        log.warning("confirm.done", extra={"account": self._ledger.name, "by": word.by, "deleted": told})
        return f"{told} of {len(word.missing)} are gone"

    async def _release(self, word: _Word, answers: dict[str, Answer], moved: Collection[str]) -> int:
        """Tell what the operator said and, in several commits, what is gone; how many these are."""

        def confirm(draft: Draft, batch: dict[str, Answer]) -> None:
            if draft.head.suspect is not None and draft.head.suspected != word.suspected:
                raise Rejected(f"another suspicion has arisen since: {draft.head.suspect}")
            deletion.confirm(draft, batch, moved=moved, nominated=word.nominated, by=word.by, why=word.why)

        self._released = self._clock.monotonic()
        first, *rest = _batches(answers)
        await self._observer.commit(partial(confirm, batch=first))
        told = self._are_gone(first)
        for batch in rest:
            self.progress = f"{told} of {len(answers)} told as deleted"
            act = partial(deletion.expected, answers=batch, moved=moved, nominated=word.nominated)
            await self._observer.commit(act)
            told += self._are_gone(batch)
            if (reason := self._observer.suspicion) is not None:
                raise Rejected(f"{told} were told as deleted, then the account became suspect again: {reason}")
        return told

    def _are_gone(self, batch: dict[str, Answer]) -> int:
        """Counted in what was committed: after a doubt the decision that did it is not the one that returns."""
        return sum(row is not None and row.gone for row in map(self._ledger.inventory.get, batch))

    async def _missing(self, identifiers: Sequence[str], which: str) -> dict[str, Answer]:
        """Those that a look-up does not find. One without an answer is not confirmed: it is left for the next sweep."""
        found: dict[str, Answer] = {}
        for at in range(0, len(identifiers), AT_ONCE):
            self.progress = f"{which} look-up: {at} of {len(identifiers)}"
            group = identifiers[at : at + AT_ONCE]
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(self._calls.look_up(Urgency.PROBE, identifier)) for identifier in group]
            for identifier, task in zip(group, asked, strict=True):
                if (answer := task.result()) is None:
                    continue
                if shows(answer, identifier):
                    with suppress(TooOld):  # it is there all the same
                        await self._observer.observe(answer, decides=identifier)
                elif not answer.page.records and not answer.page.total:
                    found[identifier] = answer
        return found

    def _tell_outside(self, of: int, at: int) -> None:
        self.progress = f"look-up outside the resource group: {at} of {of}"

    async def _look_at_list(self, gone: int) -> None:
        """Where nothing would be left, the list is asked once more. Raises Rejected where it shows what was known, or
        counts what it does not show."""
        if gone >= self._ledger.live():
            answer, observed = await self._observer.asked(lambda: self._calls.ask(Urgency.PROBE))
            if observed.shows_known:
                raise Rejected("the list shows certificates that were known")
            if answer.page.total is None or (answer.page.total and not answer.page.records):
                raise Rejected(f"the list shows none of its certificates, and counts {answer.page.total}")


def _batches(answers: dict[str, Answer]) -> list[dict[str, Answer]]:
    """At least one: where nothing is gone, the account is released all the same."""
    items = list(answers.items())
    return [dict(items[at : at + BATCH]) for at in range(0, max(len(items), 1), BATCH)]
