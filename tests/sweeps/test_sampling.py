"""Twenty look-ups of what is missing from a suspect account: they are told, and decide nothing."""

from __future__ import annotations

import asyncio
import json

import pytest

from certstream.config import Account
from tests.simulation.population import Deed
from tests.sweeps.judge import events
from tests.sweeps.world import ACCOUNT, World

HIDDEN = 60.0


def reasons(world: World) -> list[str]:
    """Why the account was suspect, as it was told in `accounts`."""
    told = [json.loads(put.value or b"") for _, put in world.journal.kept if put.topic == "accounts"]
    return [one["reason"] for one in told if one["state"] == "suspect"]


@pytest.mark.parametrize(("dropped", "found"), [(0, "0 of 20"), (40, "20 of 20")])
def test_of_what_is_missing_twenty_are_looked_up_once_and_decide_nothing(dropped: int, found: str) -> None:
    """Either the list alone does not show them, or they are really gone: the sample tells the two apart."""
    account = Account(
        name=ACCOUNT, endpoint="http://127.0.0.1:1", page_size=10, sweep_every=5.0, probe_every=5.0, staleness=2.0
    )
    world = World(seed=1, certificates=60, order="newest", account=account)
    asked: list[int] = []

    async def story() -> None:
        await asyncio.sleep(20.0)
        if dropped:
            for _ in range(dropped):
                world.population.happen(Deed(0.0, "drop", 0.5))
        else:
            world.upstream.unlisted = frozenset(sorted(world.population.present)[:40])
        await asyncio.sleep(HIDDEN)
        assert world.state() is not None
        asked.append(sum(call.identifier is not None for call in world.upstream.calls[ACCOUNT]))

    world.run(story())
    kinds = [one.kind for one in events(world.journal.kept) if not one.kind.startswith("expir")]
    assert kinds[-1] == "account.suspect"
    assert f"{found} sampled are gone" in reasons(world)[-1]
    assert asked == [20]
