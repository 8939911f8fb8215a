"""`python -m tests.sweeps.shuffled`: the job of `make verify-shuffled` in virtual time, with how long everything took.

2,000 certificates in another order at every call, two changes a second, one call in twenty wrong, killed twice.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from random import Random
from typing import NamedTuple

from certstream.config import Account
from tests.simulation.loop import EPOCH
from tests.simulation.population import Deed
from tests.simulation.weather import Fault
from tests.sweeps.judge import Told, Truth, events, falsehoods
from tests.sweeps.world import ACCOUNT, World
from tests.verify.history import COMMIT, STOOD

MIX = (("issue", 0.35), ("revoke", 0.15), ("drop", 0.30), ("edit", 0.20))
QUIET = 75.0
"""Seconds before the end in which nothing happens."""
ALWAYS = 1e6


class Setup(NamedTuple):
    """What is played."""

    certificates: int = 2000
    rate: float = 2.0
    faults: float = 0.05
    page_size: int = 100
    minutes: float = 5.0
    kills: int = 2
    latency: float = 0.05
    commit: float = 0.03


class Delay(NamedTuple):
    """A change and when it was told, seconds after it; `demanded`: seconds after it that it had to be, at most."""

    seed: int
    at: float
    what: str
    subject: str
    told: float | None
    demanded: float


class Played(NamedTuple):
    """What one seed came to."""

    seed: int
    delays: list[Delay]
    false: list[str]
    sweeps: int
    calls: int
    seconds: float
    baselined: float


def world_of(seed: int, setup: Setup) -> World:
    """Faults as the simulator's: of six kinds, one never answers in time."""
    account = Account(
        name=ACCOUNT, endpoint="http://127.0.0.1:1", page_size=setup.page_size, sweep_every=0.0, staleness=30.0
    )
    sixth = setup.faults / 6
    faults = [
        Fault(0.0, "unsteady", ALWAYS, 1.0),
        Fault(0.0, "api.lost", ALWAYS, sixth),
        Fault(0.0, "api.error", ALWAYS, 2 * sixth),
        Fault(0.0, "api.garbled", ALWAYS, 3 * sixth),
    ]
    return World(
        seed=seed,
        certificates=setup.certificates,
        order="newest",
        account=account,
        latency=setup.latency,
        faults=faults,
        commit=setup.commit,
    )


def play(seed: int, setup: Setup) -> Played:
    """One run of five minutes."""
    dice = Random(f"{seed}/shuffled")
    world = world_of(seed, setup)
    seconds = setup.minutes * 60
    last = seconds - QUIET
    runs: list[tuple[float, float]] = []

    async def story() -> None:
        at = dice.expovariate(setup.rate)
        while at < last:
            what = dice.choices([one for one, _ in MIX], [share for _, share in MIX])[0]
            world.loop.outside(at, world.population.happen, Deed(0.0, what, dice.random()))
            at += dice.expovariate(setup.rate)
        began, first = 0.0, 8.0
        part = (last - 3 - first) / max(1, setup.kills)
        for number in range(setup.kills):
            await asyncio.sleep(first + part * (number + dice.random()) - world.loop.now)
            world.kill()
            runs.append((began, world.loop.now))
            await asyncio.sleep(2 * dice.random())
            world.start()
            began = world.loop.now
        await asyncio.sleep(seconds - world.loop.now)
        runs.append((began, world.loop.now))

    world.run(story())
    told = events(world.journal.kept)
    ends = [one.at for one in told if one.kind == "account.baselined"]
    return Played(
        seed=seed,
        delays=list(_delays(seed, world, told, runs, ends[0] if ends else seconds)),
        false=falsehoods(told, Truth(world.population), world.lies, lag=0.0),
        sweeps=len(world.sweeps),
        calls=len(world.upstream.sendings),
        seconds=seconds,
        baselined=ends[0] if ends else -1.0,
    )


def _delays(
    seed: int, world: World, told: list[Told], runs: list[tuple[float, float]], baselined: float
) -> Iterator[Delay]:
    of: dict[str, list[Told]] = {}
    for one in told:
        of.setdefault(one.subject.rpartition("/")[2], []).append(one)
    changes = world.population.changes
    until: dict[str, float] = {}
    end = runs[-1][1]
    for change in reversed(changes):
        at, stood = change.at - EPOCH, until.get(change.identifier, end)
        until[change.identifier] = at
        earliest = baselined if change.record is None else 0.0
        starts = [
            max(at, start, earliest) for start, stop in runs if min(stood, stop) - max(at, start, earliest) >= STOOD
        ]
        if not starts:
            continue
        kinds = {"issue": ("new", "discovered"), "delete": ("deleted",), "initial": ("new", "discovered")}.get(
            change.what, ("changed", "revoked", "new", "discovered")
        )
        mine = of.get(change.identifier, [])
        if change.record is None and not any(one.kind != "deleted" and one.at <= stood for one in mine):
            continue
        when = min((one.at for one in mine if one.kind in kinds and one.at >= at), default=None)
        yield Delay(
            seed,
            at,
            change.what,
            change.identifier,
            None if when is None else when - at,
            starts[0] - at + STOOD + COMMIT,
        )


def main() -> int:
    """0 when nothing is late or false."""
    parser = argparse.ArgumentParser(prog="python -m tests.sweeps.shuffled", description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    words = parser.parse_args()
    setup = Setup()
    began = time.monotonic()
    late = 0
    everything: list[Delay] = []
    with get_context("fork").Pool(words.jobs) as pool:
        for played in pool.imap_unordered(
            partial(play, setup=setup), range(words.first, words.first + words.seeds), chunksize=1
        ):
            behind = [one for one in played.delays if one.told is None or one.told > one.demanded]
            late += len(behind) + len(played.false)
            everything += played.delays
            print(
                f"seed {played.seed}: {played.sweeps} sweeps, {played.calls / played.seconds:.2f} calls/s, baseline "
                f"{played.baselined:.0f} s, {len(played.delays)} demanded, {len(behind)} late, "
                f"{len(played.false)} false",
                flush=True,
            )
            for one in behind:
                print("   ", one)
    for what in sorted({one.what for one in everything}):
        of = [one for one in everything if one.what == what and one.told is not None]
        told = sorted(one.told or 0.0 for one in of)
        room = min((one.demanded - (one.told or 0.0) for one in of), default=0.0)
        print(
            f"{what:<8}{len(of):>6}  p50 {told[len(of) // 2]:5.1f}  p90 {told[int(len(of) * 0.9)]:5.1f}  p99 "
            f"{told[int(len(of) * 0.99)]:5.1f}  max {told[-1]:5.1f}  least room {room:5.1f}"
        )
    print(f"{late} late or false, {time.monotonic() - began:.0f} s")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
