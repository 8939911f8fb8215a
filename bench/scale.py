"""A certificate's memory and CPU in accounts of several sizes, and the calendar of their thresholds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson

from bench.listing import keep
from bench.result import Report, Target, Value, progress

MILLION = 1_000_000


def run(*, sizes: Sequence[int]) -> list[Report]:
    """Each size in a process of its own."""
    found: dict[int, dict[str, float]] = {}
    with tempfile.NamedTemporaryFile(prefix="certstream-bench-") as file:
        keep(Path(file.name))
        for size in sizes:
            progress(f"scale: {size:,} certificates")
            found[size] = _measured(size, file.name)
    return [_sweeps(found), _calendars(found)]


def _measured(size: int, records: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.scaled", str(size), records], stdout=subprocess.PIPE, check=True
    )
    found: dict[str, float] = orjson.loads(done.stdout)
    return found


def _sweeps(found: dict[int, dict[str, float]]) -> Report:
    values: list[Value] = []
    for size, one in found.items():
        million = size == MILLION
        values += [
            Value(
                f"{size:,}: memory of each, in all",
                one["bytes"] / size,
                "B",
                target=Target(700.0) if million else None,
                digits=0,
            ),
            Value("  CPU of a sweep, each", 1e6 * one["sweep"] / size, "µs"),
            Value("  a whole sweep", one["sweep"], "s", target=Target(6.0) if million else None),
            Value("  with HTTP, each", 1e6 * one["with HTTP"] / size, "µs"),
            Value("  a whole sweep with HTTP", one["with HTTP"], "s", target=Target(12.0) if million else None),
            Value("  a call of 100 at ten a second", 1e3 * one["paced call"], "ms"),
        ]
    each = [one["sweep"] / size for size, one in found.items()]
    middle = (max(each) + min(each)) / 2
    if len(each) > 1:
        values.append(
            Value("sizes differ from their middle by", 100 * (max(each) / middle - 1), "%", target=Target(15))
        )
    return Report("sweep", "restored, then swept unchanged, pages of 100; CPU time, best of 3 without HTTP", values)


def _calendars(found: dict[int, dict[str, float]]) -> Report:
    values: list[Value] = []
    for size, one in found.items():
        built, tick = (Target(1.0), Target(50.0)) if size == MILLION else (None, None)
        values.append(Value(f"{size:,}: looking into every row", one["check"], "s"))
        values.append(Value("  its longest step", 1000 * one["check step"], "ms"))
        for name, suffix in (("60d 30d 14d 7d 3d 1d", ""), ("60d 14d 1d 33% 10% 2%", ", parts")):
            values += [
                Value(f"  built, {name}", one[f"built{suffix}"], "s", one["heap"], "heapq of tuples", built),
                Value("  its longest step", 1000 * one[f"built step{suffix}"], "ms"),
                Value("  an idle tick", 1e6 * one[f"tick{suffix}"], "µs", 1e6 * one["scan"], "scan", tick),
            ]
    return Report(
        "expiry", "after a restore: every row looked into, and the calendar built, in steps; CPU time", values
    )
