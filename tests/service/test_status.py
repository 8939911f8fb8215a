"""What `/readyz` says about each account, from the first moment on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from certstream.app import build
from certstream.service import group
from certstream.service.clock import Clock
from certstream.web import reasons
from tests.service import lies
from tests.service.together import together
from tests.service.world import World, account, living


def told(world: World, name: str = "prod") -> dict[str, Any]:
    """The account as `/readyz` shows it now."""
    assert world.service is not None
    found: dict[str, Any] = world.service.status()["accounts"][name]
    return found


@together
async def test_every_account_is_starting_while_the_journal_is_away(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        two = (account(tmp_path, world.simulator), account(tmp_path, world.simulator, "two", budget="prod"))
        changes = {"journal": "kafka://127.0.0.1:9", "accounts": two}
        away = build(world.config.model_copy(update=changes), clock=Clock())
        assert list(away.status()["accounts"]) == ["prod", "two"]
        stop = asyncio.Event()
        running = asyncio.create_task(away.run(stop))
        await world.until_said("journal.away")
        status = away.status()
        assert {one["state"] for one in status["accounts"].values()} == {"starting"}
        assert "account prod: starting: waiting for the journal" in reasons(status)
        assert any(line.startswith("journal: away") for line in reasons(status))
        stop.set()
        await asyncio.wait_for(running, 10)


@together
async def test_while_sts_is_asked_it_says_so(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        asked, answered = asyncio.Event(), asyncio.Event()
        slow = build(world.config, clock=Clock())

        async def uid() -> str | None:
            asked.set()
            await answered.wait()
            return None

        slow.entries[0].source.uid = uid  # type: ignore[method-assign]
        stop = asyncio.Event()
        running = asyncio.create_task(slow.run(stop))
        await asked.wait()
        assert "STS" in slow.status()["accounts"]["prod"]["reason"]
        stop.set()
        answered.set()
        await asyncio.wait_for(running, 10)


async def test_the_successor_of_one_that_was_killed_is_not_ready_before_its_first_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(tmp_path) as world:
        await world.health("healthy")
        await world.kill()
        calls, healthy = len(world.calls()), len(world.said("account.state"))
        monkeypatch.setattr(group, "TAKE_OVER", 2.0)
        await world.start(baselined=False)
        await world.until("it takes over", lambda: "taking over" in str(told(world)["reason"]))
        starting = told(world)
        assert starting["state"] == "starting"
        assert starting["reason"].endswith("s left")
        assert starting["certificates"] == 7
        assert len(world.calls()) == calls
        world.simulator.intercept = lies.refusing("InternalError", 500, lambda _: True)
        await world.until("it has called", lambda: len(world.calls()) > calls)
        assert told(world)["state"] == "starting"
        await world.until("it says why", lambda: "InternalError" in told(world)["reason"])
        assert told(world)["reason"].startswith("no call has had a good answer yet")
        assert len(world.said("account.state")) == healthy, "nothing was said before anything was known"
        world.simulator.intercept = None
        await world.until("it is healthy", lambda: told(world)["state"] == "healthy")
        assert not [one for one in world.records if b'"starting"' in (one.value or b"")]
