"""What sweeps cannot see is told, once, with its cause, and for as long as it lasts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from certstream.core.sweep import ENDED_EARLY, UNREAD, Verdict
from certstream.service import gaps, health
from certstream.service.clock import Clock
from certstream.service.gaps import Gaps
from tests.service import lies
from tests.service.test_status import told
from tests.service.together import together, together_for
from tests.service.world import living

COMPLETE, INCOMPLETE = Verdict(True, 0, None), Verdict(False, 0, UNREAD)


def _html(params: dict[str, str]) -> Any:
    if params["CurrentPage"] != "2" or "Identifier" in params:
        return None
    return lies.body(b"<html>bad gateway</html>", kind="text/html")


@together
async def test_a_page_that_never_comes_is_told_with_its_cause_until_it_comes(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=12) as world:
        world.simulator.intercept = _html
        await world.until(
            "it is told", lambda: "page 2 of the sweep cannot be read" in str(world.state().get("reason"))
        )
        assert "bad gateway" in world.state()["reason"]
        assert world.state()["state"] == "healthy"
        await world.says("sweep.incomplete", count=2)
        records = len([one for one in world.records if one.topic == "accounts"])
        assert [one.levelno for one in world.said("page.failed")].count(logging.WARNING) == 1
        await world.says("sweep.incomplete", count=2)
        assert len([one for one in world.records if one.topic == "accounts"]) == records, "the text does not change"
        world.simulator.intercept = None
        await world.until("it is over", lambda: told(world)["reason"] is None)


async def test_when_it_lasts_the_account_is_blind_and_that_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "LONG", 0.5)
    async with living(tmp_path, certificates=12) as world:
        world.simulator.intercept = _html
        blind = await world.health("blind")
        assert blind["reason"].startswith("no sweep has been complete since 20")
        assert "page 2 of the sweep cannot be read since" in blind["reason"]
        await world.says("sweep.incomplete", count=2)
        assert len(world.said("sweep.stuck")) == 1
        world.simulator.intercept = None
        await world.health("healthy")


async def test_without_a_good_answer_for_a_minute_the_account_is_blind_with_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "BLIND", 1.0)
    async with living(tmp_path) as world:
        world.simulator.intercept = lambda params: lies.body(b"<html>maintenance</html>", kind="text/html")
        assert "maintenance" in (await world.health("blind"))["reason"]
        world.simulator.intercept = None
        await world.health("healthy")


@together_for({"empty pages": False, "the last page again": True})
async def test_a_total_that_is_too_high_is_told_as_a_list_that_ended_early(directory: Path, again: bool) -> None:
    async with living(directory, certificates=8) as world:

        def intercept(params: dict[str, str]) -> Any:
            if "Identifier" in params:
                return None
            number = int(params["CurrentPage"])
            shown = {**params, "CurrentPage": str(min(number, 2) if again else number)}
            return lies.page(shown, lies.rows(world.simulator), TotalCount=500, CurrentPage=number)

        world.simulator.intercept = intercept
        await world.until("it is told", lambda: world.state().get("reason") == ENDED_EARLY)
        assert ENDED_EARLY in {getattr(one, "reason", None) for one in world.said("sweep.incomplete")}


def test_how_long_is_long_follows_how_long_a_sweep_takes() -> None:
    now = [0.0]
    found = Gaps("prod", Clock(monotonic=lambda: now[0]))
    for ends in (1100.0, 2200.0, 3300.0):
        now[0] = ends
        found.failed(7, Exception("reset"))
        found.ended(INCOMPLETE, seconds=1100.0)
        assert not found.blind
    now[0] = 3301.0
    found.failed(7, Exception("reset"))
    found.ended(INCOMPLETE, seconds=1.0)
    assert found.blind
    found.read(7)
    assert not found.blind
    assert "no sweep has been complete" in str(found.note)
    found.ended(COMPLETE, seconds=1.0)
    assert found.note is None
