"""Not seeing a certificate proves nothing; and a wrong answer is not believed, whether it hides or invents."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from certstream.simulator import Simulator, SimulatorConfig
from tests.service import lies
from tests.service.together import together, together_for
from tests.service.world import World, living


def nothing_is_deleted(world: World) -> None:
    assert not world.told("certificate.deleted")


@together
async def test_a_certificate_that_pages_hide_and_look_ups_show_is_not_deleted(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        hidden = world.simulator.identifiers()[2]
        world.simulator.intercept = lies.hiding(world.simulator, [hidden], look_ups=False)
        await world.until("it is looked up twice", lambda: len(world.look_ups(hidden)) >= 2)
        await world.sweeps()
        nothing_is_deleted(world)


@together
async def test_what_no_page_says_and_no_complete_sweep_is_not_deleted(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=12) as world:
        gone = world.simulator.identifiers()[6]  # on the page that cannot be read
        world.simulator.intercept = lies.refusing(
            "InternalError", 500, lambda params: params["CurrentPage"] == "2" and "Identifier" not in params
        )
        await world.says("sweep.incomplete")
        world.simulator.delete(gone)
        await world.says("sweep.incomplete", count=2)
        assert not world.look_ups(gone)
        nothing_is_deleted(world)
        world.simulator.intercept = None
        await world.event("certificate.deleted", gone)


@together
async def test_a_deletion_needs_a_look_up_and_a_control_that_still_finds_something(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        gone = world.simulator.identifiers()[0]
        world.simulator.delete(gone)
        await world.event("certificate.deleted", gone)
        (empty, *_) = [call for call in world.look_ups(gone) if call["rows"] == []]
        controls = [call for call in world.look_ups() if call["rows"] and call["arrival"] >= empty["answered"]]
        assert controls
        assert controls[0]["params"]["Identifier"] != gone


@together
async def test_when_every_look_up_is_empty_nothing_is_deleted(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        gone = world.simulator.identifiers()[0]

        def intercept(params: dict[str, str]) -> web.Response | None:
            return lies.page(params, []) if "Identifier" in params else None

        world.simulator.intercept = intercept
        world.simulator.delete(gone)
        await world.says("deletion.unproven", count=2)
        nothing_is_deleted(world)
        world.simulator.intercept = None
        await world.event("certificate.deleted", gone)


@together_for({"before": "before", "after": "after"})
async def test_a_service_that_goes_blind_or_sees_again_beside_a_look_up_proves_nothing(
    tmp_path: Path, sees: str
) -> None:
    """Controls before a look-up and after it: one that sees is no proof that the look-up between them saw."""
    async with living(tmp_path) as world:
        gone = world.simulator.identifiers()[0]

        def intercept(params: dict[str, str]) -> web.Response | None:
            if "Identifier" not in params:
                return None
            asked = world.look_ups(gone)
            blind = params["Identifier"] == gone or bool(asked) == (sees == "before")
            return lies.page(params, []) if blind else None

        world.simulator.intercept = intercept
        world.simulator.delete(gone)
        await world.says("deletion.unproven", count=2)
        nothing_is_deleted(world)
        assert bool(world.look_ups(gone)) == (sees == "before")


@together
async def test_a_look_up_that_answers_with_something_else_proves_nothing(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        gone, other, *_ = world.simulator.identifiers()
        record = world.simulator.population.record(other)

        def intercept(params: dict[str, str]) -> web.Response | None:
            if params.get("Identifier") != gone:
                return None
            return lies.page(params, [(gone, record)], TotalCount=0)

        world.simulator.intercept = intercept
        world.simulator.delete(gone)
        await world.until("it is looked up twice", lambda: len(world.look_ups(gone)) >= 2)
        await world.sweeps()
        nothing_is_deleted(world)


@together
async def test_a_look_up_that_shows_nothing_but_counts_one_proves_nothing(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        gone = world.simulator.identifiers()[0]

        def intercept(params: dict[str, str]) -> web.Response | None:
            return lies.page(params, [], TotalCount=1) if params.get("Identifier") == gone else None

        world.simulator.intercept = intercept
        world.simulator.delete(gone)
        await world.until("it is looked up twice", lambda: len(world.look_ups(gone)) >= 2)
        await world.sweeps()
        nothing_is_deleted(world)


@together
async def test_a_deletion_right_after_the_first_sight_waits_until_replicas_agree(tmp_path: Path) -> None:
    async with living(tmp_path, staleness=1.5) as world:
        issued = world.simulator.issue()
        new = await world.event("certificate.new", issued)
        world.simulator.delete(issued)
        deleted = await world.event("certificate.deleted", issued)
        shown = next(call for call in world.calls() if issued in dict(call["rows"]))
        proof = [call for call in world.look_ups(issued) if call["rows"] == []][-1]
        assert proof["arrival"] - shown["answered"] >= 1.5
        assert new["sequence"] < deleted["sequence"]


@together
async def test_an_empty_list_makes_the_account_suspect_and_deletes_nothing(tmp_path: Path) -> None:
    async with living(tmp_path, page_size=50) as world:  # one page: no sweep sees half of the change
        world.simulator.intercept = lies.lying(world.simulator, lambda rows: [])
        suspect = await world.event("account.suspect")
        assert "empty" in suspect["data"]["reason"]
        assert suspect["data"]["nominated"] == 7
        await world.health("suspect")
        await world.sweeps(0)
        nothing_is_deleted(world)
        await world.until("they are sampled", lambda: "7 of 7 sampled are gone" in world.state()["reason"])
        assert len(world.look_ups()) == 7
        world.simulator.intercept = None
        await world.event("account.released")
        await world.health("healthy")
        await world.sweeps()
        nothing_is_deleted(world)
        assert len(world.told("account.suspect")) == 1


@together
async def test_while_half_of_the_list_is_missing_news_and_changes_wait_too(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=8) as world:
        missing, kept = world.simulator.identifiers()[:4], world.simulator.identifiers()[4:]
        world.simulator.intercept = lies.hiding(world.simulator, missing)
        await world.event("account.suspect")
        issued = world.simulator.issue()
        world.simulator.edit(kept[0], Locality="Nanjing")
        seen = len(world.calls())
        await world.until("the new one was shown often", lambda: len(world.calls()) > seen + 8)
        assert not world.told("certificate.new")
        assert not world.told("certificate.changed")
        assert len(world.said("account.suspect")) == 1
        state = await world.health("suspect")
        for told in (state["reason"], vars(world.said("account.suspect")[0])["reason"]):
            assert "4 of 8 certificates disappeared" in told
            assert "released by itself" in told
        world.simulator.intercept = lies.hiding(world.simulator, [*missing, kept[0]])
        await world.says("account.suspect")
        await world.until("so is it in /readyz", lambda: "5 of 8" in world.state()["reason"])
        world.simulator.intercept = None
        await world.event("account.released")
        await world.event("certificate.new", issued)
        await world.event("certificate.changed", kept[0])
        nothing_is_deleted(world)


@together
async def test_suspicion_outlives_a_restart(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        world.simulator.intercept = lies.lying(world.simulator, lambda rows: [])
        await world.event("account.suspect")
        await world.stop()
        seen = len(world.calls())
        await world.start(baselined=False)
        await world.until("it has polled", lambda: len(world.calls()) > seen + 5)
        nothing_is_deleted(world)
        assert len(world.told("account.suspect")) == 1
        world.simulator.intercept = None
        await world.event("account.released")
        nothing_is_deleted(world)


@together
async def test_another_accounts_list_brings_neither_news_nor_deletions(tmp_path: Path) -> None:
    async with living(tmp_path) as world, Simulator(SimulatorConfig(certificates=7, seed=2)) as stranger:
        foreign = lies.rows(stranger)
        world.simulator.intercept = lies.lying(world.simulator, lambda rows: foreign)
        suspect = await world.event("account.suspect")
        assert "none of the certificates" in suspect["data"]["reason"]
        seen = len(world.calls())
        await world.until("it has polled on", lambda: len(world.calls()) > seen + 8)
        nothing_is_deleted(world)
        assert not world.told("certificate.new")
        world.simulator.intercept = None
        await world.event("account.released")
        await world.sweeps()
        assert {one["subject"] for one in world.told("certificate.new")} == set()
        nothing_is_deleted(world)


@together
async def test_one_wrong_answer_between_right_ones_brings_no_news(tmp_path: Path) -> None:
    async with living(tmp_path) as world, Simulator(SimulatorConfig(certificates=7, seed=2)) as stranger:
        foreign = lies.rows(stranger)
        lied = asyncio.Event()

        def once(params: dict[str, str]) -> web.Response | None:
            if "Identifier" in params or lied.is_set():
                return None
            lied.set()
            return lies.page(params, foreign)

        world.simulator.intercept = once
        await asyncio.wait_for(lied.wait(), 5)
        await world.until("it was asked who vouches", world.look_ups)
        await world.sweeps(3)
        assert not world.told("certificate.new")
        nothing_is_deleted(world)


@together
async def test_new_certificates_on_a_page_of_their_own_are_vouched_for_by_a_known_one(tmp_path: Path) -> None:
    async with living(tmp_path, page_size=3, certificates=6) as world:
        issued = [world.simulator.issue() for _ in range(7)]
        for one in issued:
            await world.event("certificate.new", one)
        assert not world.told("account.suspect")


@together
async def test_many_deletions_within_a_day_add_up(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=10) as world:
        one, two, three, four, five, *_ = world.simulator.identifiers()
        for gone in (one, two):
            world.simulator.delete(gone)
        await world.event("certificate.deleted", one)
        await world.event("certificate.deleted", two)
        for gone in (three, four, five):
            world.simulator.delete(gone)
        suspect = await world.event("account.suspect")
        assert "5 of 10" in suspect["data"]["reason"]
        assert len(world.told("certificate.deleted")) == 2


@together
async def test_a_list_whose_order_changes_at_every_call_deletes_nothing_and_is_told(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=40, order="shuffled")
    async with living(tmp_path, simulator=config, started=False, page_size=5) as world:
        await world.start(baselined=False)
        await world.says("sweep.incomplete", count=3)
        nothing_is_deleted(world)
        assert "order of the list" in str(getattr(world.said("sweep.incomplete")[-1], "reason", ""))
