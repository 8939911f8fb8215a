"""An operator's word: what is confirmed is told as deleted, what is found is not, who said so stands in an event."""

from __future__ import annotations

from pathlib import Path

import pytest

from certstream.service.confirming import NothingToConfirm
from tests.service import lies
from tests.service.together import together
from tests.service.world import World, living


def say(world: World, account: str = "prod") -> int:
    assert world.service is not None
    return world.service.confirm(account, "alice", "the old CA was retired")


def nothing_is_deleted(world: World) -> None:
    assert not world.told("certificate.deleted")


@together
async def test_what_is_confirmed_is_deleted_after_the_release_and_news_go_on(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=8) as world:
        gone, kept = world.simulator.identifiers()[:5], world.simulator.identifiers()[5:]
        for identifier in gone:
            world.simulator.delete(identifier)
        await world.event("account.suspect")
        issued = world.simulator.issue()
        await world.until("it can be confirmed", lambda: world.state()["state"] == "suspect")
        nothing_is_deleted(world)
        await world.until("a sweep has nominated them", lambda: _begun(world))
        for identifier in gone:
            await world.event("certificate.deleted", identifier)
        released = await world.event("account.released")
        assert released["data"] == {"account": "prod", "by": "alice", "why": "the old CA was retired"}
        assert all(released["sequence"] < told["sequence"] for told in world.told("certificate.deleted"))
        await world.event("certificate.new", issued)
        await world.health("healthy")
        assert world.service is not None
        assert world.service.status()["accounts"]["prod"]["confirmation"]["state"] == "done"
        # What an operator expected does not count as disappeared: one more is an ordinary deletion.
        world.simulator.delete(kept[0])
        await world.event("certificate.deleted", kept[0])
        assert len(world.told("account.suspect")) == 1


def _begun(world: World) -> bool:
    try:
        say(world)
    except NothingToConfirm:
        return False
    return True


@together
async def test_what_a_look_up_finds_is_there_whatever_an_operator_says(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=8) as world:
        hidden = world.simulator.identifiers()[:5]
        lost = hidden[0]
        world.simulator.delete(lost)
        world.simulator.intercept = lies.hiding(world.simulator, hidden, look_ups=False)
        await world.event("account.suspect")
        await world.until("a sweep has nominated them", lambda: _begun(world))
        await world.event("certificate.deleted", lost)
        world.simulator.intercept = None
        await world.health("healthy")
        await world.sweeps()
        assert [told["subject"] for told in world.told("certificate.deleted")] == [lost]


@together
async def test_an_account_that_lost_everything_can_be_confirmed(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=5, page_size=50) as world:
        for identifier in world.simulator.identifiers():
            world.simulator.delete(identifier)
        await world.event("account.suspect")
        await world.until("a sweep has nominated them", lambda: _begun(world))
        await world.event("account.released")
        await world.until("all are told", lambda: len(world.told("certificate.deleted")) == 5)
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)


@together
async def test_there_is_nothing_to_confirm_where_nothing_is_suspect(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        with pytest.raises(NothingToConfirm, match="not suspect"):
            say(world)
        with pytest.raises(KeyError):
            say(world, "other")
