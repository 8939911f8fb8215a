"""Who may call now: the slots of one Alibaba user, given out by urgency."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from enum import IntEnum

from certstream.core.answers import Answer
from certstream.core.backoff import full_jitter
from certstream.core.errors import Throttled
from certstream.core.pacing import SECOND, RoundTrip, Slots
from certstream.ports import Limiter, Permit, Stale
from certstream.service.clock import Clock

_PERMIT: ContextVar[Permit | None] = ContextVar("permit", default=None)


def permitted() -> None:
    """A guard of the call that is under way here: does its slot still count on other hosts? Raises Stale."""
    if (permit := _PERMIT.get()) is not None:
        permit.guard()


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

    def resize(self, qps: int) -> None:
        """Another `qps` from now on; what was cut stays cut."""
        self._now()
        whole = self._share >= self._qps
        self._qps = qps
        self._share = float(qps) if whole else min(self._share, float(qps))

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
    """Slots and those who wait for one. Every call to the certificate service goes through `call`.

    With a limiter a call needs one of its slots, too. Who is most urgent when it comes is who gets it; so one request
    for it is under way at a time, whatever waits here.
    """

    def __init__(self, qps: int, *, clock: Clock, free_at: float = 0.0, limiter: Limiter | None = None) -> None:
        self._slots = Slots(qps, free_at=free_at)
        self._limiter = limiter
        self._asking: asyncio.Task[None] | None = None
        self._clock = clock
        self._trip = RoundTrip()
        self._share = Share(qps, clock=clock)
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[Permit | None]]] = []
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
        permit = await self._turn(urgency)
        while gate is not None and not gate.is_set():
            self._give_back(permit, used=False)
            await gate.wait()
            permit = await self._turn(urgency)
        token, used = _PERMIT.set(permit), True
        try:
            answer = await ask()
        except Stale:
            used = False
            raise
        except Throttled as error:
            self._freeze(error.retry_after)
            raise
        else:
            self._throttled = self._silences = 0
            self._trip.measured(answer.sent, answer.received)
            return answer
        finally:
            _PERMIT.reset(token)
            self._give_back(permit, used=used)

    def away(self) -> str | None:
        """Why the limiter lets nobody call, if so."""
        return self._limiter.away if self._limiter is not None else None

    async def close(self) -> None:
        """No call any more. What the limiter granted goes back to it."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))
        if self._limiter is not None:
            await self._limiter.close()

    def resize(self, qps: int) -> None:
        """Another number of calls a second from now on."""
        if qps != self._slots.qps:
            self._slots.resize(qps)
            self._share.resize(qps)
            self._grant()

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
        if self._limiter is not None:
            self._limiter.freeze(max(wait, 0.1))
        self._silences += self._share.cut(self.frozen_until)

    async def _turn(self, urgency: Urgency) -> Permit | None:
        granted: asyncio.Future[Permit | None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), granted))
        self._grant()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._give_back(granted.result(), used=False)
            raise

    def _give_back(self, permit: Permit | None, *, used: bool) -> None:
        self._slots.give_back(self._clock.monotonic() - (0.0 if used else SECOND))
        if permit is not None and self._limiter is not None:
            self._limiter.give_back(permit, used=used)
        self._grant()

    async def _ask(self, limiter: Limiter) -> None:
        """A slot is free here: wait for one of the limiter's, and give both to who is most urgent by then."""
        try:
            permit = await limiter.take()
        except BaseException:
            self._slots.give_back(self._clock.monotonic() - SECOND)
            raise
        finally:
            self._asking = None
        while self._waiting and self._waiting[0][2].done():
            heapq.heappop(self._waiting)
        if self._waiting:
            self._hand(permit)
            self._grant()
        else:
            self._give_back(permit, used=False)

    def _hand(self, permit: Permit | None) -> None:
        """The most urgent one may call."""
        urgency, _, granted = heapq.heappop(self._waiting)
        now = self._clock.monotonic()
        self._next = now + self._share.gap()
        if urgency is Urgency.SWEEP:
            self._next_sweep = max(self._next_sweep, now - 0.05) + self._trip.gap(self._slots.qps)
        granted.set_result(permit)

    def _grant(self) -> None:
        """Give slots to those who wait, most urgent first; come back when the next one is free."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self._asking is None:
            urgency, _, granted = self._waiting[0]
            if granted.done():
                heapq.heappop(self._waiting)
                continue
            now = self._clock.monotonic()
            wait = max(self._next_sweep if urgency is Urgency.SWEEP else 0.0, self._next) - now
            if wait <= 0 and self._slots.take(now):
                if self._limiter is None:
                    self._hand(None)
                else:
                    self._asking = asyncio.get_running_loop().create_task(self._ask(self._limiter))
                continue
            wait = max(wait, self._slots.next_free() - now)
            if wait != float("inf"):
                self._timer = asyncio.get_running_loop().call_later(max(wait, 0.0005), self._grant)
            return
