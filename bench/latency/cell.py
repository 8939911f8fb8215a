"""One list, watched by the service: one sweep, which learns its order; then a fork for every rate of changes."""

from __future__ import annotations

import asyncio
import gc
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

from bench.latency.world import LEFT_OUT, TRIP, Journal, Order, Source, World
from certstream.app import build
from certstream.config import Account, Config
from certstream.core.pacing import SECOND
from certstream.service.clock import Clock
from certstream.service.opening import Ownership
from tests.simulation.loop import EPOCH, Loop

PAGE = 100
SMALL = 1_000
"""Certificates of an account that is played in many short histories."""
TAIL = 60.0
"""Seconds after the last change, and some sweeps, until which changes are waited for."""
SWEEPS = 2
"""Sweeps alternate, and what only they show (a revocation) may lie where the last one has just been."""
UNSTEADY_SWEEPS = 12
"""In an unsteady order several together say what is gone."""
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


class List(msgspec.Struct, frozen=True):
    """What is watched, and at which rates of changes."""

    certificates: int
    order: Order
    rates: tuple[float, ...]
    pauses: Pauses = Pauses()

    def each(self, events: int) -> int:
        """New or deleted ones of one history: of a small account so few that they are no mass disappearance, even if
        all were deletions."""
        return min(events, max(self.certificates * 8 // 100, 1), 10 if self.certificates <= SMALL else events)


def cells(watched: List, *, events: int) -> Iterator[Cell]:
    """Watch one list at these rates, `events` new or deleted ones each. Takes a process of its own. Raises RuntimeError
    where that dies."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "cells")
        path.touch()
        if (child := os.fork()) == 0:
            try:
                _play(watched, events, path)
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.waitpid(child, 0)
        found = [msgspec.json.decode(line, type=Cell) for line in path.read_bytes().splitlines()]
    for rate in watched.rates:
        histories = [cell for cell in found if cell.rate == rate]
        if len(histories) != -(-events // watched.each(events)):
            raise RuntimeError("a history died; what it said is above")
        yield _together(histories)


def _together(cells: Sequence[Cell]) -> Cell:
    """Several histories as one."""

    def joined(parts: Sequence[dict[str, list[float | None]]]) -> dict[str, list[float | None]]:
        return {kind: [value for part in parts for value in part[kind]] for kind in KINDS}

    return msgspec.structs.replace(
        cells[0],
        seconds=joined([cell.seconds for cell in cells]),
        naive=joined([cell.naive for cell in cells]),
        calls=sum(cell.calls for cell in cells),
        virtual=sum(cell.virtual for cell in cells),
    )


def _play(watched: List, events: int, path: Path) -> None:
    logging.disable(logging.CRITICAL)
    loop = Loop(limit=math.inf)
    loop.run(_watch(World(loop, watched.certificates, watched.order, seed=1), watched, events, path))


async def _watch(world: World, watched: List, events: int, path: Path) -> None:
    loop, pauses = world.loop, watched.pauses

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
    await asyncio.wait((running,), timeout=1.15 * sweep + pauses.sweep_every + 5.0)  # its order is known
    if running.done():
        running.result()
    gc.collect()
    gc.freeze()
    each = watched.each(events)
    for rate in watched.rates:
        for history in range(-(-events // each)):
            if (child := os.fork()) == 0:
                events_of_asyncio._set_running_loop(loop)  # it goes on in this process
                seed = f"{len(world.list)}/{world.order}/{rate}/{history}"
                world.dice.seed(seed)
                clock.random.seed(seed)
                await _change(world, rate, pauses, each, path)
                os._exit(0)
            os.waitpid(child, 0)  # noqa: ASYNC222 - time stands still meanwhile
    os._exit(0)


async def _change(world: World, rate: float, pauses: Pauses, events: int, path: Path) -> None:
    began, before, dice = world.loop.now, world.calls, world.dice
    certificates = len(world.list)
    while sum(kind != "revoked" for kind, _ in world.changed) < events:
        await asyncio.sleep(dice.expovariate(rate))
        world.happen()
    sweep = -(-len(world.list) // PAGE) * (SECOND + TRIP) / 10
    sweeps = UNSTEADY_SWEEPS if world.order == "unsteady" else SWEEPS
    end = world.loop.now + TAIL + sweeps * max(sweep, pauses.sweep_every)
    while world.loop.now < end and not world.changed.keys() <= world.told.keys():  # noqa: ASYNC110 - in virtual time
        await asyncio.sleep(1.0)
    found = {kind: list[float | None]() for kind in KINDS}
    naive = {kind: list[float | None]() for kind in KINDS}
    for (kind, one), at in world.changed.items():
        told = world.told.get((kind, one))
        found[kind].append(None if told is None else round(told - at, 3))
        naive[kind].append(round(_naive(kind, world.order, sweep, certificates, dice), 3))
    cell = Cell(
        certificates, world.order, rate, pauses, found, naive, world.calls - before, round(world.loop.now - began, 1)
    )
    with path.open("ab") as file:
        file.write(msgspec.json.encode(cell) + b"\n")


def _naive(kind: str, order: Order, sweep: float, certificates: int, dice: Random) -> float:
    """A poller that sweeps forward without a pause, and tells what is missing at a sweep's end: the change happens at a
    random moment of a sweep, at a random place of the list, but news at the top where the newest is first.

    In an unsteady order each sweep leaves out a share of the list, which would be told as deleted every time. So it
    tells what so many sweeps have left out that chance alone leaves less than one certificate.
    """
    moment = dice.random() * sweep
    place = 0.0 if kind == "new" and order != "by identifier" else dice.random() * sweep
    late = 0
    if order == "unsteady" and kind == "deleted":
        late = math.ceil(math.log(certificates) / -math.log(LEFT_OUT)) - 1
    while order == "unsteady" and kind != "deleted" and dice.random() < LEFT_OUT:
        late += 1
    if kind == "deleted":
        return (late + (1 if place > moment else 2)) * sweep - moment
    return place - moment + (late + (place <= moment)) * sweep
