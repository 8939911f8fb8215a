"""What `observedthrough` vouches for, where one certificate goes and another comes between two pages of a sweep: all
its answers count alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from certstream.config import Account
from tests.simulation.population import Deed
from tests.simulation.upstream import Upstream
from tests.sweeps.judge import Truth, events, vouched_wrongly
from tests.sweeps.world import ACCOUNT, World

BASELINE = 10.0
SWEEPS = 60.0
"""Seconds in which it sweeps twice more."""


def world_of(order: str) -> World:
    """Four pages, a sweep every twenty seconds, and no probe."""
    account = Account(
        name=ACCOUNT,
        endpoint="http://127.0.0.1:1",
        page_size=10,
        sweep_every=20.0,
        probe_every=3600.0,
        revocations=False,
        staleness=0.0,
    )
    return World(seed=1, certificates=39, order=order, account=account)


def after_page(monkeypatch: pytest.MonkeyPatch, world: World, number: int, *deeds: Deed) -> None:
    """These things happen right after that page was read, once."""
    page, left = Upstream._page, list(deeds)

    def read(self: Upstream, under: Any, rows: Any) -> tuple[Any, Any]:
        shown = page(self, under, rows)
        if under.page == number and under.identifier is None:
            while left:
                world.population.happen(left.pop(0))
        return shown

    monkeypatch.setattr(Upstream, "_page", read)


def of(world: World, what: str, row: int) -> Deed:
    """Something that happens to a row of the list, counted from 0."""
    population = world.population
    name = population.at(world.loop.now)[row][1].identifier
    return Deed(0.0, what, (sorted(population.present).index(name) + 0.5) / len(population.present))


@pytest.mark.parametrize("swapped", [True, False])
def test_what_slipped_between_two_pages_is_not_vouched_for(swapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six are new while the service is down; in its first sweep, while no order is known and nothing is searched for,
    the last of them goes from page 5 to page 4 after that was read. The next sweep shows it."""
    world = world_of("oldest")

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        world.kill()
        for _ in range(4):
            world.population.happen(of(world, "move", 0))  # to the end: so page 5 shows what is known, too
        for _ in range(6):
            world.population.happen(Deed(0.0, "issue", 0.0))
        world.start()
        if swapped:
            after_page(monkeypatch, world, 4, of(world, "delete", 0), Deed(0.0, "issue", 0.0))
        await asyncio.sleep(SWEEPS)

    world.run(story())
    new = [one for one in events(world.journal.kept) if one.kind == "new"]
    first = next(at for at, _ in world.sweeps if at > BASELINE)
    assert [one.at > first for one in new] == [False] * 6 + [True] * swapped
    truth = Truth(world.population)
    assert not vouched_wrongly(world.journal.kept, world.vouched, truth, lag=0.0)
    assert world.vouched[-1][1] > first, "what is quiet is vouched for again"


def test_a_list_that_moves_in_every_sweep_is_vouched_for_up_to_the_sweep_before() -> None:
    world = world_of("newest")

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        for _ in range(8):
            world.population.happen(Deed(0.0, "issue", 0.0))
            await asyncio.sleep(20.0)

    world.run(story())
    behind = [at - through for at, through in world.vouched if at > 2 * BASELINE]
    assert len(behind) == 8
    assert all(20.0 < one < 25.0 for one in behind[1:])
    assert not vouched_wrongly(world.journal.kept, world.vouched, Truth(world.population), lag=0.0)
