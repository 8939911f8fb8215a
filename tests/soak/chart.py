"""A small chart for a person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TextIO

from tests.soak.flat import WARM_UP, Verdict, thinned

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 36


def spark(values: Sequence[float], span: float) -> str:
    """A line of blocks. The whole height is at least `span`, so that what is level looks level."""
    low, high = min(values), max(values)
    middle, height = (low + high) / 2, max(high - low, span) or 1.0
    return "".join(BLOCKS[min(7, max(0, int(8 * ((value - middle) / height + 0.5))))] for value in values)


def print_chart(verdicts: Sequence[Verdict], title: str, out: TextIO) -> None:
    """A row for each quantity: its course, numbers, and whether it is flat."""

    def number(value: float, sign: str = "") -> str:
        return f"{'–':>8}" if math.isnan(value) else f"{value:>{sign}8.1f}"

    print(f"\n── {title} " + "─" * max(3, 112 - len(title)), file=out)
    heads = "".join(f"{head:>8}" for head in ("min", "median", "max", "slope/h", "rise", "allowed"))
    print(f"  {f'after {WARM_UP:.0%} warm-up':<24}{heads}", file=out)
    for verdict in verdicts:
        quantity = verdict.quantity
        name = quantity.title + (f" ({quantity.unit})" if quantity.unit else "")
        numbers = number(verdict.low) + number(verdict.median) + number(verdict.high)
        numbers += number(verdict.slope, "+") + number(verdict.rise, "+") + number(verdict.allowed)
        course = [value for _, value in thinned(verdict.points, WIDTH)] if verdict.points else []
        span = 0.0 if math.isnan(verdict.allowed) else verdict.allowed
        blocks = spark(course, span) if course else ""
        print(f"  {name:<24}{numbers}  {'✓' if verdict.flat else '✗'} {blocks}", file=out)
    for verdict in verdicts:
        if verdict.problem is not None:
            print(f"  {verdict.quantity.title}: {verdict.problem}", file=out)
