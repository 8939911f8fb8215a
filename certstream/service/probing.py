"""Between two sweeps, and beside long ones: probes, which read the number of rows and ever another page; and a sweep
before its time where they say that the list has moved and no search finds where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from certstream.core.errors import Transient
from certstream.core.probes import interval
from certstream.service.budget import Urgency
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.observing import Observer
from certstream.service.searching import Searching
from certstream.service.tasks import rest

FIRST = 10.0
"""Seconds without another sweep before its time, after one that found nothing; twice as long after each further one, up
to `sweep_every`."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often: `sweep_every` from one sweep's begin to the next, `probe_every` between probes; seconds.
    `revocations`: whether the list of the revoked is probed too."""

    page_size: int
    sweep_every: float
    probe_every: float
    revocations: bool = True


class Probing:
    """Of one account. `size`: of the pages that are asked for. `sooner`: does anybody else ask for a sweep?"""

    def __init__(
        self,
        *,
        calls: Calls,
        observer: Observer,
        searching: Searching,
        sooner: Callable[[], bool],
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._calls, self._observer, self._searching, self._sooner = calls, observer, searching, sooner
        self._ledger, self._clock, self._pace = observer.ledger, clock, pace
        self._changed = asyncio.Event()
        self._seen = self._moves()
        self._active = clock.monotonic()
        """when the list was seen to move for the last time; a start counts, too"""
        self._early: int | None = None
        """the ledger's moves, as a sweep before its time began"""
        self._vain = 0
        self._patient_until = 0.0
        self._sweeping_since: float | None = None

    def change(self, pace: Pace) -> None:
        """Go on at another pace; whoever rests looks again."""
        self._pace = pace
        self._changed.set()

    async def pause(self, began: float, *, most: float, size: int) -> None:
        """Until the sweep after the one that began then is due, `most` seconds after it at the latest, or before its
        time."""
        self._learn()
        self._sweeping_since = None
        try:
            await self._probe_until(began, most=most, size=size)
        finally:
            self._sweeping_since = self._clock.monotonic()

    async def beside(self, size: Callable[[], int]) -> None:
        """Probe beside sweeps that take longer than that, for ever: what cancels in the count would wait for them."""
        self._sweeping_since = self._clock.monotonic()
        while True:
            pause = self._interval()
            await asyncio.sleep(pause)
            since = self._sweeping_since
            if since is not None and self._clock.monotonic() - since >= pause and self._searching.ready:
                await self._unlocated(size(), False)

    async def _probe_until(self, began: float, *, most: float, size: int) -> None:
        wanted = False
        while (remaining := self._due(began, most)) > 0:
            await self.rest(min(remaining, self._interval()))
            if self._due(began, most) > 0:
                wanted = await self._unlocated(size, wanted) or self._sooner()
                if wanted and self._clock.monotonic() >= self._patient_until:
                    self._early = self._ledger.moves
                    return

    async def rest(self, seconds: float) -> None:
        """Do nothing for a while; a change of the configuration ends it."""
        await rest(self._changed, seconds)

    def _due(self, began: float, most: float) -> float:
        return began + min(self._pace.sweep_every, most) - self._clock.monotonic()

    def _learn(self) -> None:
        """Was the sweep that has ended one before its time, and in vain? TotalCount may flap between replicas."""
        if self._early is not None:
            self._vain = self._vain + 1 if self._early == self._ledger.moves else 0
            wait = min(FIRST * 2.0 ** min(self._vain - 1, 12), self._pace.sweep_every) if self._vain else 0.0
            self._patient_until = self._clock.monotonic() + wait
            self._early = None

    def _moves(self) -> tuple[int, int | None]:
        return self._ledger.moves, self._calls.total

    def _interval(self) -> float:
        now = self._clock.monotonic()
        if (moves := self._moves()) != self._seen:
            self._seen, self._active = moves, now
        return interval(self._pace.probe_every, now - self._active)

    async def _unlocated(self, size: int, before: bool) -> bool:
        """Probe: read a page, observe it. Has the list moved, now or `before`, and does nobody know where?"""
        total, page = self._calls.total, self._searching.probe()
        try:
            answer = await self._calls.ask(Urgency.PROBE, page=page, size=size)
            observed = await self._observer.observe(answer)
        except Transient:
            return before
        self._searching.saw(page, size, answer, observed)
        moved = before or (answer.page.total is not None and answer.page.total != total) or self._searching.wanted
        return moved and not await self._searching.located()
