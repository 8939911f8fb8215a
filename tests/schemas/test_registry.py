"""A schema registry: what is asked of it, what its answers become, and what a service does with a bad one."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from certstream.app import schemas_of
from certstream.cli import trials
from certstream.config import Config
from certstream.registry.client import VALUE_SCHEMA_ID, Registry, RegistryAway, RegistryRefused, header
from certstream.service import registration
from tests.real.kafka import Broker
from tests.real.ports import free_port
from tests.schemas.recorded import Recorded, registry
from tests.service.world import living

SCHEMAS = {
    "p.events": {"type": "object", "title": "é", "description": "long " * 100_000},
    "p.accounts": {"type": "string"},
}
SUBJECTS = ["p.events-value", "p.accounts-value"]


async def test_each_topic_is_registered_once_under_its_subject_with_its_compatibility() -> None:
    async with registry() as recorded:
        ids = await Registry(recorded.url).register(SCHEMAS)
        assert ids == {"p.events": b"\x00\x00\x00\x00\x01", "p.accounts": b"\x00\x00\x00\x00\x02"}
        assert list(recorded.schemas) == SUBJECTS
        assert orjson.loads(recorded.schemas["p.events-value"][0]) == SCHEMAS["p.events"]
        assert recorded.levels == dict.fromkeys(SUBJECTS, "FORWARD_TRANSITIVE")
        recorded.asked.clear()
        assert await Registry(recorded.url + "/").register(SCHEMAS) == ids
        assert {method for method, _ in recorded.asked} == {"GET", "POST"}
        assert not any(path.endswith("/versions") for _, path in recorded.asked), "what is known is not written again"


async def test_another_compatibility_is_mended() -> None:
    async with registry() as recorded:
        recorded.levels["p.events-value"] = "NONE"
        await Registry(recorded.url).register(SCHEMAS)
        assert recorded.levels["p.events-value"] == "FORWARD_TRANSITIVE"


async def test_a_registry_that_gives_guids_is_named_by_them() -> None:
    async with registry() as recorded:
        recorded.guids = True
        ids = await Registry(recorded.url).register(SCHEMAS)
        assert ids["p.events"] == b"\x01" + bytes.fromhex("00000000000040008000000000000001")


@pytest.mark.parametrize("answer", [{}, {"id": "7"}, {"id": -1}, {"id": 2**32}, {"guid": "no"}, {"id": None}])
def test_an_answer_without_an_id_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(RegistryRefused, match="without an id"):
        header(answer)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{" * (5 << 20), b'{"messages":7,"is_compatible":false}', b"\xff"])
async def test_an_answer_of_no_registry_ends_nothing(body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    application = web.Application()
    application.add_routes([web.route("*", "/{path:.*}", answer)])
    async with TestServer(application) as server:
        hostile = Registry(str(server.make_url("/")))
        with pytest.raises((RegistryAway, RegistryRefused)):
            await hostile.register(SCHEMAS)
        with suppress(RegistryAway, RegistryRefused):
            await hostile.look(SCHEMAS)


async def test_a_schema_that_is_not_compatible_is_refused_with_the_reasons() -> None:
    async with registry() as recorded:
        recorded.refuse.add("p.accounts-value")
        with pytest.raises(RegistryRefused, match=r"refuses p\.accounts-value: .*FORWARD_TRANSITIVE.*at /required"):
            await Registry(recorded.url).register(SCHEMAS)


async def test_a_wrong_path_is_refused_with_a_hint() -> None:
    async with registry() as recorded:
        with pytest.raises(RegistryRefused, match=r"is the path right\? \(Apicurio: /apis/ccompat/v7\)"):
            await Registry(recorded.url.removesuffix("/apis/ccompat/v7")).register(SCHEMAS)


async def test_a_registry_that_cannot_answer_is_away() -> None:
    async with registry() as recorded:
        recorded.away = 1
        with pytest.raises(RegistryAway, match="503 no healthy upstream"):
            await Registry(recorded.url).register(SCHEMAS)
    with pytest.raises(RegistryAway, match="the schema registry at http://127"):
        await Registry(recorded.url).register(SCHEMAS)


def at(kafka: Broker, recorded: Recorded) -> dict[str, Any]:
    """Topics that no other test has."""
    prefix = f"r{os.getpid()}-{secrets.token_hex(3)}."
    return {"journal": f"kafka://{kafka.bootstrap}", "topic_prefix": prefix, "registry": recorded.url}


async def test_a_refused_schema_refuses_the_start(tmp_path: Path, kafka: Broker) -> None:
    async with registry() as recorded, living(tmp_path, settings=at(kafka, recorded), started=False) as world:
        recorded.refuse.add(f"{world.config.topic_prefix}events-value")
        await world.start(baselined=False)
        with pytest.raises(RegistryRefused, match="not compatible"):
            await world.ended()
        assert world.records == []
        assert world.calls() == []


async def test_a_registry_that_is_away_keeps_nobody_from_starting_and_then_records_name_their_schema(
    tmp_path: Path, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values stay plain JSON, with and without."""
    monkeypatch.setattr(registration, "PAUSE", 0.2)
    async with registry() as recorded, living(tmp_path, settings=at(kafka, recorded), started=False) as world:
        recorded.away = 3
        await world.start()
        await world.until_said("registry.registered")
        assert len(world.said("registry.away")) == 1
        assert VALUE_SCHEMA_ID not in dict(world.records[0].headers), "nothing was waited for"
        expected = {topic.removeprefix(world.config.topic_prefix) for topic in schemas_of(world.config)}
        assert len(recorded.schemas) == len(expected) == 11
        known = len(world.records)
        await world.event("certificate.new", world.simulator.issue())
        await world.stop()
        named = [record for record in world.records[known:] if VALUE_SCHEMA_ID in dict(record.headers)]
        assert "events" in {record.topic for record in named}
        for record in named:
            subject = f"{world.config.topic_prefix}{record.topic}-value"
            number = recorded.ids[recorded.schemas[subject][0]]
            assert dict(record.headers)[VALUE_SCHEMA_ID] == b"\x00" + number.to_bytes(4, "big")
        assert all(orjson.loads(record.value or b"") for record in world.records)


async def test_check_says_what_would_be_registered_and_registers_nothing() -> None:
    async with registry() as recorded:
        config = Config(journal="kafka://127.0.0.1:1", registry=recorded.url)
        assert await trials.registry(config) == f"{recorded.url}: 11 schemas would be registered"
        assert recorded.schemas == {}
        recorded.refuse.add("certstream.events-value")
        with pytest.raises(RegistryRefused, match="not compatible"):
            await trials.registry(config)
        recorded.refuse.clear()
        await Registry(recorded.url).register(schemas_of(config))
        assert await trials.registry(config) == f"{recorded.url}: all schemas are registered"
    with pytest.raises(RegistryAway):
        await trials.registry(Config(journal="kafka://127.0.0.1:1", registry=f"http://127.0.0.1:{free_port()}"))
