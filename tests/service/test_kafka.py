"""The same through a real Apache Kafka: restarts, kills, and two who think that they own a shard."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from certstream.app import build, build_journal
from certstream.core.canonical import canonical
from certstream.core.sharding import shard_of
from certstream.core.wire import ACCOUNTS, Put
from certstream.ports import Fenced, Held
from certstream.service import forgetting, group
from certstream.service.clock import Clock
from tests.real.kafka import Broker
from tests.schemas import validate
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


async def test_five_thousand_names_are_left_out_and_harm_nothing_in_their_transaction(
    tmp_path: Path, kafka: Broker
) -> None:
    """An event of 5 MB, on one page with others: it would exceed what a broker takes, and with it the whole batch."""
    async with living(tmp_path, settings=at(kafka)) as world:
        names = [{"Type": 2, "Value": f"{n}.{'x' * 990}.example.com"} for n in range(5000)]
        huge, *others = (world.simulator.issue(days=365) for _ in range(4))
        world.simulator.edit(huge, Sans=json.dumps(names))
        told = await world.event("certificate.new", huge)
        assert told["data"]["omitted"] == ["pem", "sans"]
        assert "sans" not in told["data"]["certificate"]
        assert validate.problems(canonical(told)) == []
        for one in others:
            there = await world.event("certificate.new", one)
            assert "omitted" not in there["data"]
            assert there["data"]["certificate"]["sans"]
        await world.sweeps()
        assert not world.said("journal.doubt")
        assert not world.quarantined()


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
        assert first["arrival"] - held.created >= group.TAKE_OVER
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


async def test_it_ends_no_other_service_to_forget_an_account_of_its(
    tmp_path: Path, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "LISTEN", 1.0)
    async with living(tmp_path, settings=at(kafka)) as world:
        number = (shard_of("prod", 12) + 1) % 12
        journal = build_journal(world.config)
        await journal.start()
        other = await journal.open(number, lambda *_: None)
        state = {"account": "theirs", "counts": {}, "since": "2026-03-01T08:00:00.000Z", "state": "healthy"}
        await other.commit([Put(ACCOUNTS, b"theirs", canonical(state))])

        async def owning() -> None:
            while True:
                await other.verify()
                await asyncio.sleep(0.1)

        owner = asyncio.create_task(owning())
        assert world.service is not None
        with pytest.raises(Held, match="another service writes"):
            await world.service.forget("theirs", "olga", "closed")
        assert not owner.done()
        owner.cancel()
        await asyncio.wait([owner])
        await journal.close()
