"""What only the journal in Kafka has to withstand: rivals, doubts, refusals, brokers that die."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from certstream.core.errors import Fatal
from certstream.core.wire import EVENTS, INVENTORY, QUARANTINE, STATE, Put
from certstream.journal.kafka import KafkaConfig, KafkaJournal
from certstream.journal.kafka_producer import Producer
from certstream.journal.kafka_shard import KafkaShard
from certstream.ports import Fenced, JournalAway, JournalDoubt, Opened
from tests.journal.places import KafkaPlace, kafka_place
from tests.journal.reading import Memory, everything, opened, values
from tests.real.kafka import Broker
from tests.real.ports import free_port


@pytest.fixture
async def place(kafka: Broker) -> AsyncIterator[KafkaPlace]:
    """New topics on the shared broker."""
    async with kafka_place(kafka) as place:
        yield place


async def shard_of(journal: KafkaJournal) -> tuple[KafkaShard, Memory]:
    """Shard 1, and what it restores."""
    memory = Memory()
    await journal.start()
    return await journal.open(1, memory), memory


async def test_one_record_too_large_fails_the_whole_commit_and_the_next_one_works(place: KafkaPlace) -> None:
    """Rule 2: a commit that does not await every future says OK here, and the events are gone."""
    journal = place.journal()
    shard, memory = await shard_of(journal)
    for _ in range(2):
        good = [Put(EVENTS, b"a", b"lost"), Put(INVENTORY, b"a", b"lost"), Put(STATE, b"a", b"lost")]
        with pytest.raises(JournalDoubt, match="TooLarge"):
            await shard.commit([*good, Put(QUARANTINE, b"a", bytes(1_200_000)), Put(QUARANTINE, b"b", b"lost")])
        await shard.resume()
    assert memory.calls == []
    await shard.commit([Put(EVENTS, b"a", b"kept"), Put(STATE, b"a", b"kept")])
    assert await values(journal, EVENTS, INVENTORY, QUARANTINE, STATE) == [b"kept", b"kept"]
    await journal.close()


async def test_the_older_of_two_owners_is_fenced_and_leaves_the_newer_alone(place: KafkaPlace) -> None:
    older, newer = place.journal(), place.journal(instance="the newer")
    zombie, _ = await shard_of(older)
    await zombie.commit([Put(EVENTS, b"a", b"1"), Put(STATE, b"a", b"1")])
    owner, memory = await shard_of(newer)
    assert memory == {b"a": b"1"}
    assert owner.opened == Opened(previous=True, released=False)
    with pytest.raises(Fenced, match="the newer"):
        await zombie.commit([Put(EVENTS, b"a", b"zombie")])
    assert zombie.owned_until() < 0
    for again in (zombie.commit([Put(EVENTS, b"a", b"zombie")]), zombie.verify(), zombie.resume()):
        with pytest.raises(Fenced, match="the newer"):
            await again
    await owner.commit([Put(EVENTS, b"a", b"2")])
    await owner.verify()
    assert await values(newer, EVENTS) == [b"1", b"2"]
    await older.close()
    await newer.close()


async def test_an_ownership_check_finds_a_newer_owner(place: KafkaPlace) -> None:
    older, newer = place.journal(), place.journal()
    zombie, _ = await shard_of(older)
    await shard_of(newer)
    with pytest.raises(Fenced):
        await zombie.verify()
    await older.close()
    await newer.close()


async def test_after_a_doubt_the_older_owner_looks_first_and_fences_nobody(place: KafkaPlace) -> None:
    older, newer = place.journal(), place.journal()
    zombie, _ = await shard_of(older)
    await put_in_doubt(zombie)
    owner, _ = await shard_of(newer)
    with pytest.raises(Fenced):
        await zombie.resume()
    await owner.commit([Put(EVENTS, b"a", b"1")])
    await older.close()
    await newer.close()


async def test_a_foreign_row_before_a_newer_barrier_of_its_own_ends_ownership_too(
    place: KafkaPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 5: the look missed the newer owner (a stale leader may hide it), so its row lies before our new barrier."""
    older, newer = place.journal(), place.journal(instance="the newer")
    zombie, _ = await shard_of(older)
    await put_in_doubt(zombie)
    await shard_of(newer)
    unfenced = KafkaShard._read

    async def blind(self: KafkaShard, reader: Any, end: int) -> None:
        monkeypatch.setattr(KafkaShard, "_read", unfenced)

    monkeypatch.setattr(KafkaShard, "_read", blind)
    with pytest.raises(Fenced, match="the newer"):
        await zombie.resume()
    await older.close()
    await newer.close()


async def test_of_two_that_fence_each_other_the_newer_goes_on(
    place: KafkaPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older one looks and finds nobody; the newer one opens; only then the older one opens its producer again."""
    older, newer = place.journal(), place.journal(instance="the newer")
    first, _ = await shard_of(older)
    await put_in_doubt(first)
    fence, opened = Producer.fence, list[tuple[KafkaShard, Memory]]()

    async def late(config: KafkaConfig, number: int) -> Producer:
        if not opened:
            monkeypatch.setattr(Producer, "fence", fence)
            opened.append(await shard_of(newer))
        return await fence(config, number)

    monkeypatch.setattr(Producer, "fence", late)
    with pytest.raises(Fenced, match="the newer owns it now"):
        await first.resume()
    ((second, memory),) = opened
    with pytest.raises(JournalDoubt):
        await second.commit([Put(EVENTS, b"a", b"lost"), Put(STATE, b"a", b"lost")])
    await second.resume()
    assert memory.calls == []
    await second.commit([Put(EVENTS, b"a", b"kept"), Put(STATE, b"a", b"kept")])
    assert await values(newer, EVENTS, STATE) == [b"kept", b"kept"]
    with pytest.raises(Fenced):
        await first.verify()
    await older.close()
    await newer.close()


async def test_a_fence_without_a_new_owner_is_a_doubt_that_resume_mends(place: KafkaPlace) -> None:
    """Rule 5: `ProducerFenced` may be the broker's time-out; here somebody took the id and died before the barrier."""
    journal = place.journal()
    shard, memory = await shard_of(journal)
    rival = AIOKafkaProducer(
        bootstrap_servers=place.config.bootstrap, transactional_id=place.config.transactional_id(1)
    )
    await rival.start()
    await rival.stop()
    with pytest.raises(JournalDoubt, match="newer producer"):
        await shard.commit([Put(EVENTS, b"a", b"1"), Put(STATE, b"a", b"1")])
    await shard.resume()
    assert memory == {}
    await shard.commit([Put(EVENTS, b"a", b"2"), Put(STATE, b"a", b"2")])
    assert await values(journal, EVENTS) == [b"2"]
    await journal.close()


async def test_a_transaction_that_a_dead_process_left_open_hides_nothing_after_opening(place: KafkaPlace) -> None:
    dead = place.journal()
    shard, _ = await shard_of(dead)
    await shard.commit([Put(STATE, b"a", b"1")])
    client: Any = shard._producer._client  # type: ignore[union-attr]
    await client.begin_transaction()
    await client.send_and_wait(place.config.topic(STATE), b"open", b"a", partition=1)
    journal = place.journal()
    began = time.monotonic()
    owner, memory = await shard_of(journal)
    assert memory == {b"a": b"1"}
    await owner.commit([Put(STATE, b"b", b"2")])
    assert await values(journal, STATE) == [b"1", b"2"]
    assert time.monotonic() - began < 5
    await dead.close()
    await journal.close()


async def test_reading_does_not_wait_for_ever_for_somebody_elses_open_transaction(place: KafkaPlace) -> None:
    journal = place.journal()
    shard, _ = await shard_of(journal)
    await shard.commit([Put(EVENTS, b"a", b"1")])
    client: Any = shard._producer._client  # type: ignore[union-attr]
    await client.begin_transaction()
    await client.send_and_wait(place.config.topic(EVENTS), b"open", b"a", partition=1)
    async with asyncio.timeout(6):
        assert await values(journal, EVENTS) == [b"1"]
    await journal.close()


async def test_reading_waits_for_a_marker_that_the_broker_is_still_writing(place: KafkaPlace) -> None:
    """A commit returns before its markers are written; here the commit itself comes late, to the same effect."""
    journal = place.journal()
    shard, _ = await shard_of(journal)
    client: Any = shard._producer._client  # type: ignore[union-attr]
    await client.begin_transaction()
    await client.send_and_wait(place.config.topic(EVENTS), b"late", b"a", partition=1)
    reading = asyncio.create_task(values(journal, EVENTS))
    await asyncio.sleep(0.7)
    await client.commit_transaction()
    assert await reading == [b"late"]
    await journal.close()


async def test_dropping_a_commit_that_hangs_ends_at_its_deadline(place: KafkaPlace) -> None:
    journal = place.journal(commit_timeout=0.5)
    shard, _ = await shard_of(journal)
    client: Any = shard._producer._client  # type: ignore[union-attr]
    real = client.commit_transaction

    async def hang() -> None:
        await asyncio.sleep(3600)

    client.commit_transaction = hang
    began = time.monotonic()
    with pytest.raises(JournalDoubt):
        await shard.commit([Put(EVENTS, b"a", b"1")])
    assert time.monotonic() - began < 5
    client.commit_transaction = real
    await shard.resume()
    assert await values(journal, EVENTS) == []
    await journal.close()


async def test_calls_are_allowed_for_five_seconds_from_the_start_of_a_check(place: KafkaPlace) -> None:
    now = [1000.0]
    journal = KafkaJournal(place.config, clock=lambda: now[0])
    shard, _ = await shard_of(journal)
    assert shard.owned_until() == 1005.0
    now[0] = 1003.0
    check = asyncio.create_task(shard.verify())
    await asyncio.sleep(0)
    now[0] = 1004.0
    await check
    assert shard.owned_until() == 1008.0
    await put_in_doubt(shard)
    assert shard.owned_until() == 1008.0
    await journal.close()
    assert shard.owned_until() < 0


async def test_missing_topics_are_named_with_the_command_that_makes_them(place: KafkaPlace, kafka: Broker) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.plain)
    await admin.start()
    await place.journal().start()
    await admin.delete_topics([place.config.topic(EVENTS), place.config.topic(STATE)])
    await until_topic(admin, place.config.topic(STATE), there=False)
    with pytest.raises(Fatal, match=r"events, \S+state .*certstream topics apply.*plan --format commands"):
        await place.journal().start()
    await admin.create_topics([NewTopic(place.config.topic(name), 2, 1) for name in (EVENTS, STATE)])
    await until_topic(admin, place.config.topic(STATE), there=True)
    with pytest.raises(Fatal, match="different numbers of partitions"):
        await place.journal().start()
    await admin.close()


async def until_topic(admin: AIOKafkaAdminClient, name: str, *, there: bool) -> None:
    """Wait until the broker knows what its controller did."""
    for _ in range(100):
        if (name in await admin.list_topics()) is there:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(name)


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
async def test_a_state_topic_that_forgets_is_refused(place: KafkaPlace, kafka: Broker, policy: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.plain)
    await admin.start()
    name = place.config.topic(STATE)
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"cleanup.policy": policy})])
    await admin.close()
    with pytest.raises(Fatal, match=f"{name} has cleanup.policy={policy}.*topics apply"):
        await place.journal().start()


async def test_a_broker_that_is_not_there_is_away_with_the_cause() -> None:
    journal = KafkaJournal(KafkaConfig(bootstrap=f"127.0.0.1:{free_port()}"))
    with pytest.raises(JournalAway, match="Connect call failed"):
        await journal.start()


async def test_a_broker_that_never_answers_is_away_at_the_deadline() -> None:
    server = await asyncio.start_server(lambda reader, writer: asyncio.sleep(3600), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    journal = KafkaJournal(KafkaConfig(bootstrap=f"127.0.0.1:{port}", start_timeout=0.5, close_timeout=0.5))
    began = time.monotonic()
    with pytest.raises(JournalAway, match=r"did not answer within 0\.5 s"):
        await journal.start()
    assert time.monotonic() - began < 3
    server.close()


def sasl(broker: Broker, **changes: Any) -> dict[str, Any]:
    """Settings that `broker` lets in."""
    right = {
        "security_protocol": "SASL_SSL",
        "username": broker.username,
        "password_file": broker.password_file,
        "ca_file": broker.ca_file,
    }
    return right | changes


async def test_sasl_ssl_with_scram_works_end_to_end(kafka_sasl: Broker) -> None:
    async with kafka_place(kafka_sasl, **sasl(kafka_sasl)) as place:
        journal = place.journal()
        shard, _ = await shard_of(journal)
        await shard.commit([Put(EVENTS, b"a", b"1"), Put(STATE, b"a", b"1")])
        await shard.resume()
        await shard.close(release=True)
        again, memory = await shard_of(journal)
        assert (memory, again.opened) == ({b"a": b"1"}, Opened(previous=True, released=True))
        assert await values(journal, EVENTS) == [b"1"]
        await journal.close()


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"password_file": "wrong"}, "invalid credentials.*check username and password_file"),
        ({"password_file": "missing"}, "password_file cannot be read"),
        ({"password_file": None}, "needs username and password_file"),
        ({"ca_file": None}, "CERTIFICATE_VERIFY_FAILED.*check ca_file"),
        ({"ca_file": "wrong"}, "ca_file, cert_file or key_file cannot be used"),
        ({"sasl_mechanism": "PLAIN"}, "check sasl_mechanism"),
    ],
)
async def test_a_refusal_is_fatal_and_tells_the_cause_and_no_secret(
    kafka_sasl: Broker, tmp_path: Path, changes: dict[str, Any], cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "wrong").write_text("hunter2")
    files = {key: tmp_path / value if value in ("wrong", "missing") else value for key, value in changes.items()}
    config = KafkaConfig(bootstrap=kafka_sasl.bootstrap, **sasl(kafka_sasl, **files))
    with pytest.raises(Fatal, match=cause) as caught:
        await KafkaJournal(config).start()
    told = f"{caught.value} {config!r} {caplog.text}"
    assert "hunter2" not in told
    assert kafka_sasl.password not in told


async def test_the_wrong_protocol_hints_at_the_setting(kafka_sasl: Broker) -> None:
    with pytest.raises(JournalAway, match="is security_protocol right"):
        await KafkaJournal(KafkaConfig(bootstrap=kafka_sasl.bootstrap)).start()


async def test_a_broker_killed_and_started_again_costs_no_record_and_no_duplicate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quick = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
    with Broker(properties=quick) as broker:
        async with kafka_place(broker, commit_timeout=2.0, start_timeout=4.0, close_timeout=1.0) as place:
            await kill_and_start_again(broker, place)
    floods = [record for record in caplog.records if record.name.startswith("aiokafka")]
    assert len(floods) < 60, "aiokafka's log is not thinned"


async def kill_and_start_again(broker: Broker, place: KafkaPlace) -> None:
    """Commit 1, 2, 3, … and kill the broker meanwhile."""
    journal = place.journal()
    shard, memory = await shard_of(journal)
    await shard.commit([Put(EVENTS, b"a", b"1"), Put(STATE, b"a", b"1")])
    hurt = asyncio.create_task(commits_until_doubt(shard))
    await asyncio.sleep(0.3)
    broker.kill()
    committed = await hurt
    with pytest.raises(JournalAway, match=r"Connect call failed|cannot be reached"):
        await shard.resume()
    await asyncio.to_thread(broker.start)
    await resumed(shard)
    last = int(memory.get(b"a", b"%d" % committed))
    assert last in (committed, committed + 1)
    await shard.commit([Put(EVENTS, b"a", b"end"), Put(STATE, b"a", b"end")])
    told = [int(value or b"") for value in (await values(journal, EVENTS))[:-1]]
    assert told == list(range(1, last + 1))
    await journal.close()


async def commits_until_doubt(shard: KafkaShard) -> int:
    """Commit 2, 3, …; the last one that certainly happened."""
    number = 1
    while True:
        try:
            await shard.commit([Put(EVENTS, b"a", b"%d" % (number + 1)), Put(STATE, b"a", b"%d" % (number + 1))])
        except JournalDoubt:
            return number
        number += 1


async def resumed(shard: KafkaShard) -> None:
    """Resume as the service does: again and again."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await shard.resume()
            except JournalAway:
                await asyncio.sleep(0.2)


async def put_in_doubt(shard: KafkaShard) -> None:
    """Make a commit fail before anything was sent."""
    client: Any = shard._producer._client  # type: ignore[union-attr]

    async def fail() -> None:
        raise AssertionError("provoked")

    client.begin_transaction = fail
    with pytest.raises(JournalDoubt, match="provoked"):
        await shard.commit([Put(EVENTS, b"a", b"never")])


async def test_a_restore_streams_and_does_not_gather_what_it_reads(place: KafkaPlace) -> None:
    journal = place.journal()
    shard, _ = await shard_of(journal)
    for _ in range(4):
        await shard.commit([Put(STATE, b"%d" % n, bytes(1000)) for n in range(4000)])
    await shard.close(release=False)
    count, began = 0, time.monotonic()

    def apply(key: bytes, value: bytes | None) -> None:
        nonlocal count
        count += 1

    await journal.open(1, apply)
    assert count == 16_000
    assert time.monotonic() - began < 5
    await journal.close()


def test_python_without_assertions_is_refused() -> None:
    """Rule 7."""
    code = (
        "import asyncio; from certstream.journal.kafka import KafkaConfig, KafkaJournal;"
        "asyncio.run(KafkaJournal(KafkaConfig(bootstrap='127.0.0.1:1')).start())"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, env=os.environ)
    assert "must not run with python -O" in done.stderr


async def test_journals_close_the_shards_that_are_open(place: KafkaPlace, caplog: pytest.LogCaptureFixture) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    await journal.close()
    with pytest.raises(RuntimeError, match="closed"):
        await shard.verify()
    _, memory = await opened(place.journal())
    assert memory == {}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert [record.key for record in await everything(journal, STATE)] == [b"~shard/1", b"~shard/1"]
