"""Slots, gaps and backoff; that no network breaks them is in `test_pacing_model`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certstream.core.backoff import full_jitter
from certstream.core.pacing import SECOND, RoundTrip, Slots


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
