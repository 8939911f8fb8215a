"""A list whose order is another one at every call: baseline, changes, no false deletion, and what is said of it."""

from __future__ import annotations

import asyncio
import json

from certstream.config import Account
from certstream.core.sweep import UNSTEADY
from tests.simulation.population import Deed
from tests.simulation.weather import Fault
from tests.sweeps.judge import Told, Truth, events, falsehoods
from tests.sweeps.world import ACCOUNT, World

CERTIFICATES = 120
WHOLE = Fault(0.0, "unsteady", 3600.0, 1.0)


def unsteady() -> World:
    """Twelve pages, swept without a pause."""
    account = Account(name=ACCOUNT, endpoint="http://127.0.0.1:1", page_size=10, sweep_every=0.0, staleness=2.0)
    return World(seed=1, certificates=CERTIFICATES, order="newest", account=account, faults=[WHOLE])


def after_baseline(world: World) -> list[Told]:
    """What was told after the baseline, which found all that was there; expiry left out."""
    told = [one for one in events(world.journal.kept) if one.kind not in ("expiring", "expired", "account.digest")]
    end = [one.kind for one in told].index("account.baselined")
    assert [one.kind for one in told[:end]] == ["discovered"] * CERTIFICATES
    assert told[end].data["count"] == CERTIFICATES
    return told[end + 1 :]


def test_of_an_unsteady_list_everything_is_told_and_nothing_vouched_for() -> None:
    world = unsteady()

    async def story() -> None:
        await asyncio.sleep(60.0)
        for at in range(12):
            what = ("issue", "delete", "edit", "revoke")[at % 4]
            world.loop.outside(at, world.population.happen, Deed(0.0, what, 0.01 + at / 13))
        await asyncio.sleep(60.0)

    world.run(story())
    told = after_baseline(world)
    assert sorted(one.kind for one in told) == ["changed"] * 3 + ["deleted"] * 3 + ["new"] * 3 + ["revoked"] * 3
    assert not falsehoods(told, Truth(world.population), world.lies, lag=world.lag)
    assert not world.complete(0.0)
    assert not world.vouched
    state = json.loads([put.value or b"" for _, put in world.journal.kept if put.topic == "accounts"][-1])
    assert state["state"] == "healthy"
    assert state["reason"].endswith(UNSTEADY)
    assert state.keys().isdisjoint({"observedthrough", "lastcompletesweep"})


def test_a_permission_narrowed_over_an_unsteady_list_deletes_nothing_and_its_return_releases() -> None:
    world = unsteady()

    async def story() -> None:
        await asyncio.sleep(60.0)
        world.strike(Fault(0.0, "hide.many", 60.0))
        await asyncio.sleep(60.0)
        assert world.state() is not None
        await asyncio.sleep(60.0)

    world.run(story())
    assert [one.kind for one in after_baseline(world)] == ["account.suspect", "account.released"]


def test_an_operator_confirms_what_is_gone_from_an_unsteady_list() -> None:
    world = unsteady()

    async def story() -> None:
        await asyncio.sleep(60.0)
        for _ in range(40):
            world.population.happen(Deed(0.0, "drop", 0.5))
        await asyncio.sleep(40.0)
        world.confirm()
        await asyncio.sleep(90.0)

    world.run(story())
    kinds = [one.kind for one in after_baseline(world)]
    assert kinds[:2] == ["account.suspect", "account.released"]
    assert kinds[2:] == ["deleted"] * 40
