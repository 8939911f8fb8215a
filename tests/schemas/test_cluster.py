"""`journal.topics` against the real Kafka: what differs is told, what can be mended is, nothing else is touched."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.helpers import create_ssl_context

from certstream.app import build
from certstream.config import Config
from certstream.core.errors import Fatal
from certstream.definition import topics
from certstream.journal.topics import Difference, apply, plan
from certstream.journal.topics_told import commands
from certstream.ports import JournalAway
from tests.real.kafka import Broker
from tests.real.ports import free_port


@pytest.fixture
def prefix() -> str:
    return f"t{secrets.token_hex(4)}."


@pytest.fixture
def connection(kafka: Broker) -> dict[str, Any]:
    return {"bootstrap_servers": kafka.bootstrap}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Broker]:
    """A broker where the user `journal` may do nothing at all."""
    rights = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with Broker(sasl=True, properties=rights) as broker:
        yield broker


def configured(folder: Path, broker: Broker, prefix: str) -> Path:
    """A configuration of the user `journal`."""
    config = folder / "certstream.toml"
    config.write_text(
        f'journal = "kafka://{broker.bootstrap}"\ntopic_prefix = "{prefix}"\n[kafka]\nsecurity_protocol = "SASL_SSL"\n'
        f'sasl_mechanism = "SCRAM-SHA-512"\nusername = "{broker.username}"\n'
        f'password_file = "{broker.password_file}"\nca_file = "{broker.ca_file}"\n'
    )
    return config


def certstream(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "certstream", *words], capture_output=True, text=True, check=False)


def as_journal(broker: Broker, password: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": broker.bootstrap,
        "security_protocol": "SASL_SSL",
        "ssl_context": create_ssl_context(cafile=str(broker.ca_file)),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": broker.username,
        "sasl_plain_password": password,
    }


async def alter(connection: dict[str, Any], topic: str, config: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(**connection)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)])
    finally:
        await admin.close()


async def create(connection: dict[str, Any], topic: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(**connection)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()


async def overrides(connection: dict[str, Any], topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(**connection)
    await admin.start()
    try:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    finally:
        await admin.close()
    return {entry[0]: entry[1] for entry in answer.resources[0][4] if entry[3] == 1}


async def until(connection: dict[str, Any], prefix: str, expected: int) -> list[Difference]:
    """The plan once it has this many lines: brokers learn a little after the controller."""
    async with asyncio.timeout(10):
        while True:
            found = await plan(connection, topics(), prefix=prefix)
            if len(found) == expected:
                return found
            await asyncio.sleep(0.1)


async def test_on_an_empty_cluster_the_plan_names_every_topic(connection: dict[str, Any], prefix: str) -> None:
    differences = await plan(connection, topics(), prefix=prefix)
    assert [(one.what, one.topic) for one in differences] == [("missing", prefix + topic.name) for topic in topics()]
    assert all(one.mendable for one in differences)
    assert str(differences[0]) == f"{prefix}events is missing"


def test_the_plan_shows_all_that_a_missing_topic_will_be(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    config = tmp_path / "certstream.toml"
    config.write_text(f'journal = "kafka://{kafka.bootstrap}"\ntopic_prefix = "{prefix}"\n[kafka]\nreplicas = 1\n')
    done = certstream("topics", "plan", "--config", str(config))
    assert done.returncode == 1
    for topic, line in zip(topics(), done.stdout.splitlines()[:-1], strict=True):
        settings = ", ".join(f"{key}={value}" for key, value in topic.config.items())
        assert line == f"+ {prefix}{topic.name} is missing: {topic.partitions} partitions, 1 replica, {settings}"


async def test_apply_creates_every_topic_and_then_nothing_differs(connection: dict[str, Any], prefix: str) -> None:
    mended, left = await apply(connection, topics(), prefix=prefix)
    assert [one.topic for one in mended] == [prefix + topic.name for topic in topics()]
    assert left == []
    assert await plan(connection, topics(), prefix=prefix) == []
    assert await plan(connection, topics(), prefix=prefix, replicas=1) == []
    for topic in topics():
        assert await overrides(connection, prefix + topic.name) == topic.config
    assert await apply(connection, topics(), prefix=prefix) == ([], [])


async def test_two_may_apply_at_once(connection: dict[str, Any], prefix: str) -> None:
    await asyncio.gather(*(apply(connection, topics(), prefix=prefix, replicas=1) for _ in range(3)))
    assert await plan(connection, topics(), prefix=prefix) == []


async def test_drift_is_told_and_mended_and_other_overrides_stay(connection: dict[str, Any], prefix: str) -> None:
    await apply(connection, topics(), prefix=prefix)
    # The old AlterConfigs replaces everything: `retention.ms` and the others fall back to the broker's defaults.
    await alter(connection, f"{prefix}events", {"retention.ms": "3600000", "flush.messages": "777"})
    found = await until(connection, prefix, 1)
    assert found == [Difference(f"{prefix}events", "config", "retention.ms", "-1", "3600000", True)]
    assert str(found[0]) == f"{prefix}events: retention.ms is 3600000, wanted -1"
    assert await apply(connection, topics(), prefix=prefix) == (found, [])
    assert await plan(connection, topics(), prefix=prefix) == []
    held = await overrides(connection, f"{prefix}events")
    assert held["flush.messages"] == "777"
    assert held["retention.ms"] == "-1"


async def test_what_is_kept_for_longer_than_defined_stays_so(connection: dict[str, Any], prefix: str) -> None:
    await apply(connection, topics(), prefix=prefix)
    name = f"{prefix}certificate.new"
    await alter(connection, name, {"retention.ms": "-1", "cleanup.policy": "compact"})
    await until(connection, prefix, 2)
    mended, left = await apply(connection, topics(), prefix=prefix)
    assert [(one.topic, one.key, one.found) for one in left] == [(name, "retention.ms", "-1")]
    assert "left alone, because that deletes" in str(left[0])
    assert (name, "cleanup.policy") in [(one.topic, one.key) for one in mended]
    assert await plan(connection, topics(), prefix=prefix) == left


async def test_a_cleanup_policy_is_mended_only_where_nothing_that_is_kept_for_ever_goes(
    connection: dict[str, Any], prefix: str
) -> None:
    await apply(connection, topics(), prefix=prefix)
    await alter(connection, f"{prefix}inventory", {"cleanup.policy": "delete", "retention.ms": "-1"})
    await alter(connection, f"{prefix}accounts", {"cleanup.policy": "delete"})
    await alter(connection, f"{prefix}quarantine", {"cleanup.policy": "compact"})
    await alter(connection, f"{prefix}events", {"cleanup.policy": "compact"})
    async with asyncio.timeout(10):
        while True:
            found = await plan(connection, topics(), prefix=prefix)
            if sum(one.key == "cleanup.policy" for one in found) == 4:
                break
            await asyncio.sleep(0.1)
    mended, left = await apply(connection, topics(), prefix=prefix)
    told = {one.topic.removeprefix(prefix): one.why for one in mended if one.key == "cleanup.policy"}
    assert told.keys() == {"accounts", "events"}
    assert "also the newest record of a key" in str(told["accounts"])
    assert "do not come back" in str(told["events"])
    assert {one.topic.removeprefix(prefix): one.key for one in left} == {
        "inventory": "cleanup.policy",
        "quarantine": "cleanup.policy",
    }
    words = [str(one) for one in left]
    assert any("left alone, because all records are kept for ever now" in one for one in words)
    assert any("left alone, because nothing is deleted by age now" in one for one in words)
    assert (await overrides(connection, f"{prefix}inventory"))["cleanup.policy"] == "delete"


async def test_another_number_of_partitions_is_told_and_left_alone(connection: dict[str, Any], prefix: str) -> None:
    await create(connection, f"{prefix}events", 3)
    mended, left = await apply(connection, topics(), prefix=prefix)
    assert left == [Difference(f"{prefix}events", "partitions", None, "12", "3", False)]
    assert "3 partitions, wanted 12" in str(left[0])
    assert "order" in str(left[0])
    assert len([one for one in mended if one.what == "missing"]) == len(topics()) - 1
    assert ("config", "retention.ms") in [(one.what, one.key) for one in mended], "its configuration is mended"
    assert await plan(connection, topics(), prefix=prefix) == left


async def test_another_number_of_replicas_is_told_and_left_alone(connection: dict[str, Any], prefix: str) -> None:
    await apply(connection, topics(), prefix=prefix)
    differences = await plan(connection, topics(), prefix=prefix, replicas=3)
    assert [(one.what, one.wanted, one.found, one.mendable) for one in differences] == [
        ("replicas", "3", "1", False)
    ] * len(topics())
    assert "kafka-reassign-partitions" in str(differences[0])


async def test_more_replicas_than_brokers_is_fatal_in_the_brokers_words(
    connection: dict[str, Any], prefix: str
) -> None:
    with pytest.raises(Fatal, match=r"replication factor of 3 .* only 1 broker"):
        await apply(connection, topics(), prefix=prefix, replicas=3)


async def test_a_key_that_the_broker_does_not_know_is_fatal(connection: dict[str, Any], prefix: str) -> None:
    await apply(connection, topics(), prefix=prefix)
    strange = dataclasses.replace(topics()[0], config={"colour": "blue"})
    found = await plan(connection, [strange], prefix=prefix)
    assert str(found[0]) == f"{prefix}events: colour is unknown to the broker, wanted blue"
    with pytest.raises(Fatal, match="Unknown topic config name: colour"):
        await apply(connection, [strange], prefix=prefix)


async def test_planning_creates_nothing_even_where_brokers_create_topics() -> None:
    with Broker(properties={"auto.create.topics.enable": "true"}) as broker:
        connection = {"bootstrap_servers": broker.bootstrap}
        for _ in range(2):
            assert len(await plan(connection, topics(), prefix="p.")) == len(topics())


async def test_differences_become_json(connection: dict[str, Any], prefix: str) -> None:
    (first, *_) = await plan(connection, topics(), prefix=prefix)
    assert orjson.loads(orjson.dumps(first)) == {
        "topic": f"{prefix}events",
        "what": "missing",
        "key": None,
        "wanted": "12 partitions, the broker's default of replicas, cleanup.policy=delete, retention.ms=-1, "
        "retention.bytes=-1, max.message.bytes=1048588",
        "found": None,
        "mendable": True,
        "why": None,
    }


async def test_without_the_right_to_create_it_is_fatal_and_says_which(guarded: Broker, prefix: str) -> None:
    with pytest.raises(Fatal, match=rf"not allowed to create {prefix}accounts and 12 more: .*rights .*Create"):
        await apply(as_journal(guarded, guarded.password), topics(), prefix=prefix)


async def test_who_may_not_create_topics_is_given_commands_that_an_administrator_can_run(
    guarded: Broker, prefix: str, tmp_path: Path
) -> None:
    """One command that creates and one that mends, run as they are printed, by Kafka's own tools."""
    config = configured(tmp_path, guarded, prefix)
    refused = certstream("topics", "apply", "--config", str(config))
    assert refused.returncode == 3
    assert "not allowed to create" in refused.stderr
    assert "an administrator can do it with" in refused.stderr
    login, *lines = refused.stdout.splitlines()
    assert login.startswith("# admin.properties: a file that the administrator writes")
    assert "security.protocol=SASL_SSL" in login
    assert len(lines) == len(topics())
    assert all(f"--bootstrap-server {guarded.bootstrap} --command-config admin.properties" in line for line in lines)
    guarded.tool(lines[0].replace(guarded.bootstrap, guarded.plain).replace("--command-config admin.properties", ""))
    plain = {"bootstrap_servers": guarded.plain}
    found = await until(plain, prefix, len(topics()) - 1)
    assert f"{prefix}events" not in {one.topic for one in found}, "it was made, and exactly as defined"
    await apply(plain, topics(), prefix=prefix)
    await alter(plain, f"{prefix}inventory", {"cleanup.policy": "compact,delete"})
    drifted = await until(plain, prefix, 4)
    lines = commands(drifted, topics(), bootstrap=guarded.plain, prefix=prefix, replicas=None, protocol="PLAINTEXT")
    assert len(lines) == 1
    guarded.tool(lines[0])
    assert await until(plain, prefix, 0) == []


def test_commands_say_what_is_left_alone_and_quote_what_a_shell_would_read() -> None:
    strange = dataclasses.replace(topics()[0], config={"cleanup.policy": "compact,delete"})
    found = [
        Difference("a;b.events", "missing", None, "12 partitions", None, True),
        Difference("p.pem", "partitions", None, "12", "3", False),
        Difference("p.events", "config", "cleanup.policy", "compact,delete", "delete", True),
    ]
    told = commands(found, [strange], bootstrap="h:1", prefix="a;b.", replicas=3, protocol="PLAINTEXT")
    assert told[0].startswith("kafka-topics.sh --bootstrap-server h:1 --create --if-not-exists --topic 'a;b.events' ")
    assert "--partitions 12 --replication-factor 3 --config cleanup.policy=compact,delete" in told[0]
    assert told[1].startswith("# p.pem has 3 partitions, wanted 12; left alone")
    assert told[2].endswith("--entity-name p.events --add-config 'cleanup.policy=[compact,delete]'")


def test_terraform_has_every_topic_with_all_of_its_settings(tmp_path: Path) -> None:
    config = tmp_path / "certstream.toml"
    config.write_text('journal = "kafka://127.0.0.1:1"\ntopic_prefix = "x."\n')
    done = certstream("topics", "plan", "--format", "terraform", "--config", str(config))
    assert done.returncode == 0
    blocks = done.stdout.split("resource ")[1:]
    assert len(blocks) == len(topics())
    for topic, block in zip(topics(), blocks, strict=True):
        assert f'name               = "x.{topic.name}"' in block
        assert f"partitions         = {topic.partitions}" in block
        for key, value in topic.config.items():
            assert re.search(rf'^    "{re.escape(key)}" += "{re.escape(value)}"$', block, re.M)
    assert done.stdout.count("{") == done.stdout.count("}")
    assert 'description = "Copies of each topic' in done.stdout
    for together in re.findall(r"(?:^ +\S+ += [^{\n]+\n)+", done.stdout, re.M):
        assert len({line.index(" = ") for line in together.splitlines()}) == 1, (
            f"terraform fmt would align:\n{together}"
        )


async def test_a_service_tells_drift_at_its_start_and_as_a_metric(
    kafka: Broker, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection = {"bootstrap_servers": kafka.bootstrap}
    await apply(connection, topics(), prefix=prefix)
    await alter(connection, f"{prefix}events", {"retention.ms": "3600000"})
    await alter(connection, f"{prefix}quarantine", {"retention.ms": "-1"})  # what is kept for longer stays so
    await until(connection, prefix, 2)
    service = build(Config(journal=f"kafka://{kafka.bootstrap}", topic_prefix=prefix))
    (watch,) = service.beside
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            await watch()
    assert service.metrics.registry.get_sample_value("certstream_topic_differences") == 2
    lines = [record for record in caplog.records if record.msg == "topics.differ"]
    told = {getattr(line, "difference", "").partition(" is ")[0]: getattr(line, "mend", "") for line in lines}
    assert told == {
        f"{prefix}events: retention.ms": "certstream topics apply",
        f"{prefix}quarantine: retention.ms": "certstream topics plan",
    }


async def test_a_wrong_password_is_told_with_its_cause(guarded: Broker, prefix: str) -> None:
    with pytest.raises(JournalAway, match=r"(?i)authentication"):
        await plan(as_journal(guarded, "wrong"), topics(), prefix=prefix)


async def test_a_broker_that_hangs_is_given_up_at_the_deadline(guarded: Broker, prefix: str) -> None:
    guarded.pause()
    began = time.monotonic()
    try:
        with pytest.raises(JournalAway, match="within 1 s"):
            await plan({"bootstrap_servers": guarded.plain}, topics(), prefix=prefix, timeout=1)
        assert time.monotonic() - began < 6
    finally:
        guarded.unpause()


async def test_a_broker_that_is_not_there_is_told(prefix: str) -> None:
    with pytest.raises(JournalAway, match="Kafka at 127"):
        await plan({"bootstrap_servers": f"127.0.0.1:{free_port()}"}, topics(), prefix=prefix)
