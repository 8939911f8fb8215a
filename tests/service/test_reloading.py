"""Accounts come, change and go while the others are watched: what SIGHUP does, on a real journal and simulator."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path

from certstream.cli import reloading
from certstream.config import Config, ConfigError
from certstream.core.sharding import shard_of
from tests.real.kafka import Broker
from tests.real.redis import RedisServer, known
from tests.service.together import together
from tests.service.world import World, account, living

_numbers = itertools.count(1)


def beside(world: World, given: list[Config | ConfigError]) -> tuple[reloading.Reloading, asyncio.Task[None]]:
    """The reader of a configuration, `given[-1]`, beside the service that runs."""

    def read() -> Config:
        newest = given[-1]
        if isinstance(newest, ConfigError):
            raise newest
        return newest

    assert world.service is not None
    made = reloading.Reloading(world.service, world.config, read, world.locks, {})
    assert world.service._work is not None
    return made, world.service._work.create_task(made.run())


def of_shard(other: str, same: bool) -> str:
    return next(name for name in (f"n{n}" for n in range(999)) if (shard_of(name, 12) == shard_of(other, 12)) is same)


@together
async def test_accounts_come_change_and_go_and_the_other_has_one_baseline(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        shared, alone = of_shard("prod", True), of_shard("prod", False)
        here = account(tmp_path, world.simulator, uid="1", qps=4)
        await world.start(world.config.model_copy(update={"accounts": (here,)}))
        given: list[Config | ConfigError] = [world.config]
        made, _ = beside(world, given)
        assert world.service is not None
        group = account(tmp_path, world.simulator, shared, budget="prod", uid="1", qps=4, resource_group="rg-x")

        async def become(*accounts: object) -> None:
            given.append(world.config.model_copy(update={"accounts": accounts}))
            made.asked.set()
            await world.says("config.read")

        await become(here, group)
        await world.event("account.baselined", shared)
        faster = here.model_copy(update={"qps": 9, "page_size": 3, "endpoint": world.simulator.url + "/"})
        await become(faster)
        assert list(world.service.status()["accounts"]) == ["prod"]
        assert world.service._running["prod"].budget._slots.qps == 9
        await world.until("pages are of three", lambda: world.calls()[-1]["params"]["ShowSize"] == "3")
        group = group.model_copy(update={"qps": 9})
        await become(faster, group)  # again: its history is read back, in a shard that is open
        await world.sweeps(2, shared)
        assert len(world.told("account.baselined", shared)) == 1
        one_user = account(tmp_path, world.simulator, alone, uid="1")
        await become(faster, group, one_user)
        assert any("one user" in why for why in world.service.status()["configuration"]["reasons"])
        given.append(ConfigError("certstream.toml: not TOML"))
        made.asked.set()
        await world.says("config.refused")
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        assert len(world.told("account.baselined", "prod")) == 1
        assert world.service.status()["configuration"]["reasons"] == ["certstream.toml: not TOML"]


@together
async def test_a_user_may_have_two_budgets_where_hosts_share_calls_also_after_a_reload(tmp_path: Path) -> None:
    redis = await asyncio.to_thread(RedisServer)
    try:
        await known(redis.url, "1")
        async with living(tmp_path, settings={"limiter": redis.url}, started=False, uid="1") as world:
            other = account(tmp_path, world.simulator, "other", uid="1")
            await world.start(world.config.model_copy(update={"accounts": (*world.config.accounts, other)}))
            given: list[Config | ConfigError] = [world.config]
            made, _ = beside(world, given)
            faster = other.model_copy(update={"page_size": 3})
            given.append(world.config.model_copy(update={"accounts": (*world.config.accounts[:1], faster)}))
            made.asked.set()
            await world.says("config.read")
            assert not world.said("config.refused")
            await world.until("pages are of three", lambda: world.calls()[-1]["params"]["ShowSize"] == "3")
    finally:
        redis.kill()


async def test_an_account_joins_a_shard_that_is_open_on_kafka_and_goes_on_with_its_history(
    tmp_path: Path, kafka: Broker
) -> None:
    settings = {"journal": f"kafka://{kafka.bootstrap}", "topic_prefix": f"r{os.getpid()}-{next(_numbers)}."}
    async with living(tmp_path, settings=settings, started=False, uid="1") as world:
        here = world.config.accounts[0]
        group = here.model_copy(update={"name": of_shard("prod", True), "budget": "prod"})
        await world.start(world.config.model_copy(update={"accounts": (here,)}))
        given: list[Config | ConfigError] = [world.config]
        made, _ = beside(world, given)

        async def become(*accounts: object, **keys: object) -> None:
            given.append(world.config.model_copy(update={"accounts": accounts, **keys}))
            made.asked.set()
            await world.says("config.read")

        await become(here, group)
        await world.event("account.baselined", group.name)
        await become(here, journal="sqlite:///elsewhere.db", lock_dir="/elsewhere")
        assert world.service is not None
        assert [why.partition(":")[0] for why in world.service.status()["configuration"]["reasons"]] == [
            "journal needs a restart",
            "lock_dir needs a restart",
        ]
        revoked = world.simulator.identifiers()[0]
        world.simulator.revoke(revoked)
        await world.event("certificate.revoked", revoked)
        assert [one["subject"] for one in world.told("certificate.revoked")] == [revoked]
        await become(here, group)  # its history is read back from the topic, up to what the others had committed
        await world.until("it is told of both", lambda: len(world.told("certificate.revoked", revoked)) == 2)
        await world.sweeps(2, group.name)
        assert len(world.told("account.baselined", group.name)) == 1
        assert world.service.status()["configuration"] == {"state": "ok", "reasons": []}
