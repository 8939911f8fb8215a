"""The same through a real Apache Kafka: restarts, kills, and two who think that they own a shard."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from pathlib import Path
from typing import Any

import pytest

from certstream.app import build
from certstream.ports import Fenced
from certstream.service import supervisor
from certstream.service.clock import Clock
from tests.real.kafka import Broker
from tests.service.world import living

_numbers = itertools.count(1)


def at(kafka: Broker) -> dict[str, Any]:
    """Topics that no other test has."""
    return {"journal": f"kafka://{kafka.bootstrap}", "topic_prefix": f"s{os.getpid()}-{next(_numbers)}."}


async def test_every_kind_reaches_a_real_kafka_and_a_restart_repeats_nothing(tmp_path: Path, kafka: Broker) -> None:
    async with living(tmp_path, settings={**at(kafka), "thresholds": ["1h"]}) as world:
        now = int(time.time())
        revoked, renamed, deleted, later, *_ = world.simulator.identifiers()
        near = world.simulator.issue(not_before=now - 86400, not_after=now + 3602)
        ending = world.simulator.issue(not_before=now - 86400, not_after=now + 2)
        world.simulator.revoke(revoked)
        world.simulator.edit(renamed, Locality="Nanjing")
        world.simulator.delete(deleted)
        await world.event("certificate.new", near)
        await world.event("certificate.revoked", revoked)
        await world.event("certificate.changed", renamed)
        await world.event("certificate.deleted", deleted)
        await world.event("certificate.expiring", near)
        await world.event("certificate.expired", ending)
        began = time.monotonic()
        assert await world.stop()
        assert time.monotonic() - began < 10
        told = len(world.events)
        world.simulator.revoke(later)
        await world.start(baselined=False)
        await world.event("certificate.revoked", later)
        await world.sweeps()
        assert not world.said("take-over"), "the stop released the shard"
        assert [one["subject"] for one in world.events[told:]] == [later]


async def test_killed_in_the_middle_of_it_nothing_is_lost_and_nothing_twice(tmp_path: Path, kafka: Broker) -> None:
    async with living(tmp_path, certificates=40, settings=at(kafka), started=False) as world:
        await world.start(baselined=False)
        await world.until("some are told", lambda: world.told("certificate.discovered"))
        await world.kill()
        gone = world.simulator.identifiers()[0]
        world.simulator.delete(gone)
        issued = world.simulator.issue()
        await world.start()
        held = await world.until_said("take-over")
        await world.sweeps()
        first = next(call for call in world.calls() if call["arrival"] > held.created)
        assert first["arrival"] - held.created >= supervisor.TAKE_OVER
        there = {one["subject"] for one in world.events if one["type"].split(".")[2] in ("discovered", "new")}
        assert there - {gone} == set(world.simulator.identifiers())
        assert issued in there


async def test_a_second_owner_fences_the_first_which_stops_calling_and_ends(tmp_path: Path, kafka: Broker) -> None:
    async with living(tmp_path, settings=at(kafka)) as world:
        stop = asyncio.Event()
        elsewhere = world.config.model_copy(update={"lock_dir": f"{tmp_path}/another-host"})
        newer = asyncio.create_task(build(elsewhere, clock=Clock()).run(stop))
        with pytest.raises(Fenced):
            await world.ended()
        fenced = time.time()
        assert (await world.until_said("take-over")).created < fenced
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        await world.sweeps()
        assert len(world.told("certificate.new", issued)) == 1
        stop.set()
        assert await newer
