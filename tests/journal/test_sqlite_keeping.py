"""What the embedded journal keeps, for how long, what it does with an older version's file, and what readers see."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from certstream.core.errors import Fatal
from certstream.core.wire import ACCOUNTS, EVENTS, INVENTORY, PEM, QUARANTINE, STATE, Put, kind_topic
from certstream.definition import topics
from certstream.journal import sqlite_file, sqlite_migrate, sqlite_rows
from certstream.journal.layout import TOPICS
from certstream.journal.sqlite import SqliteJournal
from certstream.ports import JournalAway
from tests.journal.places import SqlitePlace
from tests.journal.reading import everything, opened, values

DAY = 24 * 3600 * 1000


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    """A file that is not there yet."""
    return SqlitePlace(tmp_path / "certstream.db")


# --- Retention -----------------------------------------------------------------------------------------------------


def test_records_are_kept_as_long_as_the_definition_says() -> None:
    kept = {
        topic.name: int(topic.config["retention.ms"])
        for topic in topics()
        if topic.config.get("retention.ms", "-1") != "-1"
    }
    assert kept == sqlite_rows.RETENTION_MS
    deleted = {int(topic.config["delete.retention.ms"]) for topic in topics() if topic.compacted}
    assert deleted == {sqlite_rows.TOMBSTONES_MS}


NEW, REVOKED = kind_topic("new"), kind_topic("revoked")
WRITTEN = (EVENTS, NEW, REVOKED, QUARANTINE, INVENTORY, ACCOUNTS, STATE)


@pytest.mark.parametrize("how", ["opened anew", "running on"])
async def test_copies_go_after_400_days_and_quarantine_after_90_and_nothing_else_does(
    place: SqlitePlace, how: str
) -> None:
    now = [1_000_000_000_000]
    journal = SqliteJournal(place.path, partitions=3, now=lambda: now[0])
    shard, _ = await opened(journal)
    other, _ = await opened(journal, 2)
    await shard.commit([Put(topic, b"a/1", b"first") for topic in WRITTEN])
    await other.commit([Put(NEW, b"b/1", b"theirs")])
    now[0] += 50 * DAY
    await shard.commit([Put(topic, b"a/2", b"second") for topic in WRITTEN])

    for age, gone in ((89, set()), (91, {QUARANTINE}), (399, {QUARANTINE}), (401, {QUARANTINE, NEW, REVOKED})):
        now[0] = 1_000_000_000_000 + age * DAY
        if how == "opened anew":
            await shard.close(release=True)
            shard, _ = await opened(journal)
        else:
            await shard.commit([Put(EVENTS, b"a/3", b"tick")])
        left = await everything(journal, *WRITTEN)
        assert {one.topic for one in left if one.value == b"first"} == set(WRITTEN) - gone
        assert {one.topic for one in left if one.value == b"second"} >= set(WRITTEN) - {QUARANTINE}
        assert b"theirs" in {one.value for one in left}, "another shard's goes with that shard's commits"
    await shard.commit([Put(NEW, b"a/4", b"next")])
    assert [one.offset for one in await everything(journal, NEW) if one.partition == 1] == [1, 2]
    await journal.close()


async def test_forgetting_takes_a_bounded_step_with_each_commit_and_then_rests_for_a_day(
    place: SqlitePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_rows, "STEP", 10)
    now = [1_000_000_000_000]
    journal = SqliteJournal(place.path, partitions=3, now=lambda: now[0])
    shard, _ = await opened(journal)
    await shard.commit([Put(topic, b"%d" % n, None) for n in range(25) for topic in (QUARANTINE, PEM)])
    now[0] += 91 * DAY
    left = []
    for _ in range(4):
        await shard.commit([Put(EVENTS, b"a", b"tick")])
        left.append((len(await everything(journal, QUARANTINE)), len(await everything(journal, PEM))))
    assert left == [(15, 15), (5, 5), (0, 0), (0, 0)]
    await shard.commit([Put(QUARANTINE, b"a", b"x")])
    steps: list[int] = []
    real = sqlite_rows.forget

    def forget(db: sqlite3.Connection, prefix: str, partition: int, at: int) -> bool:
        steps.append(at)
        return real(db, prefix, partition, at)

    monkeypatch.setattr(sqlite_rows, "forget", forget)
    began = now[0]
    for hours in range(0, 60, 6):
        now[0] = began + hours * DAY // 24
        await shard.commit([Put(EVENTS, b"a", b"tick")])
    assert [(at - began) // (DAY // 24) for at in steps] == [24, 48]
    await journal.close()


async def test_a_commit_that_fails_forgets_nothing_and_the_step_is_taken_again(place: SqlitePlace) -> None:
    now = [1_000_000_000_000]
    journal = SqliteJournal(place.path, partitions=3, patience=0.1, now=lambda: now[0])
    shard, _ = await opened(journal)
    await shard.commit([Put(QUARANTINE, b"a", b"old")])
    now[0] += 91 * DAY
    with pytest.raises(Exception, match="spoilt"):
        await shard.commit([place.spoilt()])
    assert await values(journal, QUARANTINE) == [b"old"]
    await shard.resume()
    await shard.commit([Put(EVENTS, b"a", b"tick")])
    assert await values(journal, QUARANTINE) == []
    await journal.close()


# --- Older versions ------------------------------------------------------------------------------------------------


async def older(place: SqlitePlace, events: int = 3) -> None:
    """A journal of version 1."""
    journal = place.journal()
    shard, _ = await opened(journal)
    for n in range(events):
        await shard.commit([Put(EVENTS, b"a", b"%d" % n), Put(STATE, b"a", b"%d" % n)])
    await shard.close(release=True)
    await journal.close()


def note(db: sqlite3.Connection) -> None:
    """What a version of the future might need."""
    db.execute("ALTER TABLE log ADD COLUMN note TEXT")
    db.execute("UPDATE log SET note = 'of version 1'")
    db.execute("CREATE INDEX log_note ON log (note)")


Step = Callable[[sqlite3.Connection], None]


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes this certstream one that knows version 3, with steps from 1 and 2."""

    def become(second: Step = lambda db: None) -> None:
        monkeypatch.setattr(sqlite_file, "VERSION", 3)
        monkeypatch.setattr(sqlite_migrate, "STEPS", {1: note, 2: second})
        monkeypatch.setitem(sqlite_rows._INSERT, "log", "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, 'of version 3')")

    return become


def version(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def notes(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [text for (text,) in db.execute("SELECT note FROM log ORDER BY offset")]


async def test_an_older_file_is_brought_up_to_date_with_a_copy_kept_and_the_history_goes_on(
    place: SqlitePlace, newer: Callable[..., None]
) -> None:
    await older(place)
    newer()
    await place.journal().start()  # so that a service can begin
    with pytest.raises(Fatal, match=r"has version 1, .*start the service once, which brings it to version 3"):
        await values(place.journal(), EVENTS)
    assert version(place.path) == 1, "reading changes nothing"
    journal = place.journal()
    shard, memory = await opened(journal)
    assert memory == {b"a": b"2"}
    await shard.commit([Put(EVENTS, b"a", b"3")])
    assert await values(journal, EVENTS) == [b"0", b"1", b"2", b"3"]
    await journal.close()
    assert (version(place.path), notes(place.path)) == (3, ["of version 1"] * 3 + ["of version 3"])
    copy = place.path.with_name("certstream.db.version-1")
    assert version(copy) == 1
    copy.rename(place.path)
    assert [path.name for path in place.path.parent.iterdir() if "version" in path.name] == []


async def test_a_migration_that_fails_leaves_the_old_file_and_one_copy(
    place: SqlitePlace, newer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    await older(place)

    def fail(db: sqlite3.Connection) -> None:
        raise sqlite3.IntegrityError("what nobody thought of")

    newer(fail)
    for _ in range(3):
        with pytest.raises(JournalAway, match="what nobody thought of"):
            await place.journal().open(1, lambda key, value: None)
        assert version(place.path) == 1
    kept = place.path.with_name("certstream.db.version-1")
    monkeypatch.undo()
    for path in (kept, place.path):
        assert await values(SqliteJournal(path, partitions=3), EVENTS) == [b"0", b"1", b"2"]
    assert [path for path in place.path.parent.iterdir() if "version" in path.name] == [kept]


async def test_a_copy_of_another_history_is_not_written_over(place: SqlitePlace, newer: Callable[..., None]) -> None:
    await older(place)
    kept = place.path.with_name("certstream.db.version-1")
    kept.write_bytes(b"something that somebody keeps")
    kept.with_name(kept.name + "-2.part").write_bytes(b"of a crash")
    newer()
    journal = place.journal()
    await opened(journal)
    await journal.close()
    assert kept.read_bytes() == b"something that somebody keeps"
    assert version(kept.with_name(kept.name + "-2")) == 1
    assert not kept.with_name(kept.name + "-2.part").exists()


# --- Readers -------------------------------------------------------------------------------------------------------


async def test_a_key_that_is_written_again_while_it_is_read_is_not_missed(place: SqlitePlace) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    await shard.commit([Put(INVENTORY, b"%04d" % n, b"before") for n in range(1200)])
    seen: dict[bytes, bytes | None] = {}
    async for record in journal.read([INVENTORY]):
        if not seen:
            # The reader holds a first part; what it has not seen moves beyond the end that it knows.
            await shard.commit([Put(INVENTORY, b"%04d" % n, b"after") for n in range(1100, 1200)])
        seen[record.key] = record.value
    assert len(seen) == 1200
    assert set(seen.values()) == {b"before", b"after"}
    await journal.close()


async def test_readers_may_be_cancelled_at_any_moment(place: SqlitePlace) -> None:
    """Closing a connection that another thread is using kills the process; nothing else would be seen here."""
    journal = place.journal()
    shard, _ = await opened(journal)
    await shard.commit([Put(EVENTS, b"%d" % n, bytes(2000)) for n in range(1500)])

    async def read() -> None:
        while True:
            await everything(place.journal(), *TOPICS)

    for n in range(60):
        reading = [asyncio.create_task(read()) for _ in range(3)]
        await asyncio.sleep(0.001 * (n % 20))
        for one in reading:
            one.cancel()
        await asyncio.wait(reading)
    assert len(await everything(journal, EVENTS)) == 1500
    await journal.close()
