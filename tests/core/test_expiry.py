"""Thresholds and notAfter: what fires, when, and how often."""

from __future__ import annotations

import pytest

from certstream.core.times import threshold, thresholds
from tests.core.world import DAY, START, World, kind_of, record, watching


def expiring(days: float, **fields: object) -> dict[str, object]:
    """A certificate whose notAfter lies so many days after the beginning."""
    return record("a", AfterDate=START + round(days * DAY), **fields)


def walk(world: World, days: int) -> list[tuple[int, str, str | None]]:
    """Let days pass one by one: (day, kind, threshold) of what is told."""
    told = []
    for day in range(1, days + 1):
        before = len(world.events)
        for kind in world.tick(days=1):
            told.append((day, kind, world.events[before]["data"].get("threshold")))
            before += 1
    return told


def test_each_threshold_is_told_once_and_then_expired_once() -> None:
    world = watching(expiring(40.5), texts=("30d", "7d", "1d"))
    assert walk(world, 60) == [
        (11, "expiring", "30d"),
        (34, "expiring", "7d"),
        (40, "expiring", "1d"),
        (41, "expired", None),
    ]
    assert "observed" not in world.last
    assert world.inventory("a")["threshold"] == "1d"


def test_parts_of_the_lifetime_fire() -> None:
    world = watching(expiring(100, BeforeDate=START - 100 * DAY), texts=("33%", "0.5%"))
    assert walk(world, 101) == [(34, "expiring", "33%"), (99, "expiring", "0.5%"), (100, "expired", None)]


@pytest.mark.parametrize("text", ["10d", "11d", "240h"])
def test_a_threshold_as_long_as_the_lifetime_never_fires(text: str) -> None:
    world = watching(expiring(5, BeforeDate=START - 5 * DAY), texts=(text,))
    assert [kind_of(event) for event in world.events] == ["discovered", "baselined", "digest"]
    assert walk(world, 6) == [(5, "expired", None)]


def test_several_that_passed_at_once_give_the_nearest() -> None:
    world = watching(expiring(40), texts=("30d", "7d", "1d"))
    assert world.tick(days=34) == ["expiring"]
    assert world.last["threshold"] == "7d"
    assert world.last["baseline"] is False
    assert world.tick(days=10) == ["expired"]


def test_a_not_after_that_flips_back_is_not_told_again() -> None:
    world = watching(expiring(20), expiring(20), texts=("30d",))
    assert world.page(expiring(25)) == ["changed", "expiring"]
    assert world.page(expiring(20)) == [], "as it was a moment ago: which of two copies is it?"
    for days in (20, 25, 300, 20):
        assert world.look_up("a", expiring(days)) == ["changed"]
    assert world.inventory("a")["threshold"] == "30d"


def test_a_threshold_added_later_tells_only_those_that_cross_it_later() -> None:
    world = watching(expiring(20), record("b", AfterDate=START + 40 * DAY), texts=("7d",))
    world.now += 1
    world.configure("30d", "7d")
    assert world.tick() == []
    assert walk(world, 20) == [(10, "expiring", "30d"), (13, "expiring", "7d"), (20, "expired", None)]


def test_a_threshold_that_was_removed_is_not_told_and_not_again_when_it_comes_back() -> None:
    world = watching(expiring(40), texts=("30d", "14d", "7d"))
    assert walk(world, 12) == [(10, "expiring", "30d")]
    world.configure("7d")
    assert walk(world, 16) == []
    world.configure("30d", "14d", "7d")
    assert world.tick() == []
    assert walk(world, 13) == [(5, "expiring", "7d"), (12, "expired", None)]


def test_a_threshold_spelled_differently_is_not_told_twice() -> None:
    world = watching(expiring(20), texts=("30d",))
    world.now += 1
    world.configure("720h")
    assert walk(world, 10) == []


def test_nothing_is_told_while_revoked_and_what_is_left_when_it_turns_back() -> None:
    world = watching(expiring(40), texts=("30d",))
    assert world.page(expiring(40, Status="REVOKE")) == ["revoked"]
    assert walk(world, 41) == []
    assert world.look_up("a", expiring(40)) == ["changed", "expired"]


def test_a_not_after_that_appears_or_vanishes_does_not_stop_thresholds() -> None:
    world = watching(record("a", AfterDate=None), texts=("30d",))
    assert world.page(expiring(40.5)) == []
    assert world.page(record("a", AfterDate=None)) == []
    assert walk(world, 41) == [(11, "expiring", "30d"), (41, "expired", None)]


def test_expired_and_thresholds_are_told_once_across_deletion_and_return() -> None:
    world = watching(expiring(20.5), record("b"), record("c"), record("d"), record("e"), texts=("30d",))
    assert world.delete("a") == ["deleted"]
    assert world.inventory("b")["sequence"]
    assert walk(world, 5) == []
    assert world.look_up("a", expiring(20.5)) == ["new"]
    assert world.inventory("a")["threshold"] == "30d"
    assert walk(world, 20) == [(16, "expired", None)]
    assert world.delete("a") == ["deleted"]
    assert world.last["lifecycle"] == "expired"
    assert world.look_up("a", expiring(20.5)) == ["new"]
    assert walk(world, 20) == []


def test_what_expired_while_it_was_gone_is_told_when_it_returns() -> None:
    world = watching(expiring(20), record("b"), record("c"), record("d"), record("e"), texts=("30d",))
    world.delete("a")
    walk(world, 21)
    assert world.look_up("a", expiring(20)) == ["new", "expired"]


def test_without_a_clock_to_trust_nothing_fires_until_it_can_be_trusted() -> None:
    world = watching(record("b"), texts=("30d",))
    world.fires = False
    assert world.page(record("b"), expiring(20)) == ["new"]
    assert world.page(record("b"), expiring(-1)) == ["changed"]
    world.fires = True
    assert world.tick() == ["expired"]


def test_a_baseline_without_a_clock_to_trust_is_told_as_a_baseline_later() -> None:
    world = World(texts=("30d",), fires=False)
    world.page(expiring(20), record("b", AfterDate=START - DAY), record("c", AfterDate=START + 31 * DAY))
    world.fires = True
    assert world.tick() == ["expiring"]
    assert world.last["baseline"] is True
    assert walk(world, 40) == [(1, "expiring", "30d"), (20, "expired", None), (31, "expired", None)]


def test_a_clock_that_was_ahead_at_the_baseline_does_not_swallow_expired() -> None:
    world = World(texts=("30d",), fires=False, skew=3 * DAY)
    world.page(expiring(2))
    assert world.last["lifecycle"] == "expired"
    world.skew, world.fires = 0, True
    assert "expired" in [kind for _, kind, _ in walk(world, 3)]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("90s", 90_000), ("5m", 300_000), ("12h", 43_200_000), ("30d", 30 * DAY), ("0.5d", DAY // 2)],
)
def test_durations_are_read(text: str, milliseconds: int) -> None:
    assert threshold(text).duration == milliseconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "0s", "0%", "100%", "1w", "1e3d", "٣d", "9" * 400 + "d", "1 d"])
def test_what_is_no_threshold_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        threshold(text)


def test_a_threshold_given_twice_is_refused() -> None:
    for texts in (("30d", "720h"), ("33%", "33.0%")):
        with pytest.raises(ValueError, match="twice"):
            thresholds(texts)
