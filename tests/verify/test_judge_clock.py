"""The judge finds each way to tell thresholds and expiry wrongly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.verify.forge import START, Forge, drop, edit, found, sample
from tests.verify.judge import judge


def test_a_false_threshold() -> None:
    made = sample()
    made.tell(100, "expiring", "d", threshold="60s")
    assert found(made) == {"false threshold"}  # too early
    made = sample()
    made.tell(100, "expiring", "b", threshold="60s")
    assert found(made) == {"false threshold"}  # revoked
    made = sample()
    made.tell(100, "expiring", "d", threshold="7d")
    assert found(made) == {"false threshold"}  # not configured


def test_thresholds_passed_at_once_give_the_nearest() -> None:
    """The service was down from 50 s to 105 s, when both thresholds passed."""
    made = drop(sample(runs=[(0.0, 50.0), (105.0, 300.0)]), "expiring", "c")
    made.bodies.pop()
    made.tell(113, "expiring", "c", threshold="20s")
    made.tell(120.1, "expired", "c")
    assert found(made) == set()
    for body in made.bodies:
        if body["type"].endswith("expiring.v1"):
            body["data"]["threshold"] = "60s"
    assert found(made) == {"false threshold"}


def test_a_threshold_of_the_whole_lifetime_never_fires() -> None:
    made = sample(thresholds=("60s", "20s", "1000s", "100%"))
    assert found(made) == set()
    made.tell(130, "expiring", "d", threshold="100%")
    assert found(made) == {"false threshold"}


def baseline(told: str | None, **data: Any) -> Forge:
    """One certificate, discovered when 960 s of 1000 s are over."""
    made = Forge(thresholds=("60s", "20s"), end=50.0, runs=[(0.0, 50.0)])
    made.truth(-1, "initial", "a", lifetime=1000, age=960)
    made.call(1)
    made.tell(1.1, "discovered", "a")
    if told:
        made.tell(1.1, "expiring", "a", threshold=told, **data)
    made.tell_account(1.2, "baselined")
    made.tell(20.5, "expiring", "a", threshold="20s")
    made.tell(40.5, "expired", "a")
    return made


def test_the_baseline_tells_the_nearest_threshold_that_had_passed() -> None:
    assert found(baseline("60s", baseline=True)) == set()
    assert found(baseline("60s")) == {"false threshold"}
    assert found(baseline(None)) == set()  # the next passed within 30 s; the run is too short to demand this one
    made = baseline(None)
    made.bodies = [body for body in made.bodies if "expir" not in body["type"]]
    assert found(made) == {"missed threshold"}


def test_what_is_discovered_expired_is_never_told_as_expired() -> None:
    made = Forge(end=90.0, runs=[(0.0, 90.0)])
    made.truth(-1, "initial", "a", lifetime=1000, age=2000)
    made.call(1)
    made.tell(1.1, "discovered", "a")
    made.tell_account(1.2, "baselined")
    assert found(made) == set()
    made.tell(2, "expired", "a")
    assert found(made) == {"false threshold"}


def test_a_wrong_lifecycle() -> None:
    made = sample()
    made.bodies[-1]["data"]["lifecycle"] = "valid"
    assert found(made) == {"lifecycle"}


def test_a_threshold_told_long_before_it_passed_whatever_time_its_event_says() -> None:
    """`c` expires at 120 s."""
    assert found(edit(sample(), "events", -1, lambda one: one._replace(seen=START - 179.0))) == set()
    assert found(edit(sample(), "events", -1, lambda one: one._replace(seen=START - 183.0))) == {"told early"}


def test_what_a_wrong_clock_told_makes_up_for_what_passes_later() -> None:
    """At 30 s the clock is 70 s ahead, and the nearest that has passed is told; 60 s before is not told any more."""
    made = drop(sample(), "expiring", "c")
    made.tell(100.1, "expiring", "c", threshold="20s")
    made.bodies[-2:] = reversed(made.bodies[-2:])  # before `expired`
    edit(made, "events", -2, lambda one: one._replace(seen=START + 30.1))
    case = made.case()
    assert "missed threshold" in judge(case).kinds()
    assert judge(replace(case, wrong=((START + 20, START + 40),))).kinds() == set()
