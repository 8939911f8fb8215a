"""Who may call now: the slots of one Alibaba user, given out by urgency."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import TypeVar

from certstream.core.answers import Answer
from certstream.core.backoff import full_jitter
from certstream.core.errors import Throttled
from certstream.core.pacing import SECOND, RoundTrip, Slots
from certstream.service.clock import Clock

T = TypeVar("T")

ENDLESS = 3
"""Silences without a good answer between them: it is not over because the last one has ended."""


class Urgency(IntEnum):
    """Lower goes first."""

    DECISION = 0
    """a look-up that decides an event"""
    SEARCH = 1
    """a page of the search for where the list moved"""
    PROBE = 2
    SWEEP = 3


class Share:
    """How much of the budget is ours while somebody else spends it too, in calls a second.

    As TCP shares a line: a throttle answer cuts it, time gives it back. So all who spend one user's calls make
    progress; with pauses alone each would come back with all its slots, and be throttled with the others again.
    """

    CUT = 0.7
    """of the share stays; once for all the calls that were under way together"""
    BACK = 0.02
    """of `qps` comes back each second"""
    LEAST = 0.5
    """calls a second"""

    def __init__(self, qps: int, *, clock: Clock) -> None:
        self._qps, self._clock = qps, clock
        self._share = float(qps)
        self._at = self._deaf_until = clock.monotonic()
        self._contested = False

    def cut(self, frozen_until: float) -> bool:
        """A throttle answer, and until when it silences the budget. False: one of several that were under way."""
        now = self._now()
        first = now >= self._deaf_until
        if first:
            self._share = max(self._share * self.CUT, self.LEAST)
            self._deaf_until = frozen_until + SECOND
            self._contested |= self._share < 0.6 * self._qps
        return first

    def contested(self) -> bool:
        """Throttle answers keep coming: true from a second cut within seconds until nearly all has come back."""
        self._now()
        return self._contested

    def gap(self) -> float:
        """Seconds from the start of one call to that of the next."""
        self._now()
        return 0.0 if self._share >= self._qps else 1 / self._share

    def _now(self) -> float:
        now = self._clock.monotonic()
        self._share = min(self._share + self.BACK * self._qps * (now - self._at), float(self._qps))
        self._at = now
        self._contested &= self._share < 0.9 * self._qps
        return now


class Budget:
    """Slots and those who wait for one. Every call to the certificate service goes through `call`."""

    def __init__(self, qps: int, *, clock: Clock, free_at: float = 0.0) -> None:
        self._slots = Slots(qps, free_at=free_at)
        self._clock = clock
        self._trip = RoundTrip()
        self._share = Share(qps, clock=clock)
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._next_sweep = self._next = 0.0
        self._throttled = 0
        self._silences = 0
        self._timer: asyncio.TimerHandle | None = None
        self.frozen_until = 0.0
        self._held_until = 0.0

    async def call(
        self, urgency: Urgency, ask: Callable[[], Awaitable[Answer]], *, gate: asyncio.Event | None = None
    ) -> Answer:
        """Make one call when its turn comes, and when `gate` is open then. Raises what `ask` raises; a throttle answer
        freezes the budget."""
        await self._turn(urgency)
        while gate is not None and not gate.is_set():
            self._give_back(self._clock.monotonic() - SECOND)  # taken, never used
            await gate.wait()
            await self._turn(urgency)
        try:
            answer = await ask()
        except Throttled as error:
            self._freeze(error.retry_after)
            raise
        else:
            self._throttled = self._silences = 0
            self._trip.measured(answer.sent, answer.received)
            return answer
        finally:
            self._give_back(self._clock.monotonic())

    def idle(self) -> bool:
        """All slots are back."""
        now = self._clock.monotonic()
        return now >= self._held_until and self._slots.idle(now)

    def hold(self, seconds: float) -> None:
        """No call for so long: an earlier owner may still be calling."""
        self._held_until = self._clock.monotonic() + seconds
        self._slots.freeze(self._held_until)

    def held(self) -> float:
        """Seconds that `hold` still lasts; 0 or less: it does not."""
        return self._held_until - self._clock.monotonic()

    def contested(self) -> bool:
        """Somebody else spends this user's calls, and goes on doing so."""
        waits = self.frozen_until - self._clock.monotonic() > 5
        return self._share.contested() or waits or self._silences >= ENDLESS

    def _freeze(self, retry_after: float | None) -> None:
        self._throttled += 1
        wait = retry_after if retry_after is not None else full_jitter(self._throttled, self._clock.random.random())
        self.frozen_until = self._clock.monotonic() + max(wait, 0.1)
        self._slots.freeze(self.frozen_until)
        self._silences += self._share.cut(self.frozen_until)

    async def _turn(self, urgency: Urgency) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._give_back(self._clock.monotonic() - SECOND)  # taken, never used
            raise

    def _give_back(self, answered: float) -> None:
        self._slots.give_back(answered)
        self._grant()

    def _grant(self) -> None:
        """Give slots to those who wait, most urgent first; come back when the next one is free."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            urgency, _, granted = self._waiting[0]
            if granted.done():
                heapq.heappop(self._waiting)
                continue
            now = self._clock.monotonic()
            wait = max(self._next_sweep if urgency is Urgency.SWEEP else 0.0, self._next) - now
            if wait <= 0 and self._slots.take(now):
                heapq.heappop(self._waiting)
                self._next = now + self._share.gap()
                if urgency is Urgency.SWEEP:
                    self._next_sweep = max(self._next_sweep, now - 0.05) + self._trip.gap(self._slots.qps)
                granted.set_result(None)
                continue
            wait = max(wait, self._slots.next_free() - now)
            if wait != float("inf"):
                self._timer = asyncio.get_running_loop().call_later(max(wait, 0.0005), self._grant)
            return
