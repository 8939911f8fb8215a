"""Every kind of event, end to end: the simulator changes, the journal tells it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from certstream.config import Account
from certstream.core.times import parse_rfc3339
from certstream.simulator import Simulator
from tests.service import lies
from tests.service.together import together
from tests.service.world import account, living


@together
async def test_what_the_baseline_finds_is_discovered_and_never_new(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=12) as world:
        found = {one["subject"] for one in world.told("certificate.discovered")}
        assert found == set(world.simulator.identifiers())
        assert world.told("account.baselined")[0]["data"]["count"] == 12
        assert len(world.told("account.digest")) == 1
        assert not world.told("certificate.new")
        await world.sweeps()
        assert all(
            one["type"].split(".")[2] in ("discovered", "expiring", "baselined", "digest") for one in world.events
        )


@together
async def test_each_kind_of_change_becomes_its_event(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        simulator = world.simulator
        revoked, renamed, deleted, *_ = simulator.identifiers()
        issued = simulator.issue(common_name="fresh.example.com", days=365)
        simulator.revoke(revoked)
        simulator.edit(renamed, Locality="Nanjing")
        simulator.delete(deleted)
        new = await world.event("certificate.new", issued)
        assert new["data"]["lifecycle"] == "valid"
        assert "returned" not in new["data"]
        assert "BEGIN CERTIFICATE" in new["data"]["certificate"]["pem"]
        told = await world.event("certificate.revoked", revoked)
        assert told["data"]["changes"]["status"] == {"from": "ISSUE", "to": "REVOKE"}
        assert told["data"]["observed"]["after"] <= told["data"]["observed"]["before"] <= told["time"]
        changed = await world.event("certificate.changed", renamed)
        assert changed["data"]["changes"] == {"locality": {"from": "Hangzhou", "to": "Nanjing"}}
        gone = await world.event("certificate.deleted", deleted)
        assert gone["data"]["reason"] == "gone"
        await world.sweeps()
        assert not world.told("certificate.changed", revoked)
        for kind, subject in (("new", issued), ("revoked", revoked), ("changed", renamed), ("deleted", deleted)):
            assert len(world.told(f"certificate.{kind}", subject)) == 1


@together
async def test_a_threshold_and_then_the_end_are_told_when_they_pass(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=2, settings={"thresholds": ["1h"]}) as world:
        now = int(time.time())
        near = world.simulator.issue(not_before=now - 86400, not_after=now + 3602)
        ending = world.simulator.issue(not_before=now - 86400, not_after=now + 2)
        await world.event("certificate.new", near)
        assert not world.told("certificate.expiring", near)
        expiring = await world.event("certificate.expiring", near)
        assert (expiring["data"]["threshold"], expiring["data"]["baseline"]) == ("1h", False)
        # Inside its threshold when it was first seen: told at once; then its end, once.
        assert (await world.event("certificate.expiring", ending))["data"]["threshold"] == "1h"
        expired = await world.event("certificate.expired", ending)
        assert expired["time"] >= expired["data"]["certificate"]["notAfter"]
        assert expired["data"]["lifecycle"] == "expired"
        await world.sweeps()
        assert len(world.told("certificate.expired")) == 1


@together
async def test_the_baseline_tells_the_nearest_passed_threshold_and_no_end(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=0, settings={"thresholds": ["50%", "2h", "1h"]}, started=False) as world:
        now = int(time.time())
        inside = world.simulator.issue(not_before=now - 86400, not_after=now + 1800)
        over = world.simulator.issue(not_before=now - 86400, not_after=now - 60)
        revoked = world.simulator.issue(not_before=now - 86400, not_after=now + 1800)
        world.simulator.revoke(revoked)
        await world.start()
        await world.sweeps()
        (expiring,) = world.told("certificate.expiring")
        assert (expiring["subject"], expiring["data"]["threshold"]) == (inside, "1h")
        assert expiring["data"]["baseline"] is True
        states = {one["subject"]: one["data"]["lifecycle"] for one in world.told("certificate.discovered")}
        assert states == {inside: "valid", over: "expired", revoked: "revoked"}
        assert not world.told("certificate.expired")


@together
async def test_seen_first_when_revoked_or_over_a_certificate_is_new_and_then_that(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=3) as world:
        now = int(time.time())
        revoked = world.simulator.issue(days=365, Status="REVOKE")
        over = world.simulator.issue(not_before=now - 900, not_after=now - 60)
        await world.event("certificate.revoked", revoked)
        await world.event("certificate.expired", over)
        assert [one["type"] for one in world.events if one["subject"] == revoked] == [
            "certstream.certificate.new.v1",
            "certstream.certificate.revoked.v1",
        ]
        assert [one["type"] for one in world.events if one["subject"] == over] == [
            "certstream.certificate.new.v1",
            "certstream.certificate.expired.v1",
        ]


@together
async def test_a_renewed_certificate_names_the_one_it_replaces(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=3, settings={"thresholds": ["30d"]}) as world:
        now = int(time.time())
        old = world.simulator.issue(not_before=now - 80 * 86400, not_after=now + 10 * 86400, days=90)
        await world.event("certificate.new", old)
        renewed = world.simulator.renew(old)
        assert (await world.event("certificate.new", renewed))["data"]["replaces"] == old


@together
async def test_a_certificate_that_returns_is_new_again_and_says_so(tmp_path: Path) -> None:
    async with living(tmp_path, staleness=1.5) as world:
        away = world.simulator.identifiers()[3]
        world.simulator.intercept = lies.hiding(world.simulator, [away])
        gone = await world.event("certificate.deleted", away)
        world.simulator.intercept = None
        back = await world.event("certificate.new", away)
        assert back["data"]["returned"] is True
        seen, missed = (parse_rfc3339(event["data"]["observed"]["before"]) for event in (back, gone))
        assert seen - missed > 1450


@together
async def test_a_status_that_turns_back_is_a_change_once_replicas_must_agree(tmp_path: Path) -> None:
    async with living(tmp_path, staleness=1.5) as world:
        one = world.simulator.identifiers()[2]
        world.simulator.revoke(one)
        await world.event("certificate.revoked", one)
        world.simulator.edit(one, Status="ISSUE")
        back = await world.event("certificate.changed", one)
        assert back["data"]["changes"]["status"] == {"from": "REVOKE", "to": "ISSUE"}
        shown = next(call for call in world.calls() if (one, 2) in [tuple(row) for row in call["rows"]])
        proof = [call for call in world.look_ups(one) if call["rows"]][-1]
        assert proof["arrival"] - shown["answered"] >= 1.5


@together
async def test_what_leaves_the_resource_group_has_moved(tmp_path: Path) -> None:
    group = "rg-acfmsimulator01"
    async with living(tmp_path, certificates=30, resource_group=group, started=False) as world:
        inside = [row.blueprint.identifier for row in world.simulator.population if row.group == group]
        await world.start()
        assert {one["subject"] for one in world.told("certificate.discovered")} == set(inside)
        world.simulator.edit(inside[0], ResourceGroupId="rg-acfmsimulator02")
        world.simulator.delete(inside[1])
        assert (await world.event("certificate.deleted", inside[0]))["data"]["reason"] == "moved"
        assert (await world.event("certificate.deleted", inside[1]))["data"]["reason"] == "gone"


@together
async def test_what_goes_from_one_group_to_another_has_moved_here_and_is_new_there_and_returns(tmp_path: Path) -> None:
    groups = {"one": "rg-acfmsimulator01", "two": "rg-acfmsimulator02"}

    def two(simulator: Simulator) -> tuple[Account, ...]:
        return tuple(
            account(tmp_path, simulator, name, resource_group=group, budget="shared", uid="1", sweep_every=0.5)
            for name, group in groups.items()
        )

    async with living(tmp_path, certificates=30, accounts=two) as world:

        def of(name: str, kind: str) -> list[Any]:
            found = [one for one in world.told(f"certificate.{kind}", moving) if one["data"]["account"] == name]
            return [one["data"].get("reason", one["data"].get("returned", False)) for one in found]

        population = world.simulator.population
        moving = next(row.blueprint.identifier for row in population if row.group == groups["one"])
        world.simulator.edit(moving, ResourceGroupId=groups["two"])
        await world.until("it has moved", lambda: of("one", "deleted") == ["moved"] and of("two", "new") == [False])
        world.simulator.edit(moving, ResourceGroupId=groups["one"])
        await world.until("it is back", lambda: of("two", "deleted") == ["moved"] and of("one", "new") == [True])
        world.simulator.delete(moving)
        await world.until("it is gone", lambda: of("one", "deleted") == ["moved", "gone"])
        await world.sweeps(2, "two")
        assert of("two", "deleted") == ["moved"]
        assert len(world.told("certificate.deleted")) == 3


@together
async def test_the_first_certificate_of_an_empty_account_is_new(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=0) as world:
        assert world.told("account.baselined")[0]["data"]["count"] == 0
        await world.sweeps()
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        await world.sweeps()
        assert not world.told("account.suspect")


@together
async def test_what_a_page_shows_is_told_before_the_sweep_is_over(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=12, started=False) as world:
        second_page_is_away = lies.refusing("InternalError", 500, lambda params: params["CurrentPage"] == "2")
        world.simulator.intercept = second_page_is_away
        await world.start(baselined=False)
        await world.until("page 1 is told", lambda: len(world.told("certificate.discovered")) >= 5)
        assert not world.told("account.baselined")
        world.simulator.intercept = None
        await world.event("account.baselined")
        assert len(world.told("certificate.discovered")) == 12
        world.simulator.intercept = second_page_is_away
        await world.says("sweep.incomplete")
        complete = len(world.said("sweep.complete"))
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        assert len(world.said("sweep.complete")) == complete


@together
async def test_without_pem_only_its_sum_is_kept(tmp_path: Path) -> None:
    async with living(tmp_path, settings={"pem": False}) as world:
        issued = world.simulator.issue()
        assert "pem" not in (await world.event("certificate.new", issued))["data"]["certificate"]
        assert not [one for one in await world.everything() if b"BEGIN CERTIFICATE" in (one.value or b"")]


@together
async def test_an_unknown_status_is_a_change_and_not_a_revocation(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        one = world.simulator.identifiers()[2]
        world.simulator.edit(one, Status="ON_HOLD")
        changed = await world.event("certificate.changed", one)
        assert changed["data"]["changes"] == {"status": {"from": "ISSUE", "to": "ON_HOLD"}}
        assert changed["data"]["lifecycle"] == "valid"


@together
async def test_a_field_that_appears_or_vanishes_is_no_change(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        one, two, *_ = world.simulator.identifiers()
        world.simulator.edit(one, Md5=None, Colour="green")
        world.simulator.edit(two, Colour="red")
        await world.sweeps(3)
        world.simulator.edit(two, Colour="blue")
        await world.sweeps(2)
        assert not world.told("certificate.changed")
        world.simulator.edit(one, Locality="Nanjing")
        changed = await world.event("certificate.changed", one)
        assert changed["data"]["changes"].keys() == {"locality"}
        assert changed["data"]["certificate"]["extra"] == {"Colour": "green"}
