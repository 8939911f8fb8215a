"""The list of the revoked: revocations are seen sooner where it may be read; nothing false, nothing asked for ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from certstream.config import Account
from certstream.simulator import Simulator, SimulatorConfig
from certstream.simulator.actions import LIST_REVOKED
from tests.service import lies
from tests.service.test_reloading import beside
from tests.service.together import together, together_for
from tests.service.world import World, account, living

SELDOM: dict[str, Any] = {"revocations": True, "sweep_every": 86400, "probe_every": 0.1}
"""No sweep finds anything after the first."""


def readings(world: World) -> list[dict[str, Any]]:
    """Calls for the list of the revoked."""
    return [call for call in world.calls() if call["action"] == LIST_REVOKED]


def told(world: World, name: str = "prod") -> dict[str, Any]:
    assert world.service is not None
    found: dict[str, Any] = world.service.status()["accounts"][name]["revocations"]
    return found


@together_for({"some": 3, "many": 50})
async def test_what_is_revoked_is_told_without_a_sweep(directory: Path, before: int) -> None:
    """Also where the list has pages that show nothing new."""
    async with living(directory, certificates=80, page_size=20, **SELDOM) as world:
        names = world.simulator.identifiers()
        await world.until("the list was read", lambda: told(world)["state"] == "read")
        for one in names[:before]:
            world.simulator.revoke(one)
        for one in names[:before]:
            await world.event("certificate.revoked", one)
        swept = len(world.said("sweep.complete"))
        last = names[before]
        world.simulator.revoke(last)
        await world.event("certificate.revoked", last)
        assert any(map(world.look_ups, names[: before + 1]))  # a probe may show one of them sooner
        assert len(world.told("certificate.revoked")) == before + 1
        assert before > 3 or swept == len(world.said("sweep.complete")) == 1


@together
async def test_who_may_not_read_it_is_told_so_once_and_asks_again_after_a_restart_or_with_other_credentials(
    tmp_path: Path,
) -> None:
    config = SimulatorConfig(certificates=7, deny=frozenset({LIST_REVOKED}))
    async with living(tmp_path, simulator=config, revocations=True) as world:
        await world.until("it is denied", lambda: told(world)["state"] == "denied")
        await world.sweeps(5)
        assert len(readings(world)) == 1
        assert len(world.said("revocations.denied")) == 1
        state = await world.health("healthy")
        await world.until("accounts tells it", lambda: "ListRevokeCertificate" in (world.state().get("reason") or ""))
        assert state["state"] == "healthy"
        assert "allow yundun-cert:ListRevokeCertificate in a RAM policy" in told(world)["reason"]
        one, two = world.simulator.identifiers()[:2]
        world.simulator.revoke(one)
        await world.event("certificate.revoked", one)  # the sweep has told it
        assert len(readings(world)) == 1
        await world.stop()
        await world.start()
        await world.until("it was asked again", lambda: len(readings(world)) == 2)
        world.simulator.denied.clear()
        given = [world.config]
        made, _ = beside(world, given)  # type: ignore[arg-type]
        (here,) = world.config.accounts
        secret = tmp_path / "another"
        secret.write_text((tmp_path / "secret-prod").read_text())
        keys = here.credentials.model_copy(update={"access_key_secret_file": str(secret)})
        given.append(world.config.model_copy(update={"accounts": (here.model_copy(update={"credentials": keys}),)}))
        made.asked.set()
        await world.says("config.read")
        await world.until("it is read", lambda: told(world)["state"] == "read")
        await world.until("accounts tells nothing", lambda: not world.state().get("reason"))
        off = here.model_copy(update={"credentials": keys, "revocations": False})
        given.append(world.config.model_copy(update={"accounts": (off,)}))
        made.asked.set()
        await world.says("config.read")
        assert told(world)["state"] == "off"
        count = len(readings(world))
        world.simulator.revoke(two)
        await world.event("certificate.revoked", two)
        assert len(readings(world)) <= count + 1


@together
async def test_a_list_that_fails_stops_nothing_is_asked_ever_more_rarely_and_comes_back(tmp_path: Path) -> None:
    async with living(tmp_path, revocations=True) as world:
        away = lies.refusing("ServiceUnavailable", 503, lambda params: params["Action"] == LIST_REVOKED)
        world.simulator.intercept = away
        await world.until("it fails", lambda: told(world)["state"] == "failing")
        await world.until("accounts tells it", lambda: "seen by sweeps alone" in (world.state().get("reason") or ""))
        count = len(readings(world))
        one = world.simulator.identifiers()[0]
        world.simulator.revoke(one)
        await world.event("certificate.revoked", one)
        await world.sweeps(5)
        assert len(readings(world)) <= count + 6  # ten times as many without the pauses, on a busy machine too
        assert world.state()["state"] == "healthy"
        world.simulator.intercept = None
        await world.until("it is read", lambda: told(world)["state"] == "read")
        await world.until("accounts tells nothing", lambda: not world.state().get("reason"))
        assert len(world.said("revocations.failed")) == 1 + len(
            [one for one in world.said("revocations.failed") if one.levelname == "DEBUG"]
        )


Lie = Callable[[Simulator, dict[str, str]], web.Response]


def named(simulator: Simulator, params: dict[str, str], *names: str | None, **tail: Any) -> web.Response:
    """A page of the list that names these."""
    records = [json.dumps({"SerialNumber": "1f"} if one is None else {"Identifier": one}).encode() for one in names]
    return lies.page({**params}, [("", one) for one in records], **tail)


def _everybody(simulator: Simulator, params: dict[str, str]) -> web.Response:
    return named(simulator, params, *simulator.identifiers())


def _count(total: Any) -> Lie:
    return lambda simulator, params: named(simulator, params, TotalCount=total)


def _flaps(simulator: Simulator, params: dict[str, str]) -> web.Response:
    return named(simulator, params, TotalCount=3 + simulator.calls % 2)


def _grows(simulator: Simulator, params: dict[str, str]) -> web.Response:
    return named(simulator, params, TotalCount=simulator.calls)


HOSTILE: dict[str, Lie] = {
    "everybody is revoked": _everybody,
    "nobody is known": lambda simulator, params: named(simulator, params, "foreign-1", "foreign-2"),
    "always somebody else": lambda simulator, params: named(simulator, params, f"foreign-{simulator.calls}"),
    "serial numbers alone": lambda simulator, params: named(simulator, params, None, None, TotalCount=simulator.calls),
    "a count below nothing": _count(-5),
    "a count in words": _count("many"),
    "no count": _count(...),
    "an endless list": _count(10**18),
    "a long list": _count(10**9),
    "a count that flaps": _flaps,
    "a count that grows": _grows,
    "no list": lambda simulator, params: lies.body(b'{"TotalCount":3}'),
    "records that are none": lambda simulator, params: lies.body(
        b'{"CertificateList":[1,"x",null,[{}],{"Identifier":7}],"TotalCount":9}'
    ),
    "another page": lambda simulator, params: named(simulator, params, CurrentPage=9),
    "no such operation": lambda simulator, params: web.json_response({"Code": "InvalidAction.NotFound"}, status=404),
}


@together_for(HOSTILE)
async def test_a_list_that_lies_makes_nothing_false_and_little_work_and_sweeps_go_on(directory: Path, lie: Lie) -> None:
    async with living(directory, revocations=True) as world:
        simulator = world.simulator

        def intercept(params: dict[str, str]) -> web.Response | None:
            return lie(simulator, params) if params["Action"] == LIST_REVOKED else None

        simulator.intercept = intercept
        before = len(world.calls())
        await world.until("it was asked a few times", lambda: len(readings(world)) >= 3)
        await world.sweeps(10)
        calls = world.calls()[before:]
        assert len(world.look_ups()) <= 7 * 8, "asked for ever"
        sweeping = [call for call in calls if call["action"] != LIST_REVOKED and "Identifier" not in call["params"]]
        assert len(readings(world)) <= len(sweeping) + 30, "sweeps wait for it"
        assert not world.told("certificate.revoked")
        one = simulator.identifiers()[0]
        simulator.revoke(one)
        await world.event("certificate.revoked", one)
        assert not world.told("certificate.new")
        assert not world.told("certificate.deleted")
        assert not world.said("account.failed")


@together
async def test_groups_of_one_user_are_told_their_own_and_share_ten_calls_a_second(tmp_path: Path) -> None:
    def two(simulator: Simulator) -> tuple[Account, ...]:
        return tuple(
            account(tmp_path, simulator, name, resource_group=f"rg-acfmsimulator0{n}", budget="us", uid="1", **SELDOM)
            for n, name in ((1, "one"), (2, "two"))
        )

    async with living(tmp_path, certificates=40, accounts=two) as world:
        await world.until("both read it", lambda: {told(world, one)["state"] for one in ("one", "two")} == {"read"})
        groups = {"one": "rg-acfmsimulator01", "two": "rg-acfmsimulator02"}
        population = world.simulator.population
        inside = {
            name: next(row.blueprint.identifier for row in population if row.group == group)
            for name, group in groups.items()
        }
        neither = next(row.blueprint.identifier for row in population if row.group == "rg-acfmsimulator03")
        for one in (neither, *inside.values()):
            world.simulator.revoke(one)
        for name, one in inside.items():
            assert (await world.event("certificate.revoked", one))["data"]["account"] == name
        assert len(world.told("certificate.revoked")) == 2
        assert not world.look_ups(neither)


@together
async def test_a_suspect_account_tells_no_revocations(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=20, revocations=True) as world:
        names = world.simulator.identifiers()
        world.simulator.intercept = lies.hiding(world.simulator, names[:15])
        await world.event("account.suspect")
        world.simulator.revoke(names[-1])
        count = len(readings(world))
        await world.sweeps(2)
        assert len(readings(world)) <= count + 1
        assert not world.told("certificate.revoked")
        world.simulator.intercept = None
        await world.event("certificate.revoked", names[-1])
