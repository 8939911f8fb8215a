"""Never eleven arrivals in any second: slots against the network, and the known-bad ways that must fail here."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Protocol

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certstream.core.backoff import full_jitter
from certstream.core.pacing import SECOND, RoundTrip, Slots

Network = Callable[[float, random.Random], tuple[float, float]]
"""(time, dice) → seconds to the server, seconds back"""


class Limiter(Protocol):
    """What decides when a call may be sent."""

    def next_free(self) -> float: ...
    def take(self, now: float) -> bool: ...
    def give_back(self, answered: float) -> None: ...


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

    def give_back(self, answered: float) -> None:
        pass


class Credited(Slots):
    """Known bad: a part of the smallest round trip is credited."""

    smallest = float("inf")

    def answered(self, sent: float, received: float) -> None:
        self.smallest = min(self.smallest, received - sent)
        heapq.heappush(self._free_at, received + SECOND - 0.8 * self.smallest)


def simulate(
    limiter: Limiter, network: Network, *, seconds: float = 60.0, idle: float = 0.0, seed: int = 1
) -> list[float]:
    """Send whenever the limiter lets; when the calls arrived at the server."""
    dice = random.Random(seed)
    now, arrivals = idle, []
    answers: list[tuple[float, float]] = []
    while now < idle + seconds:
        while answers and answers[0][0] <= now:
            received, sent = heapq.heappop(answers)
            if isinstance(limiter, Credited):
                limiter.answered(sent, received)
            else:
                limiter.give_back(received)
        if limiter.take(now):
            there, back = network(now, dice)
            arrivals.append(now + there)
            heapq.heappush(answers, (now + there + back, now))
            continue
        now = max(now, min(limiter.next_free(), answers[0][0] if answers else float("inf")))
    return sorted(arrivals)


def most(arrivals: list[float]) -> int:
    """The most arrivals in any closed second."""
    first, found = 0, 0
    for last, at in enumerate(arrivals):
        while arrivals[first] < at - 1.0:
            first += 1
        found = max(found, last - first + 1)
    return found


def steady(trip: float) -> Network:
    """Half there, half back."""
    return lambda now, dice: (trip / 2, trip / 2)


def halved(trip: float) -> Network:
    """A route that halves at once."""
    return lambda now, dice: (trip / 2, trip / 2) if now < 20 else (trip / 4, trip / 4)


@settings(max_examples=80, deadline=None)
@given(
    there=st.tuples(st.floats(0, 3), st.floats(0, 3)),
    back=st.tuples(st.floats(0, 3), st.floats(0, 3)),
    qps=st.integers(1, 10),
    idle=st.floats(0, 100),
    seed=st.integers(0, 2**32),
)
@example(there=(0.0, 3.0), back=(0.0, 0.0), qps=10, idle=0.0, seed=1)
def test_there_are_never_more_than_ten_arrivals_in_any_closed_second_on_any_network(
    there: tuple[float, float], back: tuple[float, float], qps: int, idle: float, seed: int
) -> None:
    arrivals = simulate(
        Slots(qps),
        lambda now, dice: (dice.uniform(*sorted(there)), dice.uniform(*sorted(back))),
        seconds=20,
        idle=idle,
        seed=seed,
    )
    assert most(arrivals) <= qps


@pytest.mark.parametrize("trip", [0.0, 0.01, 0.05, 0.3, 1.0])
def test_throughput_is_all_that_the_bound_allows(trip: float) -> None:
    arrivals = simulate(Slots(10), steady(trip), seconds=200)
    assert len(arrivals) / 200 >= 0.98 * 10 / (1 + trip)


@pytest.mark.parametrize(
    ("limiter", "network"),
    [(TokenBucket(), steady(0.05)), (Credited(10), halved(1.0))],
    ids=["token bucket", "credit of 0.8 round trips"],
)
def test_the_same_simulation_catches_limiters_that_are_known_to_be_bad(limiter: Limiter, network: Network) -> None:
    assert most(simulate(limiter, network)) > 10
    assert most(simulate(Slots(10), network)) <= 10


def test_a_freeze_holds_every_slot_and_never_shortens() -> None:
    slots = Slots(2)
    slots.freeze(5.0)
    slots.freeze(3.0)
    assert not slots.take(4.9)
    assert slots.take(5.0)


def test_all_slots_are_back_only_when_each_has_rested() -> None:
    slots = Slots(1)
    assert slots.idle(0.0)
    assert slots.take(0.0)
    assert not slots.idle(9.0)
    assert slots.next_free() == float("inf")
    slots.give_back(1.0)
    assert not slots.idle(2.0)
    assert slots.idle(1.0 + SECOND)


@pytest.mark.parametrize("qps", [0, 11, -1])
def test_other_rates_than_one_to_ten_are_refused(qps: int) -> None:
    with pytest.raises(ValueError, match="qps"):
        Slots(qps)


def test_pages_of_a_sweep_start_a_little_closer_than_slots_come_back() -> None:
    trip = RoundTrip()
    assert trip.gap(10) == pytest.approx(0.098, rel=0.01)
    for _ in range(100):
        trip.measured(0.0, 0.5)
    assert trip.gap(10) == pytest.approx(0.147, rel=0.01)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_is_bounded_and_jittered_over_its_whole_length(attempt: int, roll: float) -> None:
    assert 0 <= full_jitter(attempt, roll) < 20.0
    assert full_jitter(0, roll) <= 0.2
