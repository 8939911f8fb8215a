"""The search for where an account's list moved: it makes changes seen sooner, and decides nothing."""

from __future__ import annotations

import asyncio
import logging
from array import array
from functools import partial

from certstream.core.answers import Answer
from certstream.core.errors import Transient
from certstream.core.normal import identifier_of
from certstream.core.observe import Observed
from certstream.core.order import NOBODY, learnt
from certstream.core.search import Outcome, Search
from certstream.core.sweep import UNSTEADY, Verdict
from certstream.service.budget import Urgency
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.lookups import LookUps
from certstream.service.metrics import Metrics
from certstream.service.observing import Observer

log = logging.getLogger("certstream")

FIRST = 1.0
"""Seconds of rest after a search that found nothing; twice as long after each further one."""
LONGEST = 300.0
AHEAD = 10.0
"""Seconds of searching that need not have been paid for by as many without: in the long run the sweep has half."""
UNSTEADY_ORDER = (
    "the order of the list has changed: until complete sweeps have found it steady again, what is new or deleted is "
    "seen when a sweep comes to it, not searched for"
)
"""What is told of an account whose search is off."""


class Searching:
    """Of one account. `saw` hears of every page of the list, whoever asked for it; `run` is the task."""

    def __init__(
        self, *, calls: Calls, observer: Observer, look_ups: LookUps, clock: Clock, metrics: Metrics, size: int
    ) -> None:
        self._calls, self._observer, self._look_ups = calls, observer, look_ups
        self._ledger, self._clock, self._metrics = observer.ledger, clock, metrics
        self._search = Search(size)
        self._pages: dict[int, array[int]] = {}
        """of the sweep under way"""
        self._missing: dict[str, Answer] = {}
        """what a page did not show where it was, and that page"""
        self._moved = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._fruitless = 0
        self._rest_until = 0.0
        self._paid_at = float("-inf")
        """when as long was not searched as was; monotonic"""
        self._bulk_at = float("inf")
        """when there was too much to search for, until a sweep has learnt the order again; monotonic"""
        self.note: str | None = None
        """why nothing is searched for, where it was; None where all is well"""
        metrics.order_known.labels(self._ledger.name).set(0)

    def saw(self, number: int, size: int, answer: Answer, observed: Observed, *, sweep: bool = False) -> None:
        """A page was read, by a sweep or not, and what it shows is committed."""
        page, rows = answer.page, self._rows(answer, observed)
        if page.size is not None and 0 < len(page.records) == page.size < size:
            size = page.size  # the service gives no more at once
        if sweep:
            self._pages[number] = rows
        if not self._search.ready:
            self._search.size = size
            return
        for row in self._search.read(number, size, rows, page.total, sent=answer.sent):
            self._missing[self._ledger.inventory.identifier(row)] = answer
        if not self._search.ready:
            self._unsteady()
        elif (self._missing or self._search.wanted) and self._may():
            self._moved.set()
            self._quiet.clear()

    def swept(self, verdict: Verdict, began: float, *, moved: bool) -> None:
        """A sweep ended that began then, monotonic, and while which the list `moved` or not. Its order is learnt where
        none is known, or where the one that is does not explain TotalCount."""
        pages, self._pages = self._pages, {}
        if verdict.why == UNSTEADY:
            self._search.forget()
            self._unsteady()
        elif verdict.complete and self._calls.total is not None and len(pages) == max(pages, default=0):
            if self._search.ready:
                self.note = None
            if self._wrong(began, moved=moved):
                rows = learnt(pages[number] for number in sorted(pages))
                self._search.learn(rows, self._calls.total, moved=moved)
                self._bulk_at = float("inf")
                self._metrics.order_known.labels(self._ledger.name).set(1)
        if verdict.complete:  # what was missing before it has been on one of its pages, or is nominated
            self._missing = {one: answer for one, answer in self._missing.items() if answer.sent >= began}

    def _wrong(self, began: float, *, moved: bool) -> bool:
        """Whether a complete sweep that began then knows the order better: the list was still and counts otherwise, or
        so much had changed that it was not searched for."""
        if not self._search.ready:
            self._fruitless, self._rest_until = 0, 0.0
            return True
        if not self._quiet.is_set():
            return False
        return (self._search.wanted and not moved) or self._bulk_at < began

    def probe(self) -> int:
        """The page that a probe reads."""
        return self._search.probe()

    async def located(self) -> bool:
        """When no search runs any more: whether it is known where the list moved."""
        await self._quiet.wait()
        return self._search.ready and not self._search.wanted

    @property
    def ready(self) -> bool:
        """Whether an order is known."""
        return self._search.ready

    @property
    def wanted(self) -> bool:
        """Whether something says that the list has moved, and nobody knows where."""
        return self._search.wanted

    async def run(self) -> None:
        """Search whenever a page says that the list has moved, for ever."""
        self._pages.clear()
        self._quiet.set()
        while True:
            await self._moved.wait()
            self._moved.clear()
            self._calls.sweeping.clear()
            try:
                await self._nominate()
                if self._search.wanted and self._may():
                    await self._locate()
            finally:
                self._calls.sweeping.set()
                self._quiet.set()

    def _may(self) -> bool:
        head = self._ledger.head
        known = head is not None and head.baselined is not None and head.suspect is None
        now = self._clock.monotonic()
        return known and now >= self._rest_until and now >= self._paid_at - AHEAD

    async def _locate(self) -> None:
        search, began = self._search, self._clock.monotonic()
        search.begin()
        while (page := search.next()) is not None:
            size = search.size
            try:
                answer, observed = await self._observer.asked(partial(self._ask, page, size))
            except Transient:
                search.failed()
                break
            self.saw(page, size, answer, observed)
            await self._nominate()
        ended = self._clock.monotonic()
        self._paid_at = max(self._paid_at, began) + 2 * (ended - began)
        outcome = search.outcome or Outcome.NOTHING
        self._metrics.searches.labels(self._ledger.name, outcome).inc()
        log.debug("search.ended", extra={"account": self._ledger.name, "outcome": outcome, "calls": search.calls})
        if outcome is Outcome.FOUND:
            self._fruitless = 0
        else:
            self._rest_until = ended + min(FIRST * 2.0 ** min(self._fruitless, 10), LONGEST)
            self._fruitless += 1
        if outcome is Outcome.BULK:
            self._bulk_at = self._clock.monotonic()
        if outcome is Outcome.UNSTEADY:
            self._unsteady()

    async def _ask(self, page: int, size: int) -> Answer:
        return await self._calls.ask(Urgency.SEARCH, page=page, size=size)

    def _unsteady(self) -> None:
        if self.note is None:
            log.warning("order.unsteady", extra={"account": self._ledger.name})
        self.note = UNSTEADY_ORDER
        self._metrics.order_known.labels(self._ledger.name).set(0)
        self._missing.clear()

    async def _nominate(self) -> None:
        """Candidates for deletion, as soon as TotalCount bears them out: as many are gone as are missing, or nearly.

        They are judged as a mass and looked up like those of a sweep. Where there are too many, or TotalCount says that
        far more is gone, all of it is left to the sweep, whose business it is to suspect.
        """
        if (surplus := self._search.surplus) > 0 or not self._missing:
            return
        candidates = [one for one, answer in self._missing.items() if self._absent(one, answer)]
        if surplus and 100 * (len(candidates) - surplus) > self._ledger.live():
            return
        self._missing.clear()
        if candidates and self._may() and await self._look_ups.few(len(candidates)):
            await self._look_ups.delete(candidates)

    def _absent(self, identifier: str, answer: Answer) -> bool:
        """Nothing has shown it since, and it is known for so long that no replica can be behind it."""
        number, fact = self._ledger.inventory.number(identifier), self._ledger.facts.get(identifier)
        if number is None or self._ledger.shown[number] > answer.sent_at or self._ledger.inventory.row(number).gone:
            return False
        if fact is not None and answer.sent <= fact.received:
            return False
        grave = fact.grave if fact is not None else None
        return grave is None or answer.sent - grave >= self._ledger.settings.staleness

    def _rows(self, answer: Answer, observed: Observed) -> array[int]:
        """Row numbers + 1 of a page, in its order."""
        if len(observed.unchanged) == observed.records:
            return array("I", [number + 1 for number in observed.unchanged])
        known = self._ledger.inventory.number
        rows = array("I")
        for record in answer.page.records:
            identifier = identifier_of(record)
            number = known(identifier) if identifier is not None else None
            rows.append(NOBODY if number is None else number + 1)
        return rows
