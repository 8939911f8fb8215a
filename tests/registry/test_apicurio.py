"""The real registry: what is registered, what is refused, what Confluent's clients read."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from certstream.app import schemas_of
from certstream.cli import trials
from certstream.config import Config
from certstream.definition.topics import topics
from certstream.registry.client import Registry, RegistryAway, RegistryRefused
from certstream.service import registration
from tests.real.apicurio import Apicurio
from tests.real.kafka import Broker
from tests.schemas.reading import SCHEMAS
from tests.service.world import World, living


@pytest.fixture(scope="module")
def apicurio() -> Iterator[Apicurio]:
    with Apicurio() as registry:
        yield registry


@pytest.fixture
def prefix() -> str:
    return f"a{os.getpid()}-{secrets.token_hex(3)}."


def config(apicurio: Apicurio, prefix: str, brokers: str = "127.0.0.1:1") -> Config:
    return Config(journal=f"kafka://{brokers}", topic_prefix=prefix, registry=apicurio.url)


async def get(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return json.loads(await answer.read())


async def test_every_topic_is_registered_once_with_its_compatibility(apicurio: Apicurio, prefix: str) -> None:
    schemas = schemas_of(config(apicurio, prefix))
    assert {topic.removeprefix(prefix) for topic in schemas} == {topic.name for topic in topics()} - {"pem", "state"}
    first = await Registry(apicurio.url).register(schemas)
    assert await Registry(apicurio.url).register(schemas) == first
    for topic, value in first.items():
        place = f"{apicurio.url}/subjects/{topic}-value"
        assert await get(f"{place}/versions") == [1]
        held = await get(f"{place}/versions/1")
        assert json.loads(held["schema"]) == schemas[topic]
        assert value == b"\x00" + held["id"].to_bytes(4, "big")
        level = await get(f"{apicurio.url}/config/{topic}-value")
        assert level["compatibilityLevel"] == "FORWARD_TRANSITIVE"


def required_no_longer(schema: dict[str, Any], parts: str) -> None:
    schema[parts]["certificate"]["required"] = []


def member_gone(schema: dict[str, Any], parts: str) -> None:
    del schema[parts]["certificate"]["properties"]["md5"]


def another_pattern(schema: dict[str, Any], parts: str) -> None:
    schema[parts]["hash"]["pattern"] = "^[0-9a-f]{63,64}$"


def list_grows(schema: dict[str, Any], parts: str) -> None:
    schema[parts]["lifecycle"]["enum"].append("held")


@pytest.mark.parametrize("edit", [required_no_longer, member_gone, another_pattern, list_grows])
async def test_an_incompatible_edit_fails_the_check_and_is_refused_by_the_registry(
    edit: Any, apicurio: Apicurio, prefix: str, tmp_path: Path
) -> None:
    """The same edit, of one file: in a copy of `schemas/` for the check, in what is registered for the registry."""
    shutil.copytree(SCHEMAS, tmp_path / "schemas", ignore=shutil.ignore_patterns("released"))
    file = tmp_path / "schemas" / "certificate.new.json"
    schema = json.loads(file.read_text("utf-8"))
    edit(schema, "$defs")
    file.write_text(json.dumps(schema), "utf-8")
    words = [sys.executable, "-m", "tests.schemas.compat", "--schemas", str(tmp_path / "schemas")]
    run = partial(subprocess.run, capture_output=True, text=True, cwd=SCHEMAS.parent, check=False)
    checked = await asyncio.to_thread(run, words)
    assert checked.returncode == 1
    assert checked.stderr.startswith("breaks 1.0: certificate.new: ")

    schemas = schemas_of(config(apicurio, prefix))
    await Registry(apicurio.url).register(schemas)
    edited = copy.deepcopy(schemas)
    edit(edited[f"{prefix}certificate.new"], "definitions")
    with pytest.raises(RegistryRefused, match=rf"refuses {prefix}certificate\.new-value: it is not compatible"):
        await Registry(apicurio.url).register(edited)
    with pytest.raises(RegistryRefused, match="not compatible"):
        await Registry(apicurio.url).look(edited)


async def test_the_log_of_record_takes_a_new_kind_and_refuses_a_broken_one(apicurio: Apicurio, prefix: str) -> None:
    name = f"{prefix}events"
    held = {name: schemas_of(config(apicurio, prefix))[name]}
    await Registry(apicurio.url).register(held)
    more = copy.deepcopy(held)
    more[name]["definitions"]["account.merged"] = {"type": "object", "required": ["data"]}
    kind = {"properties": {"type": {"const": "certstream.account.merged.v1"}}, "required": ["type"]}
    more[name]["allOf"].append({"if": kind, "then": {"$ref": "#/definitions/account.merged"}})
    more[name]["definitions"]["account.digest.data"]["properties"]["algorithm"] = {"type": "string"}
    await Registry(apicurio.url).register(more)
    broken = copy.deepcopy(more)
    broken[name]["definitions"]["account.digest"]["required"].remove("prevhash")
    with pytest.raises(RegistryRefused, match="not compatible"):
        await Registry(apicurio.url).register(broken)


async def test_check_says_what_is_registered(apicurio: Apicurio, prefix: str) -> None:
    given = config(apicurio, prefix)
    assert await trials.registry(given) == f"{apicurio.url}: 11 schemas would be registered"
    await Registry(apicurio.url).register(schemas_of(given))
    assert await trials.registry(given) == f"{apicurio.url}: all schemas are registered"


def read(world: World, brokers: str, topic: str, wanted: int) -> list[tuple[Any, bytes]]:
    """What Confluent's client makes of a topic, and the bytes: the schema comes from the registry, by the header."""
    deserialize = JSONDeserializer(None, schema_registry_client=SchemaRegistryClient({"url": world.config.registry}))
    name = world.config.topic_prefix + topic
    options = {"bootstrap.servers": brokers, "group.id": secrets.token_hex(8), "auto.offset.reset": "earliest"}
    consumer = Consumer(options)
    consumer.subscribe([name])
    found: list[tuple[Any, bytes]] = []
    try:
        for _ in range(300):
            if len(found) >= wanted:
                break
            message = consumer.poll(0.1)
            raw = None if message is None or message.error() else message.value()
            if message is None or raw is None:
                continue
            context = SerializationContext(name, MessageField.VALUE, message.headers())
            found.append((deserialize(raw, context), raw))
    finally:
        consumer.close()
    return found


async def test_confluents_deserializer_reads_what_a_service_writes(
    tmp_path: Path, kafka: Broker, apicurio: Apicurio, prefix: str
) -> None:
    settings = {"journal": f"kafka://{kafka.bootstrap}", "topic_prefix": prefix, "registry": apicurio.url}
    async with living(tmp_path, settings=settings) as world:
        issued = world.simulator.issue()
        world.simulator.revoke(issued)
        await world.event("certificate.revoked", issued)
        for topic, wanted in (("events", 5), ("certificate.new", 1), ("accounts", 1), ("inventory", 3)):
            records = await asyncio.to_thread(read, world, kafka.bootstrap, topic, wanted)
            assert len(records) >= wanted, topic
            for value, raw in records:
                assert value == json.loads(raw), "plain JSON: nothing stands before it"


async def test_a_service_starts_without_its_registry_and_registers_when_it_is_back(
    tmp_path: Path, kafka: Broker, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "PAUSE", 0.5)
    with Apicurio() as own:
        own.kill()
        settings = {"journal": f"kafka://{kafka.bootstrap}", "topic_prefix": prefix, "registry": own.url}
        async with living(tmp_path, settings=settings) as world:
            assert world.said("registry.away")
            await asyncio.to_thread(own.start)
            await world.until_said("registry.registered")
            assert await get(f"{own.url}/subjects/{prefix}events-value/versions") == [1]
    with pytest.raises(RegistryAway):
        await Registry(own.url).look(schemas_of(config(own, prefix)))
