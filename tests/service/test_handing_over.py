"""One user's calls pass from one budget to another while the service runs: never eleven in a second."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from certstream.cli import reloading
from certstream.config import Account, Config, ConfigError
from tests.service.test_accounts import TWO_USERS, other
from tests.service.test_reloading import beside
from tests.service.together import together
from tests.service.world import World, account, living

RARELY: dict[str, Any] = {"sweep_every": 60, "probe_every": 60}


async def become(world: World, *accounts: Account) -> None:
    """Another configuration, right after a burst of look-ups of `prod`: the audit counts what arrives."""
    assert world.service is not None
    given: list[Config | ConfigError] = [world.config]
    made, _ = beside(world, given)
    prod = world.service._running["prod"]
    await world.until("all slots are back", prod.budget.idle)
    given.append(world.config.model_copy(update={"accounts": accounts}))
    made.asked.set()
    await asyncio.sleep(reloading.SETTLED - 0.1)
    prod.observer._doubts.want(dict.fromkeys(world.simulator.identifiers()[:8], 0.0))
    await world.event("account.baselined", accounts[-1].name)
    assert len(world.look_ups()) > 4


@together
async def test_who_is_renamed_begins_when_the_calls_under_the_old_name_are_over(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=40, **RARELY, uid="1") as world:
        await become(world, account(tmp_path, world.simulator, "renamed", uid="1"))


@together
async def test_who_begins_with_the_key_that_another_had_waits_for_its_calls(tmp_path: Path) -> None:
    two = replace(TWO_USERS, certificates=40)
    async with living(tmp_path, simulator=two, **RARELY) as world:
        changed = other(tmp_path, world.simulator, "prod", **RARELY)
        await become(world, changed, account(tmp_path, world.simulator, "new"))
