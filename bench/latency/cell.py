"""One list, watched by the service: one sweep, which learns its order; then a fork for every rate of changes."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import math
import os
import tempfile
import traceback
from asyncio import events as events_of_asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import msgspec

from bench.latency.world import TRIP, Journal, Order, Source, World
from certstream.app import build
from certstream.config import Account, Config
from certstream.core.pacing import SECOND
from certstream.service.clock import Clock
from certstream.service.opening import Ownership
from tests.simulation.loop import EPOCH, Loop

PAGE = 100
TAIL = 60.0
"""Seconds for which the last changes are waited for."""
KINDS = ("new", "deleted", "revoked")
NEVER = math.inf


class Pauses(msgspec.Struct, frozen=True):
    """`sweep_every` and `probe_every`, seconds."""

    sweep_every: float = 0.0
    probe_every: float = 5.0


class Cell(msgspec.Struct, frozen=True):
    """Seconds from a change to its commit, by kind; `naive`: of a poller that does nothing but sweep. What was not told
    when the cell ended is None."""

    certificates: int
    order: Order
    rate: float
    pauses: Pauses
    seconds: dict[str, list[float | None]]
    naive: dict[str, list[float | None]]
    calls: int
    virtual: float


def cells(certificates: int, order: Order, rates: Sequence[float], pauses: Pauses, *, events: int) -> Iterator[Cell]:
    """Watch one list at these rates, `events` new or deleted ones each. Takes a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "cells")
        if (child := os.fork()) == 0:
            try:
                _play(certificates, order, rates, pauses, events, path)
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.waitpid(child, 0)
        for line in path.read_text().splitlines():
            yield msgspec.convert(json.loads(line), Cell)


def _play(certificates: int, order: Order, rates: Sequence[float], pauses: Pauses, events: int, path: Path) -> None:
    logging.disable(logging.CRITICAL)
    loop = Loop(limit=math.inf)
    loop.run(_watch(World(loop, certificates, order, seed=1), rates, pauses, events, path))


async def _watch(world: World, rates: Sequence[float], pauses: Pauses, events: int, path: Path) -> None:
    loop = world.loop

    def wall() -> int:
        return round((EPOCH + loop.now) * 1000)

    def source(account: Account, ownership: Ownership) -> Source:
        return Source(world, wall, ownership)

    account = Account(
        name="bench",
        budget="bench",
        endpoint="http://127.0.0.1:1",
        page_size=PAGE,
        sweep_every=pauses.sweep_every,
        probe_every=pauses.probe_every,
    )
    clock = Clock(monotonic=loop.time, boot=loop.time, wall=wall, random=Random("bench"))
    config = Config(journal="sqlite:///nowhere", accounts=(account,))
    service = build(config, clock=clock, journal=Journal(world), source=source)
    running = asyncio.ensure_future(service.run(asyncio.Event()))
    sweep = -(-len(world.list) // PAGE) * (SECOND + TRIP) / 10
    await asyncio.wait((running,), timeout=1.05 * sweep + pauses.sweep_every + 5.0)  # its order is known
    if running.done():
        running.result()
    gc.collect()
    gc.freeze()
    for rate in rates:
        if (child := os.fork()) == 0:
            events_of_asyncio._set_running_loop(loop)  # it goes on in this process
            await _change(world, rate, pauses, events, path)
            os._exit(0)
        os.waitpid(child, 0)  # noqa: ASYNC222 - time stands still meanwhile
    os._exit(0)


async def _change(world: World, rate: float, pauses: Pauses, events: int, path: Path) -> None:
    began, before, dice = world.loop.now, world.calls, Random(f"{rate}")
    while sum(kind != "revoked" for kind, _ in world.changed) < events:
        await asyncio.sleep(dice.expovariate(rate))
        world.happen()
    ended = world.loop.now
    await asyncio.sleep(TAIL)
    found = {kind: list[float | None]() for kind in KINDS}
    naive = {kind: list[float | None]() for kind in KINDS}
    sweep = -(-len(world.list) // PAGE) * (SECOND + TRIP) / 10
    for (kind, one), at in world.changed.items():
        told = world.told.get((kind, one))
        found[kind].append(None if told is None else round(told - at, 3))
        naive[kind].append(round(_naive(kind, world.order, sweep, dice), 3))
    cell = Cell(
        len(world.list), world.order, rate, pauses, found, naive, world.calls - before, round(ended - began + TAIL, 1)
    )
    with path.open("ab") as file:
        file.write(msgspec.json.encode(cell) + b"\n")


def _naive(kind: str, order: Order, sweep: float, dice: Random) -> float:
    """A poller that sweeps forward without a pause, and tells what is missing at a sweep's end: the change happens at a
    random moment of a sweep, at a random place of the list, but news at the top where the newest is first."""
    moment = dice.random() * sweep
    place = 0.0 if kind == "new" and order != "by identifier" else dice.random() * sweep
    if kind == "deleted":
        return (sweep if place > moment else 2 * sweep) - moment
    return place - moment if place > moment else place + sweep - moment
