"""The user's list of the revoked, where the account may read it: it makes revocations seen sooner, and decides nothing.

for each reading of its first page: who is named and not known as revoked is looked up → the look-up gives the event
"""

from __future__ import annotations

import asyncio
import logging

from certstream.core.answers import Forbidden, Page
from certstream.core.errors import CertstreamError
from certstream.core.normal import identifier_of
from certstream.core.probes import interval
from certstream.core.revocations import Names, Pages, Revocations
from certstream.service.budget import Urgency
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.lookups import AT_ONCE, LookUps
from certstream.service.observing import Observer
from certstream.service.probing import Pace
from certstream.service.tasks import rest

log = logging.getLogger("certstream")

SOME = 50
"""Look-ups after one reading, at most."""
LONGEST = 300.0
"""Seconds of rest after readings that failed, or after searches that named nobody."""
LASTING = 3
"""Readings that failed one after the other, before `accounts` tells it."""


class RevokedList:
    """Of one account. `run` is the task, the rest is for those who tell of it, and for the poller."""

    def __init__(self, *, calls: Calls, observer: Observer, look_ups: LookUps, clock: Clock, pace: Pace) -> None:
        self._calls, self._look_ups, self._clock, self._pace = calls, look_ups, clock, pace
        self._ledger = observer.ledger
        self._revocations = Revocations(self._ledger)
        self._changed = asyncio.Event()
        self._read = False
        self._denied: str | None = None
        self._failing: str | None = None
        self._failures = self._fruitless = 0
        self._searches_from = 0.0
        self._active = clock.monotonic()
        """when somebody was named for the last time; a start counts, too"""
        self._sweep_sooner = False

    def change(self, pace: Pace) -> None:
        """Go on at another pace from now on."""
        self._pace = pace
        self._changed.set()

    def ask_again(self) -> None:
        """With other credentials, or of another service: who may not call may now, and counts may be others."""
        self._denied = self._failing = None
        self._failures = 0
        self._revocations.forget()
        self._changed.set()

    def told(self) -> dict[str, str | None]:
        """How it is, for people: `waiting`, `read`, `failing`, `denied` or `off`, and why."""
        if not self._pace.revocations:
            return {"state": "off", "reason": None}
        if self._denied is not None:
            return {"state": "denied", "reason": self._denied}
        if self._failing is not None:
            return {"state": "failing", "reason": self._failing}
        return {"state": "read" if self._read else "waiting", "reason": None}

    @property
    def note(self) -> str | None:
        """What is odd about it, None where nothing is."""
        if self._pace.revocations and self._denied is not None:
            return f"revocations are seen by sweeps alone: {self._denied}; or set revocations = false"
        if self._pace.revocations and self._failures >= LASTING:
            return f"revocations are seen by sweeps alone: {self._failing}"
        return None

    def sweep_sooner(self) -> bool:
        """Whether a sweep has to find what this list did not name; asked for once."""
        sooner, self._sweep_sooner = self._sweep_sooner, False
        return sooner

    async def run(self) -> None:
        """Read its first page again and again, for ever. Raises Fatal where look-ups may not be made."""
        while True:
            if self._may():
                await self._probe()
            every = interval(self._pace.probe_every, self._clock.monotonic() - self._active)
            await rest(self._changed, min(every * 2.0 ** min(self._failures, 20), max(every, LONGEST)))

    def _may(self) -> bool:
        head = self._ledger.head
        believed = head is not None and head.baselined is not None and head.suspect is None
        return self._pace.revocations and self._denied is None and believed

    async def _probe(self) -> None:
        if (search := await self._first()) is not None and self._clock.monotonic() >= self._searches_from:
            await self._search(search)
        await self._look_up()

    async def _first(self) -> Pages | None:
        asked = self._pace.page_size
        try:
            answer = await self._calls.revoked(page=1, size=asked)
        except CertstreamError as error:
            self._failed(error)
            return None
        if self._failures:
            log.info("revocations.read", extra={"account": self._ledger.name})
        self._read, self._failing, self._failures = True, None, 0
        page = answer.page
        size = asked if page.size is None else min(page.size, asked)  # what the service gives at most
        return self._revocations.first(_names(page), page.total, size=size)

    async def _search(self, search: Pages) -> None:
        """Read the pages that it asks for. Where they do not name everybody, a sweep has to, and the next search waits:
        the count may be wrong, or flap."""
        named: Names | None = None
        while True:
            try:
                number = next(search) if named is None else search.send(named)
            except StopIteration as end:
                found = bool(end.value)
                break
            try:
                answer = await self._calls.revoked(page=number, size=self._pace.page_size)
            except CertstreamError as error:
                search.close()
                self._failed(error)
                return
            named = _names(answer.page)
        if found:
            self._fruitless = 0
            return
        self._sweep_sooner = True
        self._searches_from = self._clock.monotonic() + min(2.0 ** min(self._fruitless, 10), LONGEST)
        self._fruitless += 1

    async def _look_up(self) -> None:
        """Whoever was named: a few at once; of many as many as the sweep leaves time for, which may be sooner."""
        due = self._revocations.named.due(self._clock.monotonic())
        if not due:
            return
        self._active = self._clock.monotonic()
        if len(due) > AT_ONCE:
            self._sweep_sooner = len(due) * self._pace.page_size > self._ledger.live()
        urgency = Urgency.DECISION if len(due) <= AT_ONCE else Urgency.SWEEP
        await self._look_ups.named(due[:SOME], urgency)
        self._revocations.named.asked(due[:SOME], self._clock.monotonic())

    def _failed(self, error: CertstreamError) -> None:
        """Who may not is not asked again. Other failures may pass: told once, and asked ever more rarely meanwhile."""
        extra = {"account": self._ledger.name, "reason": str(error)}
        if isinstance(error, Forbidden):
            self._denied = str(error)
            log.warning("revocations.denied", extra=extra)
            return
        log.log(logging.DEBUG if self._failures else logging.WARNING, "revocations.failed", extra=extra)
        self._failures += 1
        self._failing = self._failing or str(error)


def _names(page: Page) -> Names:
    return [identifier_of(record) for record in page.records]
