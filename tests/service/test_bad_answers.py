"""Answers that are wrong about time, place or pace: each is told, bounded, and over when they are right again."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from certstream.core.errors import Throttled
from certstream.service.budget import Budget, Urgency
from certstream.service.clock import Clock
from certstream.service.confirming import NothingToConfirm
from certstream.simulator import DEFAULT_USER, Simulator
from certstream.simulator.server import Intercept
from certstream.simulator.signature import Refused
from tests.service import lies
from tests.service.test_accounts import OTHER, TWO_USERS, other
from tests.service.together import together, together_for
from tests.service.world import World, account, living

HOUR = 3600


def healthy_again(world: World) -> str:
    """The trouble is over; what is issued from now on must be told."""
    world.simulator.intercept = None
    return world.simulator.issue()


@together_for({"behind": -5 * HOUR, "ahead": 5 * HOUR})
async def test_a_date_that_is_hours_off_holds_thresholds_and_nothing_else(directory: Path, off: int) -> None:
    settings = {"thresholds": ["1h"]}
    async with living(directory, certificates=3, settings=settings, started=False) as world:
        now = int(time.time())
        near = world.simulator.issue(not_before=now - 24 * HOUR, not_after=now + HOUR + 2)

        def intercept(params: dict[str, str]) -> web.Response:
            answer = lies.page(params, lies.rows(world.simulator))
            answer.headers["Date"] = formatdate(time.time() + off, usegmt=True)
            return answer

        world.simulator.intercept = intercept
        await world.start()
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        await world.until("the threshold has passed", lambda: time.time() > now + 2.2)
        await world.until_said("thresholds.held")
        assert not world.told("certificate.expiring")
        issued = healthy_again(world)
        await world.event("certificate.expiring", near)
        await world.event("certificate.new", issued)


@together_for({"negative": ("-5000", "no number"), "text": ("soon", "no number"), "huge": ("9" * 40, "60 s are kept")})
async def test_a_silence_that_makes_no_sense_is_bounded_and_told(directory: Path, said: tuple[str, str]) -> None:
    async with living(directory) as world:
        header, told = said
        world.simulator.intercept = lies.refusing(
            "Throttling.User", 400, lambda _: True, **{"x-acs-retry-after": header}
        )
        assert told in getattr(await world.says("throttled"), "reason", "")
        assert world.service is not None
        (budget,) = world.service._budgets.values()
        assert budget.frozen_until - time.monotonic() <= 60
        issued = healthy_again(world)
        if told == "no number":
            await world.event("certificate.new", issued)


@together
async def test_a_user_that_is_throttled_for_ever_says_so_and_the_other_goes_on_at_full_speed(tmp_path: Path) -> None:
    def two(simulator: Simulator) -> tuple[Any, ...]:
        return account(tmp_path, simulator, sweep_every=0.0), other(tmp_path, simulator, sweep_every=0.0)

    async with living(tmp_path, simulator=TWO_USERS, accounts=two, paced=False) as world:
        world.secrets.add(OTHER.secret)
        real = world.simulator._admit

        async def admit(request: Any, call: Any) -> Any:
            user = await real(request, call)
            if user.uid == OTHER.uid:
                raise Refused(400, "Throttling.User", "said the test")
            return user

        world.simulator._admit = admit  # type: ignore[method-assign]
        assert "somebody else" in (await world.health("throttled", "other"))["reason"]
        began = time.time()
        await world.until("two seconds have passed", lambda: time.time() > began + 2.1)
        calls = [one["arrival"] for one in world.calls() if one["user"] == DEFAULT_USER.uid]
        assert sum(began < one <= began + 2 for one in calls) >= 10  # 19 where nothing else runs
        assert world.state()["state"] == "healthy"
        assert world.state("other")["state"] == "throttled"


async def test_throttling_without_end_does_not_look_well_between_two_silences() -> None:
    now = [0.0]
    budget = Budget(10, clock=Clock(monotonic=lambda: now[0]))

    async def refuse() -> Any:
        raise Throttled("Throttling.User", retry_after=60.0)

    for _ in range(5):
        with pytest.raises(Throttled):
            await budget.call(Urgency.SWEEP, refuse)
        now[0] += 61
    assert budget.contested()


@together
async def test_a_redirect_is_followed_by_nobody_and_told_with_where_to_look(tmp_path: Path) -> None:
    async with living(tmp_path) as world, Simulator() as elsewhere:

        def intercept(params: dict[str, str]) -> web.Response:
            return web.Response(status=307, headers={"Location": f"{elsewhere.url}/?{params}"})

        assert world.service is not None
        world.simulator.intercept = intercept
        calls = world.service._running["prod"].poller._calls
        await world.until(
            "it is told", lambda: "redirects are not followed: check the endpoint" in (calls.failing or "")
        )
        issued = healthy_again(world)
        await world.event("certificate.new", issued)
        assert elsewhere.calls == 0


def _failing(params: dict[str, str]) -> web.Response | None:
    return lies.down(params) if "Identifier" in params else None


def _throttled(params: dict[str, str]) -> web.Response | None:
    return (
        lies.refusing("Throttling.User", 400, lambda _: True, **{"x-acs-retry-after": "10"})(params)
        if ("Identifier" in params)
        else None
    )


@together_for({"an error": _failing, "a throttle answer": _throttled})
async def test_a_control_that_gets_no_answer_proves_nothing_and_loses_nothing(
    directory: Path, intercept: Intercept
) -> None:
    async with living(directory, certificates=20, paced=False) as world:
        world.simulator.intercept = intercept
        gone = world.simulator.identifiers()[0]
        world.simulator.delete(gone)
        await world.says("deletion.unproven")
        assert not world.told("certificate.deleted")
        issued = healthy_again(world)
        await world.event("certificate.deleted", gone)
        await world.event("certificate.new", issued)


@together
async def test_the_last_certificate_is_deleted_on_an_operators_word_alone(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=1) as world:
        (last,) = world.simulator.identifiers()
        world.simulator.delete(last)
        suspect = await world.event("account.suspect")
        assert suspect["data"]["reason"] == "the list is empty, 1 certificates were known"
        assert not world.told("certificate.deleted")

        def begun() -> bool:
            assert world.service is not None
            try:
                return world.service.confirm("prod", "alice", "it was the last one") == 1
            except NothingToConfirm:
                return False

        await world.until("a sweep has nominated it", begun)
        await world.event("certificate.deleted", last)
        await world.health("healthy")
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
