"""`python -m bench.latency`: how soon a change is an event, in virtual time."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.latency.cell import KINDS, Cell, Pauses, cells
from bench.latency.chart import chart
from bench.latency.world import ORDERS

SIZES = (10_000, 100_000, 1_000_000)
RATES = (0.02, 0.1, 0.5)
WITHIN = 4.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all cells; default: a million, both steady orders")
    parser.add_argument("--certificates", type=int, help="one size alone")
    parser.add_argument("--order", choices=ORDERS, help="one order alone")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES[:2], help="changes a second")
    parser.add_argument("--events", type=int, default=300, help="new or deleted ones of a cell")
    parser.add_argument("--probe", type=float, default=5.0, help="probe_every, seconds")
    parser.add_argument("--sweep", type=float, default=0.0, help="sweep_every, seconds")
    parser.add_argument("--chart", type=Path, help="where the plot goes (SVG)")
    words = parser.parse_args()
    sizes = (words.certificates,) if words.certificates else SIZES if words.full else SIZES[-1:]
    orders = (words.order,) if words.order else ORDERS if words.full else ORDERS[:2]
    rates = RATES if words.full else words.rates
    began, found = time.monotonic(), list[Cell]()
    print(_HEAD, flush=True)
    for certificates in sizes:
        for order in orders:
            pauses = Pauses(words.sweep, words.probe)
            for cell in cells(certificates, order, rates, pauses, events=words.events):
                found.append(cell)
                print(text(cell), flush=True)
    print(f"{time.monotonic() - began:.0f} s")
    if words.chart is not None:
        words.chart.write_text(chart(found))
    return 0


_HEAD = (
    "| certificates | order | changes a second | kind | events | p50 | p99 | longest | within 4 s "
    "| naive p50 | naive p99 |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def text(cell: Cell) -> str:
    """Rows of the table; seconds. `–`: not told a minute after the last change."""
    rows = []
    for kind in KINDS:
        if values := cell.seconds[kind]:
            within = sum(value is not None and value <= WITHIN for value in values) / len(values)
            figures = [quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1.0)]
            naive = [quantile(cell.naive[kind], 0.5), quantile(cell.naive[kind], 0.99)]
            shown = " | ".join("–" if one is None else f"{one:,.2f} s" for one in figures)
            beside = " | ".join("–" if one is None else f"{one:,.0f} s" for one in naive)
            rows.append(
                f"| {cell.certificates:,} | {cell.order} | {cell.rate:g} | {kind} | {len(values)} | {shown} "
                f"| {100 * within:.1f} % | {beside} |"
            )
    return "\n".join(rows)


def quantile(values: Sequence[float | None], part: float) -> float | None:
    """Nearest rank; what was not told is longer than all else."""
    ordered = sorted(values, key=lambda value: float("inf") if value is None else value)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


if __name__ == "__main__":
    sys.exit(main())
