"""A discrete-event model of one sender, its limiter, and the way to the server. Times in seconds."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from certstream.core.pacing import SECOND, Slots

DEADLINE = 5.0
Path = Callable[[float, random.Random], tuple[float, float]]
"""(time, dice) → to the server, and back."""
At = Callable[[float, Callable[[float], None]], None]


class Limiter(Protocol):
    """When may a call be sent? `give_back` when it is over; `cancelled` when it was given up before its deadline."""

    def next_free(self) -> float: ...
    def take(self, now: float) -> bool: ...
    def give_back(self, answered: float, sent: float) -> None: ...
    def cancelled(self, now: float, sent: float) -> None: ...


class Ours(Slots):
    """The product's slots, as `service.budget` uses them."""

    def give_back(self, answered: float, sent: float = 0.0) -> None:
        super().give_back(answered)

    def cancelled(self, now: float, sent: float) -> None:
        super().give_back(now)


class Loses(Ours):
    """Known bad: a slot is lost on cancellation."""

    def cancelled(self, now: float, sent: float) -> None:
        pass


class TokenBucket:
    """Known bad: ten tokens, ten more a second."""

    def __init__(self) -> None:
        self._tokens, self._at = 10.0, 0.0

    def next_free(self) -> float:
        return self._at + max(0.0, (1 - self._tokens) / 10)

    def take(self, now: float) -> bool:
        self._tokens, self._at = min(10.0, self._tokens + (now - self._at) * 10), now
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True

    def give_back(self, answered: float, sent: float) -> None: ...

    def cancelled(self, now: float, sent: float) -> None: ...


class Spaced:
    """Known bad: a call every 100 ms."""

    def __init__(self) -> None:
        self._next = 0.0

    def next_free(self) -> float:
        return self._next

    def take(self, now: float) -> bool:
        if now < self._next:
            return False
        self._next = max(self._next, now - 0.001) + 0.1
        return True

    def give_back(self, answered: float, sent: float) -> None: ...

    def cancelled(self, now: float, sent: float) -> None: ...


class Credited(Ours):
    """Known bad: a part of the smallest round trip is credited."""

    smallest = float("inf")

    def give_back(self, answered: float, sent: float = 0.0) -> None:
        self.smallest = min(self.smallest, answered - sent)
        heapq.heappush(self._free_at, answered + SECOND - 0.8 * self.smallest)


@dataclass(slots=True)
class Trouble:
    """How often, per call: the answer is `lost`; the call is `cancelled` by its caller. `stalls`: how often a second
    the process does not run, for up to `stalled` seconds: what has come meanwhile is noticed late. `foreign`: calls a
    second of another tool, so that the server throttles."""

    lost: float = 0.0
    cancelled: float = 0.0
    stalls: float = 0.0
    stalled: float = 2.0
    foreign: float = 0.0


@dataclass(slots=True)
class Model:
    """One history. `arrivals`: ours, in order; `answered`: how many calls were."""

    limiter: Limiter
    path: Path
    trouble: Trouble = field(default_factory=Trouble)
    seed: int = 1
    arrivals: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    trips: list[float] = field(default_factory=list)
    throttled: int = 0

    def run(self, seconds: float) -> Model:
        """Send whenever the limiter lets."""
        dice, order = random.Random(self.seed), itertools.count()
        events: list[tuple[float, int, Callable[[float], None]]] = []
        asleep_until = now = 0.0
        next_stall = dice.expovariate(self.trouble.stalls) if self.trouble.stalls else float("inf")
        foreign = self._foreign(dice, seconds)

        def at(when: float, act: Callable[[float], None]) -> None:
            heapq.heappush(events, (when, next(order), act))

        while now < seconds:
            if now >= next_stall:
                asleep_until = now + dice.random() * self.trouble.stalled
                next_stall = asleep_until + dice.expovariate(self.trouble.stalls)
            now = max(now, asleep_until)
            while events and events[0][0] <= now:
                heapq.heappop(events)[2](now)  # noticed now, not when it came
            if self.limiter.take(now):
                self._send(now, dice, at, foreign)
                continue
            upcoming = [self.limiter.next_free(), next_stall, events[0][0] if events else float("inf")]
            now = max(now + 1e-9, min(upcoming))
        self.arrivals.sort()
        return self

    def _send(self, now: float, dice: random.Random, at: At, foreign: list[float]) -> None:
        self.sent.append(now)
        there, back = self.path(now, dice)
        given_up = now + (dice.random() * (there + back) if dice.random() < self.trouble.cancelled else DEADLINE)
        lost = dice.random() < self.trouble.lost
        arrives = now + there
        if arrives <= given_up:
            self.arrivals.append(arrives)
        answer = float("inf") if lost else arrives + back
        if answer > given_up:
            at(given_up, lambda noticed: self._reset(noticed, now, given_up, arrives))
            return
        if any(True for one in foreign if arrives - 1 < one <= arrives) and self._full(arrives, foreign):
            self.throttled += 1
            at(answer, lambda noticed: self._frozen(noticed, now, dice))
            return
        self.trips.append(there + back)
        at(answer, lambda noticed: self.limiter.give_back(noticed, now))

    def _reset(self, noticed: float, sent: float, given_up: float, arrives: float) -> None:
        """A connection that was reset delivers nothing; a process that stood still resets it late."""
        if given_up < arrives <= noticed:
            self.arrivals.append(arrives)
        self.limiter.cancelled(noticed, sent)

    def _full(self, arrives: float, foreign: list[float]) -> bool:
        ours = sum(arrives - 1 < one <= arrives for one in self.arrivals[-20:])
        return ours + sum(arrives - 1 < one <= arrives for one in foreign) > 10

    def _frozen(self, noticed: float, sent: float, dice: random.Random) -> None:
        self.limiter.give_back(noticed, sent)
        if isinstance(self.limiter, Slots):
            self.limiter.freeze(noticed + dice.random() * 2)

    def _foreign(self, dice: random.Random, seconds: float) -> list[float]:
        found, now = [], 0.0
        while self.trouble.foreign and now < seconds:
            now += dice.expovariate(self.trouble.foreign)
            found.append(now)
        return found

    @property
    def most(self) -> int:
        """The most of our arrivals in any closed second."""
        first = found = 0
        for last, at in enumerate(self.arrivals):
            while self.arrivals[first] < at - 1.0:
                first += 1
            found = max(found, last - first + 1)
        return found

    def rate(self, begin: float, end: float) -> float:
        """Calls a second between two instants."""
        return sum(begin <= one < end for one in self.sent) / (end - begin)

    @property
    def bound(self) -> float:
        """10 / (1 + mean round trip)."""
        return 10 / (1 + sum(self.trips) / len(self.trips))


def steady(trip: float) -> Path:
    """Half there, half back."""
    return lambda now, dice: (trip / 2, trip / 2)


def changing(trip: float, factor: float) -> Path:
    """A route that halves, or doubles, at once."""
    return lambda now, dice: (trip / 2, trip / 2) if now < 20 else (trip / 2 * factor, trip / 2 * factor)


def jittered(there: float, back: float) -> Path:
    """Up to so much each way."""
    return lambda now, dice: (dice.random() * there, dice.random() * back)


def bursty(every: float) -> Path:
    """What is sent waits, and is delivered all at once, every so many seconds."""
    return lambda now, dice: (every - now % every, 0.01)


def lopsided(now: float, dice: random.Random) -> tuple[float, float]:
    """All of it there, or all of it back."""
    return (0.3, 0.0) if dice.random() < 0.5 else (0.0, 0.3)


PATHS: dict[str, Path] = {
    "none": steady(0.0),
    "50 ms": steady(0.05),
    "1 s": steady(1.0),
    "jitter": jittered(0.2, 0.2),
    "asymmetric": lopsided,
    "bursts": bursty(0.7),
    "halves": changing(1.0, 0.5),
    "doubles": changing(0.4, 2.0),
    "slow there": jittered(3.0, 0.1),
}
TROUBLES: dict[str, Trouble] = {
    "none": Trouble(),
    "lost": Trouble(lost=0.1),
    "cancelled": Trouble(cancelled=0.2),
    "stalls": Trouble(stalls=0.3),
    "foreign": Trouble(foreign=6.0),
    "everything": Trouble(lost=0.05, cancelled=0.1, stalls=0.2, foreign=3.0),
}
