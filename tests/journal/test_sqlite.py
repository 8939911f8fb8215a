"""What only the embedded journal has to withstand: other programs, full disks, files that change."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from certstream.core.errors import Fatal
from certstream.core.wire import EVENTS, PEM, STATE, Put
from certstream.journal.ownership import boot_time
from certstream.journal.sqlite import SqliteJournal
from certstream.ports import Fenced, JournalAway, JournalDoubt
from tests.journal.places import SqlitePlace
from tests.journal.reading import everything, opened, values

WEEK_MS = 7 * 24 * 3600 * 1000


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    """A file that is not there yet."""
    return SqlitePlace(tmp_path / "certstream.db")


async def test_a_second_writer_is_refused_with_the_process_id_of_the_first(place: SqlitePlace) -> None:
    first, second = place.journal(), place.journal()
    shard, _ = await opened(first)
    assert shard.owned_until() > boot_time()
    with pytest.raises(Fatal, match=f"being written by process {os.getpid()}"):
        await opened(second)
    await first.close()
    await opened(second)
    await second.close()


async def test_reading_takes_no_lock_and_makes_no_file(place: SqlitePlace) -> None:
    reader = place.journal()
    await reader.start()
    assert await everything(reader, EVENTS) == []
    assert list(place.path.parent.iterdir()) == []
    writer = place.journal()
    shard, _ = await opened(writer)
    await shard.commit([Put(EVENTS, b"a", b"1")])
    assert await values(reader, EVENTS) == [b"1"]
    await writer.close()
    await reader.close()


async def test_a_compacted_topic_keeps_the_newest_record_and_never_uses_an_offset_again(place: SqlitePlace) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    for n in range(3):
        await shard.commit([Put(PEM, b"a", b"%d" % n), Put(PEM, b"b", b"%d" % n)])
    await shard.commit([Put(PEM, b"b", None)])
    assert [(r.offset, r.key, r.value) for r in await everything(journal, PEM)] == [(4, b"a", b"2"), (6, b"b", None)]
    await journal.close()


async def test_deletions_are_forgotten_after_a_week_and_their_offsets_are_not_used_again(place: SqlitePlace) -> None:
    now = [1_000_000_000_000]
    journal = SqliteJournal(place.path, partitions=3, now=lambda: now[0])
    shard, _ = await opened(journal)
    await shard.commit([Put(PEM, b"a", None), Put(PEM, b"b", None), Put(STATE, b"a", None)])
    for age, kept in ((WEEK_MS - 1000, [b"a", b"b"]), (2000, [])):
        now[0] += age
        await shard.close(release=True)
        shard, _ = await opened(journal)
        assert [record.key for record in await everything(journal, PEM)] == kept
    await shard.commit([Put(PEM, b"c", b"1")])
    assert [record.offset for record in await everything(journal, PEM)] == [2]
    await journal.close()


async def test_a_newer_version_or_another_layout_is_refused(place: SqlitePlace) -> None:
    journal = place.journal()
    await opened(journal)
    await journal.close()
    with pytest.raises(Fatal, match="made with 3 partitions"):
        await SqliteJournal(place.path, partitions=4).start()
    with pytest.raises(Fatal, match="prefix"):
        await opened(SqliteJournal(place.path, partitions=3, prefix="other."))
    other = sqlite3.connect(place.path)
    other.execute("PRAGMA user_version = 2")
    other.close()
    with pytest.raises(Fatal, match="has version 2, this certstream knows 1"):
        await place.journal().start()
    with pytest.raises(Fatal, match="use a newer certstream"):
        await opened(place.journal())


async def test_a_file_that_is_no_journal_is_refused(place: SqlitePlace) -> None:
    place.path.write_bytes(b"not a database " * 100)
    with pytest.raises(Fatal, match="not a journal"):
        await opened(place.journal())


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"missing/certstream\.db cannot be locked"):
        await opened(SqliteJournal(tmp_path / "missing" / "certstream.db"))


async def test_a_lock_without_room_on_the_disk_is_tried_again_later(
    place: SqlitePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, text: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(JournalAway, match="cannot be locked: the disk is full: make room"):
            await opened(place.journal())
    journal = place.journal()
    await opened(journal)
    await journal.close()


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes: what the system says then, SQLite has to live with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_fails_the_commit_whole_and_resume_goes_on_when_there_is_room(place: SqlitePlace) -> None:
    journal = place.journal()
    shard, memory = await opened(journal)
    await shard.commit([Put(EVENTS, b"a", b"1"), Put(STATE, b"a", b"1")])
    large = [Put(EVENTS, b"a", bytes(50_000)) for _ in range(100)]
    with full_disk(1_000_000):
        with pytest.raises(JournalDoubt, match=r"full|the disk"):
            await shard.commit([Put(STATE, b"a", b"lost"), *large])
        with pytest.raises(JournalDoubt, match="resume first"):
            await shard.commit([Put(EVENTS, b"a", b"too early")])
    await shard.resume()
    assert memory.calls == []
    await shard.commit([Put(EVENTS, b"a", b"2"), Put(STATE, b"a", b"2")])
    assert await values(journal, EVENTS) == [b"1", b"2"]
    await journal.close()
    _, memory = await opened(place.journal())
    assert memory == {b"a": b"2"}


async def test_a_lock_of_another_program_is_a_doubt_and_then_away(place: SqlitePlace) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    other = sqlite3.connect(place.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalDoubt, match="another program holds it locked"):
        await shard.commit([Put(EVENTS, b"a", b"1")])
    with pytest.raises(JournalAway, match="another program holds it locked"):
        await shard.resume()
    other.execute("ROLLBACK")
    other.close()
    await shard.resume()
    await shard.commit([Put(EVENTS, b"a", b"2")])
    assert await values(journal, EVENTS) == [b"2"]
    await journal.close()


async def test_a_lock_file_that_is_replaced_ends_ownership(place: SqlitePlace) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    place.path.with_name("certstream.db.lock").unlink()
    with pytest.raises(Fenced, match="removed or replaced"):
        await shard.verify()
    with pytest.raises(Fenced):
        await shard.commit([Put(EVENTS, b"a", b"1")])
    assert shard.owned_until() == -math.inf
    await journal.close()


async def test_a_journal_that_is_moved_away_is_not_begun_again_beside_the_memory(place: SqlitePlace) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    await shard.commit([Put(STATE, b"a", b"1")])
    moved = place.path.rename(place.path.with_name("moved.db"))
    with pytest.raises(JournalDoubt, match="removed or replaced"):
        await shard.commit([Put(STATE, b"a", b"2")])
    with pytest.raises(JournalAway, match="put it back"):
        await shard.resume()
    assert not place.path.exists()
    moved.rename(place.path)
    await shard.resume()
    await shard.commit([Put(STATE, b"a", b"3")])
    assert await values(journal, STATE) == [b"3"]
    await journal.close()


async def test_every_commit_is_synced_before_it_returns(place: SqlitePlace) -> None:
    journal = place.journal()
    await opened(journal)
    db = journal._writer._db
    assert db is not None
    modes = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert modes == ["wal", 2]
    await journal.close()


async def test_commits_of_several_shards_at_once_all_happen(place: SqlitePlace) -> None:
    journal = place.journal()
    shards = [(await opened(journal, number))[0] for number in range(3)]
    async with asyncio.TaskGroup() as group:
        for shard in shards:
            group.create_task(shard.commit([Put(EVENTS, b"%d" % n, b"x") for n in range(500)]))
    assert len(await everything(journal, EVENTS)) == 1500
    await journal.close()
