"""Accounts come, change and go while the others are watched: what SIGHUP does, on a real journal and simulator."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from contextlib import suppress
from pathlib import Path

from certstream.cli import reloading
from certstream.config import Config, ConfigError, Credentials
from certstream.core.sharding import shard_of
from certstream.core.times import thresholds
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, User
from tests.real.kafka import Broker
from tests.real.redis import RedisServer, known
from tests.service.together import together
from tests.service.world import World, account, living

_numbers = itertools.count(1)


def beside(
    world: World, given: list[Config | ConfigError], *, once: bool = False
) -> tuple[reloading.Reloading, asyncio.Task[None]]:
    """The reader of a configuration, `given[-1]`, beside the service that runs; `once`: each of them is read once."""

    def read() -> Config:
        newest = given.pop() if once else given[-1]
        if isinstance(newest, ConfigError):
            raise newest
        return newest

    assert world.service is not None
    made = reloading.Reloading(world.service, world.config, read, world.locks, {}, asyncio.Event())
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
async def test_a_file_that_is_half_written_changes_nothing_and_is_told(tmp_path: Path) -> None:
    async with living(tmp_path, started=False, uid="1") as world:
        other = account(tmp_path, world.simulator, "other", budget="prod", uid="1")
        half = world.config
        whole = half.model_copy(update={"accounts": (*half.accounts, other)})
        await world.start(whole)
        none = Config(journal=world.config.journal, lock_dir=world.config.lock_dir)
        cases = {"is being written": (half, whole), "names no accounts": (none, none)}
        for reason, (first, second) in cases.items():
            given: list[Config | ConfigError] = [second, first]
            made, task = beside(world, given, once=True)
            made.asked.set()
            refused = await world.says("config.refused")
            assert reason in str(refused.__dict__["reason"])
            task.cancel()
        assert world.service is not None
        assert list(world.service.status()["accounts"]) == ["prod", "other"]
        assert not world.said("account.removed")


@together
async def test_who_is_refused_ends_nobody_while_others_are_asked_for_again(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()

    async with living(tmp_path, started=False) as world, await asyncio.start_server(silent, "127.0.0.1") as nobody:
        world.simulator.denied.add("GetCallerIdentity")
        here = account(tmp_path, world.simulator, sts_endpoint=world.simulator.url)
        await world.start(world.config.model_copy(update={"accounts": (here,)}))
        slow = f"http://127.0.0.1:{nobody.sockets[0].getsockname()[1]}"
        same_key = account(tmp_path, world.simulator, "other", sts_endpoint=slow)
        given: list[Config | ConfigError] = [world.config]
        made, _ = beside(world, given)
        given.append(world.config.model_copy(update={"accounts": (here, same_key)}))
        made.asked.set()
        refused = await world.says("config.refused")
        assert "are one user" in str(refused.__dict__["reason"])
        await world.sweeps(2)


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


@together
async def test_thresholds_credentials_and_resource_group_change_and_the_history_goes_on(tmp_path: Path) -> None:
    """Another key is used from the next call on, the old one never again; what another group does not show is
    suspected, not told as deleted, and is there again when the group is."""
    async with living(tmp_path, certificates=30, started=False, uid=DEFAULT_USER.uid) as world:
        first, second = "rg-acfmsimulator01", "rg-acfmsimulator02"
        here = world.config.accounts[0].model_copy(update={"resource_group": first})
        await world.start(world.config.model_copy(update={"accounts": (here,), "thresholds": thresholds(["1d"])}))
        given: list[Config | ConfigError] = [world.config]
        made, _ = beside(world, given)
        assert world.service is not None

        async def become(one: object, *texts: str) -> None:
            given.append(world.config.model_copy(update={"accounts": (one,), "thresholds": thresholds(texts)}))
            made.asked.set()
            await world.says("config.read")
            assert world.service is not None
            assert world.service.status()["configuration"]["reasons"] == []

        now = int(time.time())
        soon = world.simulator.issue(not_before=now - 100, not_after=now + 100, ResourceGroupId=first)
        await world.event("certificate.new", soon)
        await become(here, "1d", "95s")  # which it crosses five seconds from its birth
        assert not world.told("certificate.expiring", soon)
        assert (await world.event("certificate.expiring", soon))["data"]["threshold"] == "95s"

        world.simulator.users["LTAIanother000000001"] = User("anotherSecret000000000000000001", DEFAULT_USER.uid)
        world.secrets.add("anotherSecret000000000000000001")
        (tmp_path / "another").write_text("anotherSecret000000000000000001")
        keys = Credentials(access_key_id="LTAIanother000000001", access_key_secret_file=str(tmp_path / "another"))
        here = here.model_copy(update={"credentials": keys})
        await become(here, "1d", "95s")
        await asyncio.sleep(0.5)  # what is under way with the old key
        del world.simulator.users[DEFAULT_KEY]
        await world.sweeps()
        assert not world.said("account.denied")
        issued = world.simulator.issue(ResourceGroupId=first)
        await world.event("certificate.new", issued)

        known = world.service.status()["accounts"]["prod"]["certificates"]
        await become(here.model_copy(update={"resource_group": second}), "1d", "95s")
        await world.event("account.suspect")
        assert world.service.status()["accounts"]["prod"]["certificates"] == known
        await become(here, "1d", "95s")
        await world.event("account.released")
        await world.sweeps()
        assert not world.told("certificate.deleted")
        assert len(world.told("certificate.new")) == 2
        assert len(world.told("account.baselined")) == 1


@together
async def test_a_key_of_another_user_is_refused_and_one_of_whom_sts_says_nothing(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        here = account(tmp_path, world.simulator, sts_endpoint=world.simulator.url)
        await world.start(world.config.model_copy(update={"accounts": (here,)}))
        given: list[Config | ConfigError] = [world.config]
        made, _ = beside(world, given)
        assert world.service is not None
        secret = "anotherSecret000000000000000001"
        world.simulator.users["LTAIanother000000001"] = User(secret, "1000000000000099")
        world.secrets.add(secret)
        (tmp_path / "another").write_text(secret)
        keys = Credentials(access_key_id="LTAIanother000000001", access_key_secret_file=str(tmp_path / "another"))
        for sts, reason in (("away", "STS has not said whose"), ("there", f"is the history of UID {DEFAULT_USER.uid}")):
            world.simulator.denied = {"GetCallerIdentity"} if sts == "away" else set()
            given.append(world.config.model_copy(update={"accounts": (here.model_copy(update={"credentials": keys}),)}))
            made.asked.set()
            refused = await world.says("config.refused")
            assert reason in str(refused.__dict__["reason"])
        await world.sweeps(2)
        listed = {call["user"] for call in world.calls() if call["action"] != "GetCallerIdentity"}
        assert listed == {DEFAULT_USER.uid}
