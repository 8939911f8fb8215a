"""Disks that are full, files that may not be written, files that are damaged: nothing is half done, and the message
says how to mend it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from certstream.core.errors import Fatal
from certstream.core.wire import EVENTS, STATE, Put, kind_topic
from certstream.journal import sqlite_file, sqlite_writer
from certstream.journal.layout import TOPICS
from certstream.journal.sqlite import SqliteJournal
from certstream.ports import JournalAway, JournalDoubt
from tests.journal.places import SqlitePlace
from tests.journal.reading import everything, opened, values
from tests.service.world import living

NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    """A file that is not there yet."""
    return SqlitePlace(tmp_path / "certstream.db")


def script(body: str, *words: str) -> list[Any]:
    """What another process prints, a JSON value a line. The modules are loaded before it does anything."""
    head = (
        "import asyncio, json, os, resource, sys\n"
        "from pathlib import Path\n"
        "from certstream.core.errors import CertstreamError\n"
        "from certstream.core.wire import EVENTS, STATE, Put\n"
        "from certstream.journal.sqlite import SqliteJournal\n"
        "from certstream.ports import JournalDoubt\n"
        "asyncio.run(asyncio.sleep(0))\n"
    )
    done = subprocess.run([sys.executable, "-c", head + body, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- Full ----------------------------------------------------------------------------------------------------------

FULL = """
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main(path, size):
    journal = SqliteJournal(path)
    shard = await journal.open(3, lambda key, value: None)
    for n in range(3):
        await shard.commit([Put(EVENTS, b"a", b"%d " % n + bytes(3000)), Put(STATE, b"a", b"%d" % n)])
    done, told, resumed = 3, "", ""
    limit(size)
    while not told and done < 200:
        try:
            await shard.commit([Put(EVENTS, b"a", b"%d " % done + bytes(3000)), Put(STATE, b"a", b"%d" % done)])
            done += 1
        except JournalDoubt as error:
            told = str(error)
    try:
        await shard.resume()
        await shard.commit([Put(EVENTS, b"a", bytes(2000000))])
    except CertstreamError as error:
        resumed = str(error)
    limit(resource.RLIM_INFINITY)
    await shard.resume()
    await shard.commit([Put(EVENTS, b"a", b"%d " % done), Put(STATE, b"a", b"%d" % done)])
    await shard.close(release=True)
    await journal.close()
    print(json.dumps([done, told, resumed]))

for number, size in enumerate(json.loads(sys.argv[2])):
    asyncio.run(main(Path(sys.argv[1]) / f"{number}.db", size))
"""


async def test_no_file_can_grow_any_more_and_every_commit_was_whole_or_never_was(tmp_path: Path) -> None:
    sizes = [60_000, 64_000, *range(70_000, 130_000, 7_001), 400_000]
    for number, (done, told, resumed) in enumerate(script(FULL, str(tmp_path), json.dumps(sizes))):
        assert "look at its space" in told or "make room" in told
        assert "look at its space" in resumed or "make room" in resumed
        journal = SqliteJournal(tmp_path / f"{number}.db")
        events = [int(value.split()[0]) for value in await values(journal, EVENTS) if value is not None]
        assert events == list(range(done + 1))
        _, memory = await opened(journal, 3)
        assert memory == {b"a": b"%d" % done}
        await journal.close()


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pages that a database may have, from the next connection of a writer on; empty: as many as it likes."""
    pages: list[int] = []

    def connect(path: Path, mode: Literal["ro", "rw", "rwc"], *, patience: float) -> sqlite3.Connection:
        db = real(path, mode, patience=patience)
        if pages:
            db.execute(f"PRAGMA max_page_count = {pages[0]}")
        return db

    real = sqlite_file.connect
    monkeypatch.setattr(sqlite_writer, "connect", connect)
    return pages


async def test_a_disk_that_is_full_when_the_journal_is_opened_is_away_and_not_beyond_help(
    place: SqlitePlace, room: list[int]
) -> None:
    room.append(3)
    with pytest.raises(JournalAway, match="the disk is full: make room"):
        await place.journal().open(1, lambda key, value: None)
    room.clear()
    journal = place.journal()
    shard, _ = await opened(journal)
    await shard.commit([Put(EVENTS, b"a", b"1")])
    await journal.close()


async def test_a_database_without_room_fails_commits_whole_until_there_is_some(
    place: SqlitePlace, room: list[int]
) -> None:
    room.append(20)
    journal = place.journal()
    shard, _ = await opened(journal)
    done, told = 0, ""
    while not told:
        try:
            await shard.commit([Put(EVENTS, b"a", b"%d" % done + bytes(3000)), Put(STATE, b"a", b"%d" % done)])
            done += 1
        except JournalDoubt as error:
            told = str(error)
    assert "the disk is full: make room" in told
    assert done > 2
    for _ in range(3):
        await shard.resume()
        with pytest.raises(JournalDoubt, match="the disk is full"):
            await shard.commit([Put(STATE, b"a", b"lost"), Put(EVENTS, b"a", bytes(100_000))])
    room.clear()
    await shard.resume()
    await shard.commit([Put(EVENTS, b"a", b"%d" % done), Put(STATE, b"a", b"%d" % done)])
    assert [int(value.strip(b"\0")) for value in await values(journal, EVENTS) if value] == list(range(done + 1))
    assert await values(journal, STATE) == [b"%d" % done]
    await journal.close()


async def test_the_service_says_that_the_disk_is_full_retries_and_tells_everything_once(
    tmp_path: Path, room: list[int]
) -> None:
    async with living(tmp_path, certificates=3) as world:
        assert world.service is not None
        journal: Any = world.service.journal
        # The pages that it has, and not one more.
        room.append(1)
        journal._writer._db.execute("PRAGMA max_page_count = 1")
        issued = [world.simulator.issue() for _ in range(4)]
        service, said = world.service, list[dict[str, Any]]()

        def away() -> bool:
            said.append(service.status()["journal"])  # between two tries it is away, and readable in between
            return bool(said[-1]["state"] == "away")

        await world.until("it says so", away)
        assert "the disk is full: make room" in said[-1]["reason"]
        before = len(world.said("journal.doubt"))
        await world.until("it tries again", lambda: len(world.said("journal.doubt")) > before)
        room.clear()
        for one in issued:
            await world.event("certificate.new", one)
        await world.until("it is well again", lambda: service.status()["journal"] == {"state": "ok"})
        await world.sweeps()


# --- May not be written --------------------------------------------------------------------------------------------

WRITE = """
async def main(path):
    journal = SqliteJournal(path)
    try:
        shard = await journal.open(3, lambda key, value: None)
        await shard.commit([Put(EVENTS, b"a", b"2")])
    except CertstreamError as error:
        print(json.dumps([type(error).__name__, str(error)]))
    else:
        print(json.dumps(["", ""]))
    await journal.close()

if os.geteuid() == 0:  # who may write everything
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder that an unprivileged user has."""
    folder = Path(tempfile.mkdtemp(prefix="certstream-"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


async def made(path: Path) -> None:
    """A journal with one event, given to the unprivileged user."""
    journal = SqliteJournal(path)
    shard, _ = await opened(journal, 3)
    await shard.commit([Put(EVENTS, b"a", b"1")])
    await journal.close()
    if os.geteuid() == 0:
        for file in path.parent.iterdir():
            os.chown(file, NOBODY, NOBODY)


@pytest.mark.parametrize(
    ("file", "folder", "lock", "said"),
    [
        (0o644, 0o755, 0o644, ""),
        (0o444, 0o755, 0o644, "the file or its folder is read-only: make both writable"),
        (0o000, 0o755, 0o644, "the file cannot be opened: make its folder, and make both readable and writable"),
        (0o644, 0o555, 0o644, "make .*both.* writable"),
        (0o644, 0o755, 0o444, r"cannot be locked: .*; make its folder, and make it writable"),
        (None, 0o555, None, r"cannot be locked: .*; make its folder, and make it writable"),
    ],
)
def test_what_may_not_be_written_is_told_with_what_to_do(
    theirs: Path, file: int | None, folder: int, lock: int | None, said: str
) -> None:
    path = theirs / "certstream.db"
    if file is not None and lock is not None:
        asyncio.run(made(path))
        path.chmod(file)
        path.with_name("certstream.db.lock").chmod(lock)
    theirs.chmod(folder)
    [(kind, text)] = script(WRITE, str(path), str(NOBODY))
    assert kind == ("Fatal" if said else "")
    theirs.chmod(0o755)
    if said:
        assert re.search(said, text), text
        assert str(path) in text
    if file is not None:
        path.chmod(0o644)
        assert asyncio.run(values(SqliteJournal(path), EVENTS)) == ([b"1"] if said else [b"1", b"2"])


# --- Damaged -------------------------------------------------------------------------------------------------------


async def filled(place: SqlitePlace) -> list[Any]:
    """A journal of some pages, closed; what it holds."""
    journal = place.journal()
    shard, _ = await opened(journal)
    for n in range(60):
        headers = (("ce_id", b"%d" % n),)
        puts = [Put(topic, b"a/%d" % n, b"%d " % n * 90, headers) for topic in (EVENTS, kind_topic("new"), STATE)]
        await shard.commit(puts)
    await shard.close(release=True)
    await journal.close()
    return await everything(place.journal(), *TOPICS)


async def reading(place: SqlitePlace) -> list[Any] | str:
    """What a reader finds, or why it finds nothing."""
    try:
        return await everything(place.journal(), *TOPICS)
    except Fatal as error:
        return str(error)


async def opening(place: SqlitePlace) -> str:
    """Why a service cannot open it; empty where it can."""
    journal = place.journal()
    try:
        shard = await journal.open(1, lambda key, value: None)
        await shard.close(release=False)
    except Fatal as error:
        return str(error)
    finally:
        await journal.close()
    return ""


async def test_a_file_that_was_cut_off_anywhere_is_refused_and_never_taken_for_a_shorter_history(
    place: SqlitePlace,
) -> None:
    await filled(place)
    whole = place.path.read_bytes()
    assert len(whole) > 20 * 4096
    lengths = {0, 1, 15, 16, 99, 100, 511, *range(512, len(whole), 1536), len(whole) - 1}
    for length in sorted(lengths):
        place.path.write_bytes(whole[:length])
        for found in (await opening(place), await reading(place)):
            assert found or found == [], f"{length} bytes were opened"
            assert isinstance(found, str), f"{length} bytes were read"
            assert "restore a copy" in found or "not a journal: use another" in found, found
        assert place.path.read_bytes() == whole[:length], "it was changed"


async def test_a_page_of_garbage_is_refused_or_holds_nothing(place: SqlitePlace) -> None:
    wanted = await filled(place)
    whole = place.path.read_bytes()
    refused = 0
    for page in range(len(whole) // 4096):
        place.path.write_bytes(whole[: page * 4096] + b"\x5a" * 4096 + whole[(page + 1) * 4096 :])
        found = await reading(place)
        if isinstance(found, str):
            refused += 1
            assert "damaged: restore a copy" in found or "not a journal" in found, found
        else:
            assert found == wanted
        told = await opening(place)
        assert not told or "damaged: restore a copy" in told or "not a journal" in told, told
    assert refused > 0.8 * len(whole) / 4096


async def test_headers_that_cannot_be_read_are_damage(place: SqlitePlace) -> None:
    await filled(place)
    with sqlite3.connect(place.path) as db:
        db.execute("UPDATE log SET headers = X'C1' WHERE offset = 7")
    db.close()
    with pytest.raises(Fatal, match=r"headers of a record cannot be read .*damaged: restore a copy"):
        await everything(place.journal(), EVENTS)


async def test_a_damaged_file_in_the_middle_of_a_run_is_told_again_and_again(place: SqlitePlace) -> None:
    await filled(place)
    journal = place.journal()
    shard, _ = await opened(journal)
    size = place.path.stat().st_size
    with place.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\x5a" * (size - 4096))
    for _ in range(3):
        with pytest.raises(JournalAway, match="damaged: restore a copy"):
            await shard.resume()
    await journal.close()


async def test_the_database_of_another_program_is_left_alone(place: SqlitePlace) -> None:
    for version in (0, 1):
        with sqlite3.connect(place.path) as db:
            db.execute("CREATE TABLE IF NOT EXISTS theirs (x)")
            db.execute(f"PRAGMA user_version = {version}")
        db.close()
        before = place.path.read_bytes()
        with pytest.raises(Fatal, match="the database of some other program"):
            await place.journal().start()
        with pytest.raises(Fatal, match="use another file"):
            await place.journal().open(1, lambda key, value: None)
        assert place.path.read_bytes() == before


async def test_a_journal_that_was_removed_on_purpose_begins_again(place: SqlitePlace) -> None:
    await filled(place)
    place.path.unlink()
    journal = place.journal()
    shard, memory = await opened(journal)
    assert memory == {}
    assert not shard.opened.previous
    await journal.close()
