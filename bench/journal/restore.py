"""Restoring an account of many certificates, beside a bare consumer loop on the same topic in the same process."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from statistics import median

import orjson

from bench.journal import place
from bench.journal.records import rows
from bench.result import Report, Target, Value, progress
from tests.real.kafka import Broker

REAL = 20_000
"""Certificates whose rows are made from records; larger accounts repeat them."""
EACH = 5_000
"""Rows in one transaction while the topic is filled."""
BARE = "bare aiokafka consumer"


async def run(broker: Broker, *, sizes: tuple[int, ...], rounds: int) -> Report:
    """Every size has topics and a process of its own."""
    await _fill(broker, "bench-warm.", 1_000)
    values: list[Value] = []
    for size in sizes:
        prefix = f"bench-state-{size}."
        width = await _fill(broker, prefix, size)
        values += await _measure(broker, prefix, size, rounds, width)
    how = f"journal.open + Ledger.restore, and a bare read_committed loop, in turn; median of {rounds}"
    return Report("restore", how, values)


async def _fill(broker: Broker, prefix: str, count: int) -> int:
    """Write `state` through the product's own shard; bytes of an average row, its key included."""
    journal, shard = await place.opened(await place.config(broker, prefix), place.ignore)
    written = size = 0
    told = time.monotonic()
    try:
        for puts in rows(count, real=REAL, each=EACH):
            await shard.commit(puts)
            written += len(puts)
            size += sum(len(put.key) + len(put.value or b"") for put in puts)
            if time.monotonic() - told > 2:
                told = time.monotonic()
                progress(f"restore: {written:,} of {count:,} rows written")
    finally:
        await journal.close()
    return size // count


async def _measure(broker: Broker, prefix: str, size: int, rounds: int, width: int) -> list[Value]:
    words = [sys.executable, "-m", "bench.journal.restorer", broker.bootstrap, "bench-warm.", prefix, str(size)]
    process = await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE)
    try:
        progress(f"restore: {size:,} rows, memory")
        grown = await _line(process)
        times: dict[str, list[float]] = {"bare": [], "certstream": []}
        known: dict[str, list[float]] = {"check": [], "schedule": []}
        for turn in range(rounds):
            for name in sorted(times, reverse=bool(turn % 2)):
                assert process.stdin is not None
                process.stdin.write(f"{name}\n".encode())
                found = await _line(process)
                times[name].append(found["seconds"])
                for part in known.keys() & found.keys():
                    known[part].append(found[part])
                rate = size / found["seconds"]
                progress(f"restore, {size:,} rows: round {turn + 1} of {rounds}, {name}: {rate:,.0f} rows/s")
        process.stdin.close()  # type: ignore[union-attr]
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    ours, theirs = ([size / seconds for seconds in times[name]] for name in ("certstream", "bare"))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return [
        Value(f"{size:,} rows: rows a second", median(ours), "/s", median(theirs), BARE, None, ours, 0),
        Value("  ratio to that", median(ratios), target=Target(0.5, True), runs=ratios),
        Value("  memory a row, all of it", grown["bytes"] / size, "B", target=Target(700.0), digits=0),
        Value("  at most, while restoring", grown["most"] / size, "B", digits=0),
        Value("  bytes of a row in the topic", width, "B", digits=0),
        Value("  looking into every row after it", median(known["check"]), "s", runs=known["check"]),
        Value("  building the calendar", median(known["schedule"]), "s", runs=known["schedule"]),
    ]


async def _line(process: Process) -> Mapping[str, float]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the restoring process died; what it said is above")
    found: Mapping[str, float] = orjson.loads(line)
    return found
