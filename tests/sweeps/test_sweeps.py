"""A slice of the sweeps of a hostile list, and the hour against a wrong region."""

from __future__ import annotations

import asyncio

import pytest

from certstream.config import Account
from tests.simulation.population import Deed
from tests.simulation.weather import Fault
from tests.sweeps.judge import events
from tests.sweeps.plan import draw
from tests.sweeps.playing import play
from tests.sweeps.world import ACCOUNT, World

SEEDS = 60
FOUND = (2489, 2644, 3687, 7880)
"""Seeds that once found what is mended."""
HOUR = 3600.0


def test_nothing_that_is_there_is_told_as_deleted_and_everything_is_told_in_the_end() -> None:
    wrong = {one.seed: one.wrong[:3] for one in map(play, map(draw, (*range(1, SEEDS + 1), *FOUND))) if one.wrong}
    assert not wrong


@pytest.mark.parametrize("kind", ["foreign", "empty", "hide.many"])
def test_an_hour_against_a_wrong_region_tells_nothing_but_that_it_is_suspect(kind: str) -> None:
    account = Account(
        name=ACCOUNT, endpoint="http://127.0.0.1:1", page_size=10, sweep_every=20.0, probe_every=5.0, staleness=2.0
    )
    world = World(seed=1, certificates=40, order="newest", account=account, limit=3 * HOUR)

    async def story() -> None:
        await asyncio.sleep(30.0)
        world.strike(Fault(0.0, kind, HOUR))
        for at in range(4):
            world.loop.outside(
                600.0 + at, world.population.happen, Deed(0.0, ("issue", "delete", "edit", "revoke")[at], 0.2 + at / 5)
            )
        await asyncio.sleep(HOUR + 60.0)

    world.run(story())
    (begin, end, _), *_ = world.lies.told
    told = events(world.journal.kept)
    assert [one.kind for one in told if begin < one.at < end] == ["account.suspect"]
    after = [one.kind for one in told if one.at >= end]
    assert after.pop(0) == "account.released"
    assert sorted(after) == ["changed", "deleted", "new", "revoked"]
