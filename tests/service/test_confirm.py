"""An operator's word: what is confirmed is told as deleted, what is found is not, who said so stands in an event."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from certstream.core.answers import Answer
from certstream.core.errors import Rejected
from certstream.core.observe import Observed
from certstream.core.sweep import Sweep
from certstream.service import confirming
from certstream.service.confirming import NothingToConfirm
from certstream.service.observing import TooOld
from certstream.simulator import Simulator, SimulatorConfig
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
async def test_what_left_the_resource_group_has_moved_also_when_it_is_confirmed(tmp_path: Path) -> None:
    group = "rg-acfmsimulator01"
    async with living(tmp_path, certificates=30, resource_group=group, started=False) as world:
        inside = [row.blueprint.identifier for row in world.simulator.population if row.group == group]
        await world.start()
        moved, gone = inside[0], inside[1:]
        world.simulator.edit(moved, ResourceGroupId="rg-acfmsimulator02")
        for identifier in gone:
            world.simulator.delete(identifier)
        await world.event("account.suspect")
        await world.until("a sweep has nominated them", lambda: _begun(world))
        assert (await world.event("certificate.deleted", moved))["data"]["reason"] == "moved"
        for identifier in gone:
            assert (await world.event("certificate.deleted", identifier))["data"]["reason"] == "gone"


@together
async def test_a_list_that_counts_what_it_does_not_show_is_no_proof_that_nothing_is_left(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=5, page_size=50) as world:

        def intercept(params: dict[str, str]) -> web.Response:
            probed = "Identifier" not in params and params["ShowSize"] == "1"
            return lies.page(params, [], TotalCount=5 if probed else 0)

        world.simulator.intercept = intercept
        await world.event("account.suspect")
        await world.until("a sweep has nominated them", lambda: _begun(world))
        await world.until("it is over", lambda: outcome(world)["state"] != "under way")
        assert outcome(world)["state"] == "failed"
        assert "counts 5" in outcome(world)["progress"]
        nothing_is_deleted(world)
        world.simulator.intercept = None
        await world.event("account.released")
        nothing_is_deleted(world)


@together
async def test_what_the_list_shows_again_is_not_confirmed_by_look_ups_that_are_still_blind(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=8) as world:
        hidden = world.simulator.identifiers()[:5]
        lists, calm = [True], lies.hiding(world.simulator, hidden)
        world.simulator.intercept = lambda params: calm(params) if lists or "Identifier" in params else None
        await world.event("account.suspect")
        await world.until("a sweep has nominated them", lambda: _nominated(world))
        assert world.service is not None
        service = world.service._running["prod"].confirming
        word = confirming._Word("alice", "retired", service._nominated, service._nominated_at, suspected=0)
        lists.clear()
        await world.event("account.released")  # a sweep has seen them; the operator's look-ups still do not
        assert await service._carry_out(word) == "0 of 5 are gone"
        await world.sweeps()
        nothing_is_deleted(world)
        with pytest.raises(NothingToConfirm):
            say(world)


@together
async def test_what_one_suspicion_nominated_is_not_confirmed_for_another(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=8) as world:
        world.simulator.intercept = lies.hiding(world.simulator, world.simulator.identifiers()[:5])
        await world.event("account.suspect")
        await world.until("a sweep has nominated them", lambda: _nominated(world))
        world.simulator.intercept = None
        await world.event("account.released")
        await world.sweeps()
        assert not _nominated(world)


@together
async def test_all_replaced_and_confirmed_is_believed_from_then_on(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=12) as world, Simulator(SimulatorConfig(certificates=12, seed=2)) as other:
        listed = lies.rows(other)
        world.simulator.intercept = lies.lying(world.simulator, lambda rows: listed)
        await world.event("account.suspect")
        await world.until("a sweep has nominated all", lambda: len(_nominated(world)) == 12)
        assert _begun(world)
        await world.until("all are told", lambda: len(world.told("certificate.deleted")) == 12)
        await world.until("the new ones are told", lambda: len(world.told("certificate.new")) == 12)
        await world.health("healthy")
        assert len(world.told("account.suspect")) == 1
        assert len(world.told("account.released")) == 1


@together
async def test_a_sweep_that_held_changes_back_until_a_word_came_vouches_for_no_change(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=8) as world:
        world.simulator.intercept = lies.hiding(world.simulator, world.simulator.identifiers()[:5])
        await world.event("account.suspect")
        assert world.service is not None
        running = world.service._running["prod"]
        conclude, vouched = running.poller._conclude, list[int | None]()

        async def late(sweep: Sweep, began: float, began_at: int, suspicion: int | None) -> None:
            head = running.poller.ledger.head
            assert head is not None
            confirmed = not vouched and not running.poller._unseen(sweep, began, began_at)
            if confirmed:
                word = confirming._Word("alice", "retired", (), 0, head.suspected)
                await running.confirming._release(word, {}, ())
            await conclude(sweep, began, began_at, suspicion)
            if confirmed and (after := running.poller.ledger.head) is not None:
                vouched.append(after.observed)

        running.poller._conclude = late  # type: ignore[method-assign]
        edited, at = world.simulator.identifiers()[-1], world.service.clock.wall()
        world.simulator.edit(edited, KeySize=4096)
        world.simulator.intercept = None
        await world.event("certificate.changed", edited)
        assert vouched[0] is not None
        assert vouched[0] < at


@together
async def test_a_word_about_one_suspicion_releases_no_later_one(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=8) as world:
        world.simulator.intercept = lies.hiding(world.simulator, world.simulator.identifiers()[:5])
        await world.event("account.suspect")
        assert world.service is not None
        service = world.service._running["prod"].confirming
        earlier = confirming._Word("alice", "retired", (), nominated=0, suspected=1)
        with pytest.raises(Rejected, match="another suspicion"):
            await service._release(earlier, {}, ())
        await world.sweeps(1)
        assert not world.told("account.released")


@together
async def test_one_answer_that_waited_too_long_for_the_journal_does_not_give_a_word_up(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=8) as world:
        hidden = world.simulator.identifiers()[:5]
        world.simulator.delete(hidden[0])
        world.simulator.intercept = lies.hiding(world.simulator, hidden, look_ups=False)
        await world.event("account.suspect")
        await world.until("a sweep has nominated them", lambda: bool(_nominated(world)))
        assert world.service is not None
        observer = world.service._running["prod"].observer
        observe, old = observer.observe, list[str]()

        async def late(answer: Answer, *, decides: str | None = None, sweep: Sweep | None = None) -> Observed:
            if decides is not None and not old:
                old.append(decides)
                raise TooOld("the journal kept the answer waiting too long")
            return await observe(answer, decides=decides, sweep=sweep)

        observer.observe = late  # type: ignore[method-assign]
        assert _begun(world)
        await world.event("certificate.deleted", hidden[0])
        assert old
        assert outcome(world)["progress"] == "1 of 5 are gone"


def _nominated(world: World) -> tuple[str, ...]:
    assert world.service is not None
    return world.service._running["prod"].confirming._nominated


def outcome(world: World) -> dict[str, str]:
    assert world.service is not None
    told: dict[str, str] = world.service.status()["accounts"]["prod"]["confirmation"]
    return told


@together
async def test_there_is_nothing_to_confirm_where_nothing_is_suspect(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        with pytest.raises(NothingToConfirm, match="not suspect"):
            say(world)
        with pytest.raises(KeyError):
            say(world, "other")
