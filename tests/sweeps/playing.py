"""One seed played and judged."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Sequence
from multiprocessing import get_context

import msgspec

from tests.sweeps.judge import Known, Truth, differences, events, falsehoods, vouched_wrongly
from tests.sweeps.plan import END, Plan, draw
from tests.sweeps.world import PATIENCE, World, world_of

STEP = 0.5
STAYS = 3.0
"""Seconds for which what is right must stay right."""
WORD = 35.0
"""Seconds between two words of an operator in the tail: the first must have been carried out."""


class Outcome(msgspec.Struct, frozen=True):
    """What one seed came to. `after`: complete sweeps since the list was quiet (for `staleness`, and the account not
    suspect) until everything was told, None where it never was."""

    seed: int
    kinds: list[str]
    steady: bool
    sweeps: int
    complete: int
    calls: int
    deletions: int
    words: int
    suspicions: int
    after: int | None
    false: list[str]
    missed: list[str]
    unseen: list[str]

    @property
    def wrong(self) -> list[str]:
        return self.false + self.missed + self.unseen


def play(plan: Plan) -> Outcome:
    """Play and judge one plan."""
    world = world_of(plan)
    tail = Tail(world, plan)
    world.run(tail.play())
    told, truth = events(world.journal.kept), Truth(world.population)
    vouched = [(at, through) for at, through in world.vouched if at > 0]
    return Outcome(
        seed=plan.seed,
        kinds=sorted(plan.kinds()),
        steady=plan.steady(),
        sweeps=len(world.sweeps),
        complete=world.complete(0.0),
        calls=len(world.upstream.sendings),
        deletions=sum(one.kind == "deleted" for one in told),
        words=sum(one.kind == "account.released" and one.data["by"] != "certstream" for one in told),
        suspicions=sum(one.kind == "account.suspect" for one in told),
        after=tail.after,
        false=falsehoods(told, truth, world.lies, lag=world.lag),
        missed=tail.wrong,
        unseen=vouched_wrongly(world.journal.kept, vouched, truth, lag=0.0) if plan.steady() else [],
    )


class Tail:
    """The story of a world: what happens, and the quiet after it. `wrong`: what was not told in the end."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world, self._plan = world, plan
        self._known = Known()
        self.after: int | None = None
        self.wrong: list[str] = []

    async def play(self) -> None:
        world, loop, now = self._world, self._world.loop, self._world.loop.now
        for deed in self._plan.deeds:
            loop.outside(deed.at - now, world.population.happen, deed)
        for fault in self._plan.faults:
            loop.outside(fault.at - now, world.strike, fault)
        for at in self._plan.words:
            loop.outside(at - now, world.confirm)
        await asyncio.sleep(END)
        world.weather.calm = True
        world.lies.end()
        await asyncio.sleep(self._plan.staleness)
        await self._quiet(loop.now)

    async def _quiet(self, since: float) -> None:
        """Until everything is told, and stays so; an operator helps where many are really gone, and sweeps count from
        when the account is not suspect any more."""
        world, right, word, end = self._world, 0.0, since, since + PATIENCE
        while world.loop.now < end:
            self._known.follow(world.journal.kept)
            self.wrong = self._differences()
            if self.wrong:
                right, self.after = 0.0, None
            else:
                right += STEP
                self.after = self.after if self.after is not None else world.complete(since)
            if right >= STAYS:
                return
            if world.state() is not None:
                since = world.loop.now
            if world.state() is not None and world.loop.now - word > WORD:
                word = world.loop.now
                world.confirm()
            await asyncio.sleep(STEP)

    def _differences(self) -> list[str]:
        now = self._world.loop.now
        return differences(self._known, Truth(self._world.population), now, now)


def _seed(seed: int) -> Outcome:
    return play(draw(seed))


def play_many(seeds: Sequence[int], jobs: int) -> Iterator[Outcome]:
    """Several seeds, as they are done."""
    if jobs == 1:
        yield from map(_seed, seeds)
        return
    with get_context("fork").Pool(jobs, initializer=gc.freeze) as pool:
        yield from pool.imap_unordered(_seed, seeds, chunksize=10)
