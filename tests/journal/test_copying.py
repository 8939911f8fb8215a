"""A whole history moves to another journal, or the target is refused; and a service goes on where the old one ended."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from certstream.app import build, build_journal, kafka_config
from certstream.config import Config
from certstream.core.errors import Fatal
from certstream.core.rows import Head, encode
from certstream.core.sharding import shard_of
from certstream.core.wire import ACCOUNTS, EVENTS, INVENTORY, PEM, QUARANTINE, STATE, Put, Stored, kind_topic
from certstream.definition import topics
from certstream.journal import copying
from certstream.journal.copying import copy
from certstream.journal.copying_records import Digest
from certstream.journal.layout import COMPACTED, TOPICS
from certstream.journal.sqlite import SqliteJournal
from certstream.journal.topics import apply as make_topics
from certstream.ports import Fenced, Journal, JournalDoubt, Shard
from certstream.service.clock import Clock
from tests.journal import places
from tests.journal.places import kafka_place
from tests.journal.reading import Memory, as_puts, everything, opened
from tests.real.kafka import Broker
from tests.service.audit import faults
from tests.service.world import _Calm, living

BUDGETS = {"prod": "acme", "test": "acme", "lone": "lone", "other": "second"}
"""account → budget: two share one"""


def quiet(step: str, topic: str, done: int, most: int) -> None:
    """Nobody watches the progress."""


def head(account: str) -> Put:
    made = Head(form=1, lineage="0" * 16, budget=BUDGETS[account], uid=None, began=1, sequence=9)
    return Put(STATE, account.encode(), encode(made))


def writing(account: str, number: int) -> list[Put]:
    """One commit of an account's history."""
    key, value = f"{account}/{number % 7}".encode(), b"%s %d" % (account.encode(), number)
    headers = (("ce_id", b"\x00%d" % number), ("ce_id", b""))
    return [
        Put(EVENTS, key, value, headers),
        Put(kind_topic("new"), key, value, headers),
        Put(INVENTORY, key, value),
        Put(PEM, key, None if number % 5 == 0 else value),
        Put(QUARANTINE, account.encode(), value),
        Put(ACCOUNTS, account.encode(), orjson.dumps({"budget": BUDGETS[account], "n": number})),
        Put(STATE, key, value),
        head(account),
    ]


async def history(journal: Journal, *, commits: int = 25, release: bool = True) -> None:
    """A history of all accounts, in the shards where they belong."""
    await journal.start()
    shards: dict[int, Shard] = {}
    for number in range(commits):
        for account, budget in BUDGETS.items():
            at = shard_of(budget, journal.partitions)
            if at not in shards:
                shards[at] = await journal.open(at, lambda key, value: None)
            await shards[at].commit(writing(account, number))
    for shard in shards.values():
        await shard.close(release=release)


async def told(journal: Journal) -> dict[tuple[str, bytes], list[Put]]:
    """What each account's part of each topic says; of compacted ones the newest of each key, heads last."""
    found: dict[tuple[str, bytes], list[Put]] = defaultdict(list)
    for record in await everything(journal, *TOPICS):
        if record.key.startswith(b"~"):
            continue
        account = record.key.partition(b"/")[0]
        one = found[record.topic, account]
        if record.topic in COMPACTED:
            one[:] = [put for put in one if put.key != record.key]
        one += as_puts([record])
        assert record.partition == shard_of(BUDGETS[account.decode()], journal.partitions), record
    for (topic, account), puts in found.items():
        if topic == STATE:
            puts.sort(key=lambda put: put.key == account)
    return found


def sqlite(path: Path, partitions: int = 3) -> SqliteJournal:
    return SqliteJournal(path, partitions=partitions, patience=0.5)


async def moved(source: Journal, target: Journal, **options: Any) -> copying.Copied:
    return await copy(source, target, name="the old one", progress=quiet, **{"watch": 0.0, **options})


@pytest.mark.parametrize("partitions", [3, 1, 7])
async def test_every_account_has_its_records_in_order_in_the_shard_of_its_budget(
    tmp_path: Path, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "RECORDS", 10)  # many transactions
    source, target = sqlite(tmp_path / "old.db"), sqlite(tmp_path / "new.db", partitions)
    await history(source)
    done = await moved(source, target)
    assert await told(target) == await told(source)
    assert done.accounts == {account: shard_of(budget, partitions) for account, budget in sorted(BUDGETS.items())}
    assert done.topics[EVENTS].records == 100
    assert done.topics[INVENTORY].records == 28
    assert done.topics[STATE].records == 32
    for account, budget in BUDGETS.items():
        shard, memory = await opened(target, shard_of(budget, partitions))
        assert shard.opened.previous
        assert shard.opened.released
        assert memory[account.encode()] == head(account).value
        await shard.close(release=True)
    await source.close()
    await target.close()


async def test_kafka_to_kafka_changes_the_number_of_partitions_and_back_to_sqlite(
    tmp_path: Path, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kafka_place(kafka) as first:
        monkeypatch.setattr(places, "PARTITIONS", 5)
        async with kafka_place(kafka) as second:
            source, target = first.journal(), second.journal()
            await history(source, commits=6)
            await target.start()
            assert (source.partitions, target.partitions) == (3, 5)
            done = await moved(source, target)
            wanted = await told(source)
            assert await told(target) == wanted
            assert done.topics[EVENTS].records == 24
            third = sqlite(tmp_path / "new.db", 12)
            again = await moved(target, third)
            assert await told(third) == wanted
            assert again.topics == done.topics
            for journal in (source, target, third):
                await journal.close()


async def test_what_reaches_a_target_that_is_not_empty_is_nothing(tmp_path: Path) -> None:
    source, target = sqlite(tmp_path / "old.db"), sqlite(tmp_path / "new.db")
    await history(source, commits=1)
    await history(target, commits=1)
    before = await everything(target, *TOPICS)
    with pytest.raises(Fatal, match=r"not empty \(.*events.*\): copy into another one"):
        await moved(source, target)
    assert await everything(target, *TOPICS) == before
    with pytest.raises(Fatal, match="the old one is empty"):
        await moved(sqlite(tmp_path / "none.db"), sqlite(tmp_path / "fresh.db"))
    assert not (tmp_path / "fresh.db").exists()
    await source.close()
    await target.close()


async def test_a_source_that_is_written_is_refused_with_its_owner_and_one_whose_owner_died_is_not(
    tmp_path: Path, kafka: Broker
) -> None:
    async with kafka_place(kafka) as place:
        source = place.journal(instance="worker-7")
        await history(source, commits=2, release=False)
        at = shard_of("lone", 3)
        shard = await source.open(at, lambda key, value: None)

        async def alive() -> None:
            while True:
                await shard.verify()
                await asyncio.sleep(0.1)

        running = asyncio.create_task(alive())
        with pytest.raises(Fatal, match="in use by worker-7: stop that service"):
            await moved(source, sqlite(tmp_path / "new.db"), watch=1.0)
        assert not (tmp_path / "new.db").exists()
        running.cancel()
        await asyncio.wait([running])
        target = sqlite(tmp_path / "new.db")
        await moved(source, target, watch=1.0)
        shard_after = await target.open(at, lambda key, value: None)
        assert not shard_after.opened.released, "its last calls may still be on their way"
        await target.close()
        await source.close()


@dataclass
class Bent:
    """A journal of which something goes wrong."""

    real: Journal
    spoil: dict[str, Any] = field(default_factory=dict)
    commits: int = 0

    @property
    def partitions(self) -> int:
        return self.real.partitions

    async def start(self) -> None:
        await self.real.start()

    async def open(self, shard: int, apply: Any) -> Shard:
        opened = await self.real.open(shard, apply)
        commit = opened.commit

        async def counted(puts: Sequence[Put]) -> None:
            self.commits += 1
            if self.commits == self.spoil.get("commit"):
                raise JournalDoubt("the disk is full")
            await commit(puts)

        opened.commit = counted  # type: ignore[method-assign]
        return opened

    async def read(
        self, topics: Sequence[str], *, start: Mapping[tuple[str, int], int] | None = None, follow: bool = False
    ) -> AsyncGenerator[Stored, None]:
        async for record in self.real.read(topics, start=start, follow=follow):
            # The heads are read from an offset, everything else from the beginning.
            how = self.spoil.get("read" if start is None else "heads", {})
            for one in how.get(record.topic, lambda record: [record])(record):
                yield one

    async def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        return await self.real.ends(topics)

    async def close(self) -> None:
        await self.real.close()


async def test_a_copy_that_stops_anywhere_is_refused_by_the_service_and_by_another_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "RECORDS", 40)
    source = sqlite(tmp_path / "old.db")
    await history(source, commits=6)
    whole = Bent(sqlite(tmp_path / "whole.db"))
    await moved(source, whole)
    await whole.close()
    assert whole.commits > 12
    for number in range(1, whole.commits + 1):
        target = Bent(sqlite(tmp_path / f"{number}.db"), {"commit": number})
        with pytest.raises(Fatal, match=r"the disk is full; the copy is incomplete .*: remove it, and start again"):
            await moved(source, target)
        await target.close()
        again = sqlite(tmp_path / f"{number}.db")
        with pytest.raises(Fatal, match="incomplete copy" if number > 1 else "not empty"):
            await moved(source, again)
        for shard in range(3):
            if number > 1:
                with pytest.raises(Fatal, match="an incomplete copy of the old one: remove it"):
                    await again.open(shard, Memory())
        await again.close()
    await source.close()


def changed(record: Stored) -> list[Stored]:
    return [record._replace(headers=(*record.headers, ("x", b"")))] if record.value == b"lone 3" else [record]


BENT = {
    "a record is missing": lambda record: [] if record.value == b"lone 3" else [record],
    "a record is there twice": lambda record: [record, record] if record.value == b"lone 3" else [record],
    "other headers": changed,
    "another value": lambda record: [record._replace(value=b"lone 4" if record.value == b"lone 3" else record.value)],
}


@pytest.mark.parametrize(
    ("topic", "how"),
    [
        (topic, how)
        for topic in (EVENTS, QUARANTINE, INVENTORY, PEM, STATE)
        for how in BENT
        if not (topic in COMPACTED and how == "a record is there twice")  # the newest of its key, still
    ],
)
async def test_a_target_that_reads_back_otherwise_is_not_called_complete(tmp_path: Path, topic: str, how: str) -> None:
    source = sqlite(tmp_path / "old.db")
    await history(source, commits=4)
    target = Bent(sqlite(tmp_path / "new.db"), {"read": {topic: BENT[how]}})
    with pytest.raises(Fatal, match=rf"{topic}: .* were read back; the copy is incomplete"):
        await moved(source, target)
    await target.close()
    with pytest.raises(Fatal, match="incomplete copy"):
        await sqlite(tmp_path / "new.db").open(shard_of("lone", 3), lambda key, value: None)
    await source.close()


async def test_heads_that_read_back_otherwise_leave_the_copy_incomplete(tmp_path: Path) -> None:
    source = sqlite(tmp_path / "old.db")
    await history(source, commits=2)
    stale = {STATE: lambda record: [record._replace(value=b"older" if record.key == b"lone" else record.value)]}
    target = Bent(sqlite(tmp_path / "new.db"), {"heads": stale})
    with pytest.raises(Fatal, match="the heads of the accounts are not what was written; the copy is incomplete"):
        await moved(source, target)
    await target.close()
    with pytest.raises(Fatal, match="incomplete copy"):
        await sqlite(tmp_path / "new.db").open(0, lambda key, value: None)
    await source.close()


async def test_another_order_within_an_account_is_seen_and_between_accounts_it_is_none() -> None:
    def digest(records: Sequence[Stored]) -> str:
        made = Digest(EVENTS)
        for record in records:
            made.add(record)
        return made.result().sha256

    a, b, c = (Stored(EVENTS, 0, 0, 0, key, value, ()) for key, value in ((b"a/1", b"1"), (b"a/2", b"2"), (b"b", b"3")))
    assert digest([a, b, c]) == digest([c, a, b]) == digest([a, c._replace(partition=4), b])
    assert len({digest(order) for order in ([a, b, c], [b, a, c], [a, b], [a, b, c, c], [])}) == 5


async def test_a_source_that_is_written_meanwhile_is_told_and_the_copy_is_not_complete(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    await history(source := sqlite(path), commits=2)
    await source.close()
    late = [True]

    def write(record: Stored) -> list[Stored]:
        if late and late.pop():
            writer = sqlite(path)
            asyncio.get_running_loop().create_task(history(writer, commits=1))
        return [record]

    target = Bent(sqlite(tmp_path / "new.db"), {})
    reading = Bent(sqlite(path), {"read": {EVENTS: write}})
    slow = target.real.open

    async def slowly(shard: int, apply: Any) -> Shard:
        await asyncio.sleep(0.5)
        return await slow(shard, apply)

    target.real.open = slowly  # type: ignore[method-assign]
    with pytest.raises(Fatal, match="written meanwhile: stop its service; the copy is incomplete"):
        await moved(reading, target)
    await target.close()


@pytest.mark.parametrize(
    ("put", "problem"),
    [
        (Put(EVENTS, b"", b"x"), "not certstream's"),
        (Put(EVENTS, "prüd/1".encode(), b"x"), "not certstream's"),
        (Put(EVENTS, b"prod/1", b"x"), r"in the partitions \d and \d"),
        (Put(STATE, b"prod", b"x"), "cannot be read"),
    ],
)
async def test_foreign_records_are_named_and_not_moved(tmp_path: Path, put: Put, problem: str) -> None:
    source = sqlite(tmp_path / "old.db", 12)
    await history(source, commits=1)
    shard, _ = await opened(source, next(n for n in range(12) if n not in {shard_of(b, 12) for b in BUDGETS.values()}))
    await shard.commit([put])
    target = sqlite(tmp_path / "new.db")
    with pytest.raises(Fatal, match=problem):
        await moved(source, target)
    await source.close()
    await target.close()


async def test_an_account_without_a_head_goes_where_its_last_record_of_accounts_says(tmp_path: Path) -> None:
    source, target = sqlite(tmp_path / "old.db"), sqlite(tmp_path / "new.db", 12)
    await history(source, commits=2)
    shard, _ = await opened(source, shard_of("acme", 3))
    await shard.commit([Put(STATE, b"prod", None)])
    done = await moved(source, target)
    assert done.accounts["prod"] == shard_of("acme", 12) != shard_of("prod", 12)
    await source.close()
    await target.close()


async def test_a_target_that_somebody_else_begins_to_use_is_left_alone(tmp_path: Path) -> None:
    source, target = sqlite(tmp_path / "old.db"), sqlite(tmp_path / "new.db")
    await history(source, commits=1)
    ends = target.ends

    async def too_early(topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        found = await ends(topics)
        await history(other := sqlite(tmp_path / "new.db"), commits=1)
        await other.close()
        return found

    target.ends = too_early  # type: ignore[method-assign]
    with pytest.raises(Fenced, match="another process began to use the target"):
        await moved(source, target)
    await source.close()
    await target.close()


async def test_an_incomplete_copy_in_kafka_is_refused_when_it_is_opened(tmp_path: Path, kafka: Broker) -> None:
    source = sqlite(tmp_path / "old.db")
    await history(source, commits=1)
    async with kafka_place(kafka) as place:
        target = Bent(place.journal(), {"read": {PEM: lambda record: []}})
        await target.start()
        with pytest.raises(Fatal, match=r"pem: 0 of .* were read back; the copy is incomplete"):
            await moved(source, target)
        await target.close()
        again = place.journal()
        await again.start()
        with pytest.raises(Fatal, match="incomplete copy"):
            await moved(source, again)
        try:
            with pytest.raises(Fatal, match="incomplete copy of the old one: remove it"):
                await again.open(shard_of("acme", 3), lambda key, value: None)
        finally:
            await again.close()
            await source.close()


# --- A service goes on ---------------------------------------------------------------------------------------------


async def all_of(config: Config) -> list[Stored]:
    journal = build_journal(config)
    await journal.start()
    try:
        return await everything(journal, *TOPICS)
    finally:
        await journal.close()


def events(records: Sequence[Stored]) -> list[tuple[bytes, bytes | None, Any]]:
    return [(one.key, one.value, one.headers) for one in records if one.topic == EVENTS]


async def transfer(old: Config, new: Config) -> None:
    source, target = build_journal(old), build_journal(new)
    await source.start()
    if new.brokers:
        await make_topics(kafka_config(new).client_options(), topics(), prefix=new.topic_prefix)
    await target.start()
    await moved(source, target, watch=copying.WATCH)
    await source.close()
    await target.close()
    assert events(await all_of(new)) == events(await all_of(old))


async def serve(config: Config, subject: str, kind: str) -> None:
    """Run the service until it has told of one certificate and swept twice more."""
    stop = asyncio.Event()
    service = build(config, clock=Clock(random=_Calm()))
    running = asyncio.create_task(service.run(stop))
    reader = build_journal(config)
    await reader.start()
    async with asyncio.timeout(20):
        found = False
        while not found:
            assert not running.done(), await running
            found = any(
                one.key.endswith(subject.encode()) and kind.encode() in (one.value or b"")
                for one in await everything(reader, EVENTS)
            )
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        stop.set()
        assert await running
    await reader.close()


async def test_a_service_goes_on_in_kafka_and_again_in_sqlite_with_the_same_lineage_and_nothing_twice(
    tmp_path: Path, kafka: Broker
) -> None:
    async with living(tmp_path, certificates=9) as world:
        first = world.config
        revoked, renamed, *_ = world.simulator.identifiers()
        world.simulator.revoke(revoked)
        await world.event("certificate.revoked", revoked)
        assert await world.stop()
        prefix = f"c{time.time_ns()}."
        second = Config.model_validate(
            {"journal": f"kafka://{kafka.bootstrap}", "topic_prefix": prefix, "accounts": first.accounts}
        )
        third = first.model_copy(update={"journal": f"sqlite://{tmp_path}/third.db"})
        await transfer(first, second)
        deleted = world.simulator.identifiers()[2]
        world.simulator.delete(deleted)
        await serve(second, deleted, "certificate.deleted")
        await transfer(second, third)
        world.simulator.edit(renamed, Locality="Nanjing")
        await serve(third, renamed, "certificate.changed")
        one, two, three = [await all_of(config) for config in (first, second, third)]
        assert faults(one) == faults(two) == faults(three) == []
        before, between, after = events(one), events(two), events(three)
        assert between[: len(before)] == before
        assert after[: len(between)] == between
        later = [orjson.loads(value or b"") for _, value, _ in after[len(before) :]]
        assert [(event["type"].split(".")[2], event["subject"]) for event in later] == [
            ("deleted", deleted),
            ("changed", renamed),
        ]
        assert [int(event["sequence"]) for event in later] == [len(before) + 1, len(before) + 2]
        assert {event["lineage"] for event in later} == {orjson.loads(before[0][1] or b"")["lineage"]}
