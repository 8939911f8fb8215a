"""What an account leaves behind that goes, or changes its key, while the service runs: calls that count, and a commit
that nobody knows the outcome of."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certstream.app import build_claim, build_locks
from certstream.cli import reloading
from certstream.config import Account, Config, ConfigError
from certstream.core.pacing import SECOND
from certstream.core.wire import EVENTS, Put
from certstream.ports import Held
from certstream.service.clock import Clock
from certstream.simulator import Simulator
from tests.service.test_accounts import TWO_USERS, other
from tests.service.test_reloading import beside
from tests.service.together import together
from tests.service.world import World, account, living

RARELY: dict[str, Any] = {"sweep_every": 60, "probe_every": 60}


async def become(world: World, *accounts: Account) -> None:
    """Another configuration, between a burst of look-ups of `prod` and one of the last: the audit counts arrivals."""
    assert world.service is not None
    given: list[Config | ConfigError] = [world.config]
    made, _ = beside(world, given)
    running, new = world.service._running, accounts[-1].name
    some = dict.fromkeys(world.simulator.identifiers()[:8], 0.0)
    await world.until("all slots are back", running["prod"].budget.idle)
    given.append(world.config.model_copy(update={"accounts": accounts}))
    made.asked.set()
    await asyncio.sleep(reloading.SETTLED - 0.2)
    running["prod"].observer._doubts.want(some)
    await world.until("it is added", lambda: new in running)
    running[new].observer._doubts.want(some)
    await world.event("account.baselined", new)
    await world.until("both looked up", lambda: len(world.look_ups()) > 12)


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


@together
async def test_what_was_in_doubt_when_it_was_removed_is_told_once(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        assert world.service is not None
        (group,) = world.service._groups.values()
        shard: Any = group.shard
        file, resume = shard._writer, shard.resume
        commit = file.commit
        doubted, removed = asyncio.Event(), asyncio.Event()

        async def commits_and_fails(number: int, puts: Sequence[Put]) -> int | None:
            end: int | None = await commit(number, puts)
            if any(put.topic == EVENTS for put in puts):
                doubted.set()
                file.commit = commit
                raise sqlite3.OperationalError("the answer was lost")
            return end

        async def slowly() -> None:
            await removed.wait()
            await resume()

        file.commit, shard.resume = commits_and_fails, slowly
        issued = world.simulator.issue()
        await doubted.wait()
        async with asyncio.timeout(10):
            removing = asyncio.create_task(world.service.remove("prod"))
            await asyncio.sleep(0.1)
            removed.set()
            await removing
        await world.event("certificate.new", issued)
        await group.writer.turn(shard.verify)
        assert len(world.told("certificate.new")) == 1


@together
async def test_other_processes_may_call_for_a_user_whose_last_account_went(tmp_path: Path) -> None:
    def two(simulator: Simulator) -> tuple[Account, ...]:
        return tuple(account(tmp_path, simulator, name, budget="shared", uid="1") for name in ("prod", "mate"))

    async with living(tmp_path, accounts=two) as world:
        assert world.service is not None
        elsewhere = build_locks(world.config, Clock())
        theirs = build_claim(world.config.accounts[0], elsewhere)
        await world.service.remove("prod")
        with pytest.raises(Held):
            await theirs.begin()
        await world.service.remove("mate")
        await theirs.begin()
        assert 0 < theirs.left() <= SECOND
        elsewhere.release(None)
