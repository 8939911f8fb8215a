"""`python -m bench.latency`: how soon a change is an event, in virtual time."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.latency.cell import SMALL, Cell, List, Pauses, cells
from bench.latency.chart import chart
from bench.latency.table import DEFAULT, table
from bench.latency.world import ORDERS
from bench.result import progress, progress_over

SIZES = (10_000, 100_000, 1_000_000)
RATES = (0.02, 0.1, 0.5)
NO_PAUSE = Pauses(0.0, 1.0)
"""No pause between sweeps; the list of the revoked is read each second."""
QUICK = Pauses(300.0, 1.0)
"""Of the small accounts."""
PLAYED: tuple[List, ...] = (
    List(1_000_000, "newest first", (0.02, 0.1), NO_PAUSE),
    List(1_000_000, "by identifier", (0.1,), NO_PAUSE),
    List(1_000_000, "unsteady", (0.1,), NO_PAUSE),
    List(10_000, "by identifier", (0.1,), NO_PAUSE),
    List(10_000, "by identifier", (0.1,), DEFAULT),
    List(1_000, "newest first", (0.1,), QUICK),
    List(100, "newest first", (0.1,), QUICK),
)
"""By default: ten minutes. A sweep of a million takes longer than the default pause, which then is none."""
ALL: tuple[List, ...] = (
    *(List(size, order, RATES, NO_PAUSE) for size in SIZES for order in ORDERS),
    *(List(size, order, RATES, DEFAULT) for size in SIZES[:2] for order in ORDERS),
    *(List(size, order, RATES[:2], QUICK) for size in (SMALL, 100) for order in ORDERS[:2]),
)


def main() -> int:
    words = _arguments()
    found: list[Cell] = []
    for path in words.show:
        found += [msgspec.json.decode(line, type=Cell) for line in path.read_bytes().splitlines()]
    began = time.monotonic()
    for watched in () if words.show else _chosen(words):
        what = f"{watched.certificates:,}, {watched.order}, {watched.pauses.sweep_every:g} s between sweeps"
        progress(f"latency: {what}: restored, and swept once")
        for cell in cells(watched, events=words.events):
            found.append(cell)
            progress(f"latency: {what}, {cell.rate:g} changes a second: {cell.calls:,} calls in {cell.virtual:,.0f} s")
            if words.keep is not None:
                with words.keep.open("ab") as file:
                    file.write(msgspec.json.encode(cell) + b"\n")
    progress_over()
    print(table(found))
    print(f"{time.monotonic() - began:.0f} s")
    if words.chart is not None:
        words.chart.write_text(chart(found))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all cells")
    parser.add_argument("--certificates", type=int, help="a list of so many instead")
    parser.add_argument("--order", choices=ORDERS, default=ORDERS[0], help="of that list")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES[:2], help="changes a second in that list")
    parser.add_argument("--probe", type=float, default=1.0, help="probe_every of that list, seconds")
    parser.add_argument("--sweep", type=float, default=0.0, help="sweep_every of that list, seconds")
    parser.add_argument("--events", type=int, default=300, help="new or deleted ones of a cell")
    parser.add_argument("--keep", type=Path, help="append the cells to this file")
    parser.add_argument("--show", type=Path, nargs="+", default=[], help="play nothing: the table of cells kept before")
    parser.add_argument("--chart", type=Path, help="where the plot goes (SVG)")
    words = parser.parse_args()
    if min(words.events, words.certificates or 100) < 1 or min(words.rates) <= 0:
        parser.error("at least 1 event and certificate, and changes that come")
    return words


def _chosen(words: argparse.Namespace) -> Sequence[List]:
    if words.certificates is not None:
        return (List(words.certificates, words.order, tuple(words.rates), Pauses(words.sweep, words.probe)),)
    return ALL if words.full else PLAYED


if __name__ == "__main__":
    sys.exit(main())
