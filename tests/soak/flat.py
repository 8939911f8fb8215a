"""Is a series level? Robust against spikes and sawteeth; only a rise is blamed, for that is what a leak is."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
"""Seconds since the start, and a value."""

HOUR = 3600.0
WARM_UP = 0.2
"""Share of the time that is not judged: the first sweeps fill memory, pools and connections."""
FEWEST = 12
"""Points below which nothing can be said."""
ANSWERED = 0.8
"""Share of the samples in which a quantity must have been there."""
BLOCKS = 300
"""A long series is judged by the medians of so many parts: Theil–Sen looks at every pair."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is watched, and by how much it may rise from the end of the warm-up to the end of the run: `floor`, plus
    `share` of its median, plus `hourly` for each hour."""

    name: str
    title: str
    unit: str
    floor: float
    hourly: float = 0.0
    share: float = 0.0

    def allowed(self, median: float, seconds: float) -> float:
        """In its unit, over so many seconds."""
        return self.floor + self.share * median + self.hourly * seconds / HOUR


QUANTITIES = (
    # A row of state is kept for every certificate that ever was, 600 bytes: at a change a second under 1 MiB an hour.
    Quantity("rss", "memory, resident", "MiB", floor=2.0, hourly=4.0),
    Quantity("private", "memory, private", "MiB", floor=2.0, hourly=4.0),
    # Ten readers have up to ten connections, which faults close now and then: it wanders between 10 and 20.
    Quantity("descriptors", "file descriptors", "", floor=4.0),
    Quantity("threads", "threads", "", floor=1.0),
    Quantity("tasks", "asyncio tasks", "", floor=2.0),
    # It climbs from one length of a sweep to two and falls back; a machine with other work makes sweeps longer.
    Quantity("lag", "lag", "s", floor=5.0, share=0.25),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a quantity was after the warm-up. `slope` per hour; `rise` and `allowed` over the time that was judged."""

    quantity: Quantity
    points: tuple[Point, ...]
    low: float
    median: float
    high: float
    slope: float
    rise: float
    allowed: float
    problem: str | None

    @property
    def flat(self) -> bool:
        return self.problem is None


def judge(quantity: Quantity, series: Sequence[Point], *, expected: int, until: float) -> Verdict:
    """Decide about a series of which `expected` points should be there, of a run that lasted until `until` (seconds).

    The rise is the larger of two: what Theil–Sen (the median slope of all pairs) makes of the whole time, and how far
    the median of the last third lies above that of the first, which sees a step that comes late, too.
    """
    points = [point for point in series if WARM_UP * until <= point[0] <= until]
    if len(points) < FEWEST or len(series) < ANSWERED * expected:
        return _unknown(quantity, points, f"only {len(series)} of {expected} samples, {len(points)} after the warm-up")
    values = [value for _, value in points]
    seconds = points[-1][0] - points[0][0]
    median = statistics.median(values)
    slope = theil_sen(thinned(points, BLOCKS))
    rise = max(slope * seconds, _by_thirds(values))
    allowed = quantity.allowed(median, seconds)
    problem = f"rose by {rise:.1f}, {allowed:.1f} allowed" if rise > allowed else None
    return Verdict(quantity, tuple(points), min(values), median, max(values), slope * HOUR, rise, allowed, problem)


def theil_sen(points: Sequence[Point]) -> float:
    """The median slope of all pairs: up to 29 % of the points may be anything (Sen 1968)."""
    slopes = [
        (after - before) / (later - sooner)
        for (sooner, before), (later, after) in itertools.combinations(points, 2)
        if later > sooner
    ]
    return statistics.median(slopes) if slopes else 0.0


def thinned(points: Sequence[Point], blocks: int) -> list[Point]:
    """At most so many points: the medians of parts that are equally long."""
    count = min(blocks, len(points))
    parts = [points[len(points) * at // count : len(points) * (at + 1) // count] for at in range(count)]
    return [(statistics.median(at for at, _ in part), statistics.median(value for _, value in part)) for part in parts]


def _by_thirds(values: Sequence[float]) -> float:
    third = len(values) // 3
    return statistics.median(values[-third:]) - statistics.median(values[:third])


def _unknown(quantity: Quantity, points: Sequence[Point], problem: str) -> Verdict:
    nan = math.nan
    return Verdict(quantity, tuple(points), nan, nan, nan, nan, nan, nan, problem)
