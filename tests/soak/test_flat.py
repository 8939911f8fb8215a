"""A leak is found, noise is not."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable

import pytest

from tests.soak.chart import print_chart, spark
from tests.soak.flat import QUANTITIES, Point, Quantity, Verdict, judge, theil_sen, thinned

SECONDS = 1800
EVERY = 2
EXPECTED = SECONDS // EVERY
BY_NAME = {quantity.name: quantity for quantity in QUANTITIES}
NOISE = random.Random(1)

Course = Callable[[float], float]


def sampled(course: Course) -> list[Point]:
    return [(float(at), course(at)) for at in range(EVERY, SECONDS + 1, EVERY)]


def verdict(name: str, course: Course) -> Verdict:
    return judge(BY_NAME[name], sampled(course), expected=EXPECTED, until=SECONDS)


def sawtooth(at: float) -> float:
    """A lag: from one length of a sweep, 12 s, to two."""
    return 12 + at % 12 + NOISE.random()


LEVEL: list[tuple[str, Course]] = [
    ("rss", lambda at: 100 + NOISE.gauss(0, 1)),
    ("rss", lambda at: 60 + 40 * min(1, at / 300)),  # it grows in the warm-up alone
    ("rss", lambda at: 100 + 0.8 * at / 3600),  # what the rows of deleted certificates cost
    ("rss", lambda at: 100 + (30 if 900 <= at < 1000 else 0)),  # a spike that is given back
    ("rss", lambda at: 120 - at / 100),
    ("descriptors", lambda at: 21 + NOISE.randint(-4, 4)),
    ("descriptors", lambda at: 500 if NOISE.random() < 0.02 else 21),
    ("threads", lambda at: 3),
    ("tasks", lambda at: 30 + 12 * (NOISE.random() < 0.3)),
    ("lag", sawtooth),
    ("lag", lambda at: sawtooth(at) + (60 if NOISE.random() < 0.03 else 0)),  # a sweep that was not complete
]
LEAKS: list[tuple[str, Course]] = [
    ("rss", lambda at: 100 + 10 * at / 3600 + NOISE.gauss(0, 1)),
    ("private", lambda at: 100 + (6 if at > 1300 else 0)),  # a step that comes late
    ("descriptors", lambda at: 21 + at // 200 + NOISE.randint(-4, 4)),
    ("threads", lambda at: 3 + at // 500),
    ("tasks", lambda at: 30 + at // 200 + 12 * (NOISE.random() < 0.3)),
    ("lag", lambda at: sawtooth(at) + at / 100),
    ("lag", lambda at: 12 + max(0.0, at - 900)),  # it stands still from the middle on
]


@pytest.mark.parametrize(("name", "course"), LEVEL)
def test_what_is_level_is_flat_whatever_its_noise(name: str, course: Course) -> None:
    found = verdict(name, course)
    assert found.flat, found.problem


@pytest.mark.parametrize(("name", "course"), LEAKS)
def test_a_leak_is_found(name: str, course: Course) -> None:
    assert not verdict(name, course).flat


def test_the_slope_is_per_hour() -> None:
    assert verdict("rss", lambda at: 100 + 10 * at / 3600).slope == pytest.approx(10)


def test_theil_sen_does_not_hear_a_quarter_of_outliers() -> None:
    points = [(float(at), 1e6 if at % 4 == 0 else 3.0 * at) for at in range(1, 101)]
    assert theil_sen(points) == pytest.approx(3, rel=0.1)


def test_theil_sen_of_one_moment_is_level() -> None:
    assert theil_sen([(1.0, 5.0), (1.0, 9.0)]) == 0


def test_a_long_series_is_thinned_to_medians() -> None:
    points = [(float(at), 1e6 if at % 10 == 0 else 7.0) for at in range(20_000)]
    assert {value for _, value in thinned(points, 200)} == {7.0}
    assert len(thinned(points, 200)) == 200
    assert thinned(points[:3], 200) == points[:3]


@pytest.mark.parametrize("kept", [0, 5, 600])
def test_what_was_seldom_known_is_not_flat(kept: int) -> None:
    found = judge(BY_NAME["lag"], sampled(lambda at: 12)[:kept], expected=EXPECTED, until=SECONDS)
    assert not found.flat
    assert math.isnan(found.rise)


def test_what_is_level_looks_level_and_a_rise_looks_like_one() -> None:
    assert len(set(spark([100.0, 100.1, 99.9, 100.0], 4.0))) <= 2
    assert spark([0.0, 5.0, 10.0], 4.0) == "▁▅█"
    assert len(set(spark([3, 3, 3], 0.0))) == 1


def test_the_chart_names_what_is_not_flat() -> None:
    out = io.StringIO()
    nothing = judge(Quantity("lag", "lag", "s", 1.0), [], expected=EXPECTED, until=SECONDS)
    print_chart([verdict("threads", lambda at: 3), verdict("rss", lambda at: at), nothing], "a run", out)
    lines = out.getvalue().splitlines()
    assert sum("✓" in line for line in lines) == 1
    assert sum("✗" in line for line in lines) == 2
    assert any(line.startswith("  memory, resident: rose by ") for line in lines)
    assert "  lag: only 0 of 900 samples, 0 after the warm-up" in lines
