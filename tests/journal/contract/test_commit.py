"""Committing and reading back."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest

from certstream.core.wire import ACCOUNTS, EVENTS, INVENTORY, PEM, STATE, Put, kind_topic
from certstream.journal.ownership import own
from certstream.ports import JournalDoubt
from tests.journal.places import PARTITIONS, Place
from tests.journal.reading import as_puts, everything, opened, values


async def test_a_commit_reads_back_with_the_same_bytes_keys_headers_and_order(place: Place) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    headers = (("content-type", b"application/cloudevents+json"), ("ce_id", b"\x00\xff"), ("ce_id", b""))
    puts = [
        Put(EVENTS, b"prod/1", b'{"a":1}', headers),
        Put(EVENTS, "prod/ü".encode(), b"\x00\xff"),
        Put(kind_topic("new"), b"prod/1", b'{"a":1}', headers),
        Put(EVENTS, b"prod/1", b""),
        Put(INVENTORY, b"prod/1", b"row"),
        Put(PEM, b"prod/2", None),
    ]
    before = time.time_ns() // 1_000_000
    await shard.commit(puts)
    after = time.time_ns() // 1_000_000
    records = await everything(journal, EVENTS, kind_topic("new"), INVENTORY, PEM)
    assert sorted(as_puts(records), key=str) == sorted(puts, key=str)
    assert as_puts([record for record in records if record.topic == EVENTS]) == [p for p in puts if p.topic == EVENTS]
    assert all(record.partition == 1 and before <= record.timestamp <= after for record in records)
    await journal.close()


async def test_a_commit_that_fails_in_the_middle_leaves_nothing_and_the_next_one_works(place: Place) -> None:
    journal = place.journal()
    shard, memory = await opened(journal)
    await shard.commit([Put(EVENTS, b"a", b"before"), Put(STATE, b"a", b"before")])
    spoilt = [Put(EVENTS, b"a", b"lost"), Put(STATE, b"a", b"lost"), place.spoilt(), Put(PEM, b"a", b"lost")]
    with pytest.raises(JournalDoubt):
        await shard.commit(spoilt)
    with pytest.raises(JournalDoubt, match="resume first"):
        await shard.commit([Put(EVENTS, b"a", b"too early")])
    await shard.resume()
    assert memory.calls == []
    await shard.commit([Put(EVENTS, b"a", b"after"), Put(STATE, b"b", b"after")])
    assert await values(journal, EVENTS) == [b"before", b"after"]
    assert await values(journal, STATE) == [b"before", b"after"]
    assert await values(journal, PEM) == []
    await journal.close()


async def test_resume_tells_what_a_commit_wrote_whose_answer_was_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = place.journal()
    shard, memory = await opened(journal)
    await shard.commit([Put(STATE, b"known", b"1")])
    place.lose_answer(shard, monkeypatch)
    with pytest.raises(JournalDoubt):
        await shard.commit([Put(EVENTS, b"a", b"e"), Put(STATE, b"a", b"1"), Put(STATE, b"b", None)])
    await shard.resume()
    assert memory.calls == [(b"a", b"1"), (b"b", None)]
    await shard.commit([Put(EVENTS, b"a", b"f")])
    assert await values(journal, EVENTS) == [b"e", b"f"]
    await journal.close()


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.01])
async def test_after_a_cancelled_commit_resume_says_whether_it_happened(place: Place, delay: float) -> None:
    journal = place.journal()
    shard, memory = await opened(journal)
    commit = asyncio.create_task(shard.commit([Put(EVENTS, b"a", b"1"), Put(STATE, b"a", b"1")]))
    await asyncio.sleep(delay)
    commit.cancel()
    finished = (await asyncio.gather(commit, return_exceptions=True))[0] is None
    if not finished:
        with pytest.raises(JournalDoubt, match="resume first"):
            await shard.verify()
        await shard.resume()
    happened = finished or memory == {b"a": b"1"}
    assert await values(journal, EVENTS) == ([b"1"] if happened else [])
    assert await values(journal, STATE) == ([b"1"] if happened else [])
    await journal.close()


async def test_an_empty_commit_writes_nothing(place: Place) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    before = await journal.ends([EVENTS, STATE])
    await shard.commit([])
    assert await journal.ends([EVENTS, STATE]) == before
    await journal.close()


async def test_records_of_nine_hundred_kilobytes_are_committed_together(place: Place) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    large = [bytes([n]) * 900_000 for n in range(3)]
    await shard.commit([Put(topic, b"%d" % n, value) for topic in (EVENTS, STATE) for n, value in enumerate(large)])
    assert await values(journal, EVENTS) == large
    assert await values(journal, STATE) == large
    await journal.close()


async def test_three_thousand_records_keep_their_order_and_their_offsets_rise(place: Place) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    puts = [Put(EVENTS, b"%d" % (n % 7), b"%d" % n * 150) for n in range(3000)]
    await shard.commit(puts)
    await shard.commit([Put(EVENTS, b"last", b"last")])
    records = await everything(journal, EVENTS)
    assert as_puts(records) == [*puts, Put(EVENTS, b"last", b"last")]
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))
    await journal.close()


async def test_partitions_know_nothing_of_each_other(place: Place) -> None:
    journal = place.journal()
    zero, _ = await opened(journal, 0)
    two, _ = await opened(journal, 2)
    await zero.commit([Put(STATE, b"k", b"zero"), Put(EVENTS, b"k", b"zero")])
    await two.commit([Put(STATE, b"k", b"two"), Put(EVENTS, b"k", b"two")])
    await zero.commit([Put(STATE, b"k", b"zero again")])
    assert {(r.partition, r.value) for r in await everything(journal, EVENTS)} == {(0, b"zero"), (2, b"two")}
    await zero.close(release=False)
    await two.close(release=False)
    assert [(await opened(journal, n))[1] for n in range(PARTITIONS)] == [{b"k": b"zero again"}, {}, {b"k": b"two"}]
    await journal.close()


async def test_a_reader_that_follows_sees_what_is_committed_later(place: Place) -> None:
    journal, other = place.journal(), place.journal()
    shard, _ = await opened(journal)
    await other.start()
    await shard.commit([Put(EVENTS, b"a", b"1")])
    async with aclosing(other.read([EVENTS, ACCOUNTS], follow=True)) as records, asyncio.timeout(10):
        assert (await anext(records)).value == b"1"
        await shard.commit([Put(EVENTS, b"a", b"2"), Put(ACCOUNTS, b"a", b"healthy")])
        assert {(await anext(records)).value, (await anext(records)).value} == {b"2", b"healthy"}
        await shard.commit([Put(EVENTS, b"a", b"3")])
        assert (await anext(records)).value == b"3"
    await journal.close()
    await other.close()


async def test_reading_from_the_ends_gives_only_what_comes_later(place: Place) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    await shard.commit([Put(EVENTS, b"a", b"old"), Put(STATE, b"a", b"old")])
    assert await values(journal, EVENTS, STATE) == [b"old", b"old"]
    ends = await journal.ends([EVENTS, STATE])
    assert {part for part, end in ends.items() if end} == {(EVENTS, 1), (STATE, 1)}
    await shard.commit([Put(EVENTS, b"a", b"new"), Put(STATE, b"a", b"new")])
    assert [record.value for record in await everything(journal, EVENTS, STATE, start=ends)] == [b"new", b"new"]
    await journal.close()


async def test_reading_an_empty_journal_ends_at_once(place: Place) -> None:
    journal = place.journal()
    await journal.start()
    async with asyncio.timeout(5):
        assert await everything(journal, EVENTS, STATE, INVENTORY) == []
    assert set((await journal.ends([EVENTS])).values()) == {0}
    await journal.close()


async def test_readers_see_ownership_rows_and_deletions_as_records(place: Place) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    await shard.commit([Put(STATE, b"a", b"1")])
    await shard.commit([Put(STATE, b"a", None)])
    records = await everything(journal, STATE)
    assert [(record.key, record.value) for record in records if not own(record.key)][-1] == (b"a", None)
    assert [record.key for record in records if own(record.key)] == [b"~shard/1"]
    await journal.close()
