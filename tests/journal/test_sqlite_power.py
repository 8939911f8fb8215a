"""Power lost in the middle of a real run's commits: what was written is there whole or not at all, and nothing before
it is touched. The run is the service's own; what its file and WAL were is cut, torn and half checkpointed."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from certstream.core.sharding import shard_of
from certstream.core.wire import EVENTS, STATE, Put, Stored
from certstream.journal import sqlite_rows as rows
from certstream.journal.layout import TOPICS
from certstream.journal.sqlite import SqliteJournal
from certstream.journal.sqlite_file import Layout, check, connect
from tests.journal.reading import everything, opened
from tests.service.audit import faults
from tests.service.world import living

LAYOUT = Layout(12, "certstream.")
SHARD = shard_of("prod", 12)
HEADER, FRAME = 32, 24 + 4096
"""Bytes of the WAL's header, and of a page in it (sqlite.org/fileformat2.html#walformat)."""


@dataclass(frozen=True)
class Crash:
    """What lay on the disk: the database as the last checkpoint left it, and the WAL. `bounds`: where in the WAL each
    transaction ends."""

    path: Path
    wal: bytes
    bounds: tuple[int, ...]

    def again(self, path: Path, wal: bytes) -> Path:
        """The same disk at another place, with this WAL."""
        for name in ("", "-shm", "-wal", ".lock"):
            path.with_name(path.name + name).unlink(missing_ok=True)
        shutil.copyfile(self.path, path)
        path.with_name(path.name + "-wal").write_bytes(wal)
        return path


def looked_at(path: Path) -> list[Stored]:
    """All there is, read by the product's own statements through a new connection."""
    with closing(connect(path, "ro", patience=0)) as db:
        assert check(db, path, LAYOUT)
        return [
            one
            for topic in TOPICS
            for one in rows.select(db, LAYOUT.prefix, (topic, SHARD), 0, None, 10_000)
            if not one.key.startswith(b"~")
        ]


def dumped(path: Path) -> list[list[tuple[object, ...]]]:
    """Every table as it is, through a new connection: a third of the time."""
    with closing(connect(path, "ro", patience=0)) as db:
        return [db.execute(f"SELECT * FROM {table}").fetchall() for table in ("log", "latest", "ends")]


def events(records: Sequence[Stored]) -> list[Stored]:
    return [one for one in records if one.topic == EVENTS]


def ends_of_transactions(wal: bytes) -> Iterator[int]:
    """A frame whose header tells the size of the database is the last one of its transaction."""
    salt = wal[16:24]
    for at in range(HEADER, len(wal) - FRAME + 1, FRAME):
        if wal[at + 8 : at + 16] == salt and wal[at + 4 : at + 8] != bytes(4):
            yield at + FRAME


@pytest.fixture
async def crash(tmp_path: Path) -> AsyncIterator[Crash]:
    """The disk of a service whose last commit told of a changed certificate, after one of a revoked one."""
    memory = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        async with living(tmp_path, certificates=2, settings={"pem": False}) as world:  # few pages, few cuts
            journal = tmp_path / "journal.db"
            await world.sweeps()
            with closing(sqlite3.connect(journal)) as db:
                assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            certificate, other = world.simulator.identifiers()
            world.simulator.revoke(certificate)
            await world.event("certificate.revoked", certificate)
            world.simulator.edit(other, Locality="Nanjing")
            await world.event("certificate.changed", other)
            wal = journal.with_name("journal.db-wal").read_bytes()
            path = Path(shutil.copyfile(journal, Path(folder) / "before.db"))
        found = Crash(path, wal, tuple(ends_of_transactions(wal)))
        # Heads that move without an event may have been committed after it.
        last = next(n for n in range(len(found.bounds)) if b"certificate.changed" in told_at(found, n))
        assert last >= 1
        yield Crash(path, wal[: found.bounds[last]], found.bounds[: last + 1])


def told_at(crash: Crash, number: int) -> bytes:
    """The newest event after so many transactions."""
    path = crash.again(crash.path.with_name("stage.db"), crash.wal[: crash.bounds[number]])
    return events(looked_at(path))[-1].value or b""


def stages(crash: Crash) -> list[list[Stored]]:
    """The history before the last two transactions, between them, and after."""
    first = crash.bounds[-3] if len(crash.bounds) > 2 else HEADER
    path = crash.path.with_name("stage.db")
    found = [looked_at(crash.again(path, crash.wal[:at])) for at in (first, *crash.bounds[-2:])]
    for earlier, later in itertools.pairwise(found):
        assert events(later)[: len(events(earlier))] == events(earlier)
        assert later != earlier
    for one in found:
        assert faults(one) == []
    types = [orjson.loads(one.value or b"")["type"].split(".")[2] for one in events(found[-1])]
    assert types[-2:] == ["revoked", "changed"]
    return found


async def test_the_wal_cut_at_every_byte_of_the_last_two_transactions_holds_all_of_each_or_nothing(
    crash: Crash,
) -> None:
    stages(crash)
    path = crash.path.with_name("cut.db")
    wal = path.with_name(path.name + "-wal")
    first = crash.bounds[-3] if len(crash.bounds) > 2 else HEADER
    before, between, after = [dumped(crash.again(path, crash.wal[:at])) for at in (first, *crash.bounds[-2:])]
    assert before != between != after
    crash.again(path, crash.wal)
    cuts = 0
    for length in range(crash.bounds[-1], first - 1, -1):
        os.truncate(wal, length)
        expected = after if length == crash.bounds[-1] else between if length >= crash.bounds[-2] else before
        assert dumped(path) == expected, f"cut at byte {length}"
        cuts += 1
    assert cuts == crash.bounds[-1] - first + 1 > 2 * FRAME
    print(f"{cuts} cuts")


async def test_a_journal_that_was_cut_is_opened_and_written_on_where_the_history_ends(crash: Crash) -> None:
    first = crash.bounds[-3] if len(crash.bounds) > 2 else HEADER
    frames = range(first, crash.bounds[-1] + 1, FRAME)
    for length in sorted({max(HEADER, cut) for frame in frames for cut in (frame - 1, frame, frame + 1, frame + 700)}):
        path = crash.again(crash.path.with_name("on.db"), crash.wal[:length])
        expected = looked_at(path)
        journal = SqliteJournal(path)
        shard, memory = await opened(journal, SHARD)
        assert memory == {one.key: one.value for one in expected if one.topic == STATE}
        await shard.commit([Put(EVENTS, b"prod", b"next")])
        read = events(await everything(journal, *TOPICS))
        assert read[:-1] == events(expected)
        assert (read[-1].value, read[-1].offset) == (b"next", len(read) - 1)
        await journal.close()


async def test_sectors_that_never_reached_the_disk_undo_whole_transactions(crash: Crash) -> None:
    """The order in which a disk writes is its own: each 512 bytes of the last two transactions are lost alone."""
    allowed = stages(crash)
    first = crash.bounds[-3] if len(crash.bounds) > 2 else HEADER
    path = crash.path.with_name("sector.db")
    found = []
    for at in range(first - first % 512, len(crash.wal), 512):
        start, end = max(at, first), min(at + 512, len(crash.wal))
        for filling in (bytes(end - start), os.urandom(end - start)):
            torn = crash.wal[:start] + filling + crash.wal[end:]
            read = looked_at(crash.again(path, torn))
            expected = allowed[2] if torn == crash.wal else allowed[1] if start >= crash.bounds[-2] else allowed[0]
            assert read == expected, f"sector at {start}"
            found.append(allowed.index(read))
    assert {0, 1} <= set(found)


async def test_a_checkpoint_that_was_cut_off_loses_nothing(crash: Crash) -> None:
    """Pages go from the WAL into the database one by one; until all are there and synced, the WAL stays."""
    after = stages(crash)[2]
    path = crash.again(crash.path.with_name("checkpoint.db"), crash.wal)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    done, before = path.read_bytes(), crash.path.read_bytes()
    assert done != before
    for cut in range(0, len(done) + 1, 512):
        for torn in (done[:cut] + before[cut:], before[:cut] + done[cut:]):
            crash.again(path, crash.wal)
            path.write_bytes(torn)
            assert looked_at(path) == after, f"checkpointed up to {cut}"
