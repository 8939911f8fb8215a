"""Look-ups: the calls by `Identifier` that decide what a page may not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from certstream.core import deletion
from certstream.core.answers import Answer
from certstream.core.errors import Transient
from certstream.core.normal import Unreadable, read
from certstream.service.budget import Urgency

if TYPE_CHECKING:
    from certstream.service.poller import Poller

log = logging.getLogger("certstream")

AT_ONCE = 8
"""Candidates that one control look-up vouches for."""
CONTROLS = 3
FRESH_MS = 60_000
"""How recently a control must have been shown by an answer."""


class LookUps:
    """Which identifiers are to be looked up, and when; `run` does it."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._due: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._busy = False

    def want(self, identifiers: Mapping[str, float]) -> None:
        """Look these up in so many seconds."""
        now = asyncio.get_running_loop().time()
        for identifier, wait in identifiers.items():
            self._due[identifier] = min(self._due.get(identifier, float("inf")), now + wait)
        if identifiers:
            self._wake.set()

    async def settle(self) -> None:
        """Until nothing is under way or due now; what has to wait longer is seen by the next sweep."""
        while self._busy or any(when <= asyncio.get_running_loop().time() for when in self._due.values()):
            await asyncio.sleep(0.05)

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            now = asyncio.get_running_loop().time()
            due = sorted(one for one, when in self._due.items() if when <= now)[:AT_ONCE]
            if due:
                for identifier in due:
                    del self._due[identifier]
                self._busy = True
                await self._decide(due, judged=False)
                self._busy = False
                continue
            wait = min(self._due.values(), default=now + 60.0) - now
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue

    async def decide(self, candidates: Sequence[str]) -> None:
        """Candidates for deletion that a complete sweep nominated, and that are not too many."""
        for at in range(0, len(candidates), AT_ONCE):
            await self._decide(candidates[at : at + AT_ONCE], judged=True)

    async def _decide(self, identifiers: Sequence[str], *, judged: bool) -> None:
        """Look up a few; what is there is observed; what is not is deleted if a control vouches for the answers."""
        poller = self._poller
        empty: dict[str, Answer] = {}
        answers = await asyncio.gather(*(self._look_up(identifier) for identifier in identifiers))
        for identifier, answer in zip(identifiers, answers, strict=True):
            if answer is None:
                self.want({identifier: 5.0})
            elif shows(answer, identifier):
                await poller.observe(answer, decides=identifier)
            elif answer.page.records or (answer.page.total or 0) > 0:
                self.want({identifier: 5.0})  # an answer about something else proves nothing
            elif (row := poller.ledger.inventory.get(identifier)) is not None and not row.gone:
                empty[identifier] = answer
        if not empty or not (judged or await poller.believable(len(empty))):
            return
        if not await self._controlled(empty):
            log.warning("deletion.unproven", extra={"account": poller.ledger.name, "candidates": len(empty)})
            return
        moved = await self._moved(empty) if poller.ledger.settings.grouped else set()
        self.want(await poller.commit(lambda draft: deletion.delete(draft, empty, moved)))

    async def _look_up(self, identifier: str, *, anywhere: bool = False) -> Answer | None:
        try:
            return await self._poller.ask(Urgency.DECISION, identifier=identifier, anywhere=anywhere)
        except Transient as error:
            log.warning("look-up.failed", extra={"account": self._poller.ledger.name, "reason": str(error)})
            return None

    async def _controlled(self, empty: Mapping[str, Answer]) -> bool:
        """Does a look-up of a certificate that is certainly there still find it?"""
        asked = min(answer.sent_at for answer in empty.values())
        ledger = self._poller.ledger
        for control in ledger.controls(asked - FRESH_MS, CONTROLS, frozenset(empty)):
            answer = await self._look_up(control)
            if answer is not None and shows(answer, control):
                await self._poller.observe(answer, decides=control)
                return True
        return False

    async def _moved(self, empty: Mapping[str, Answer]) -> set[str]:
        """Those that are there outside the account's resource group."""
        found = set()
        for identifier in empty:
            answer = await self._look_up(identifier, anywhere=True)
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
