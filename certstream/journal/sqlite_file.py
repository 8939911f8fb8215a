"""The file of the embedded journal: its schema, its connections, and the lock that admits one writer."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

from certstream.core.errors import Fatal
from certstream.ports import Fenced, JournalAway

VERSION = 1
"""`user_version` of the schema. A newer one was written by a newer certstream and is not touched."""

_SCHEMA = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- The next offset of each partition. Offsets are never used twice, whatever compaction removes.
CREATE TABLE ends (topic TEXT, "partition" INTEGER, next INTEGER NOT NULL,
  PRIMARY KEY (topic, "partition")) WITHOUT ROWID;

-- Topics that keep everything.
CREATE TABLE log (topic TEXT NOT NULL, "partition" INTEGER NOT NULL, offset INTEGER NOT NULL,
  timestamp INTEGER NOT NULL, key BLOB NOT NULL, value BLOB, headers BLOB);
CREATE UNIQUE INDEX log_offset ON log (topic, "partition", offset);

-- Compacted topics: the newest record of each key. A record without a value stays for a week, for readers that follow.
CREATE TABLE latest (topic TEXT NOT NULL, "partition" INTEGER NOT NULL, offset INTEGER NOT NULL,
  timestamp INTEGER NOT NULL, key BLOB NOT NULL, value BLOB, headers BLOB);
CREATE UNIQUE INDEX latest_key ON latest (topic, "partition", key);
CREATE UNIQUE INDEX latest_offset ON latest (topic, "partition", offset);
CREATE INDEX latest_deleted ON latest (timestamp) WHERE value IS NULL;
"""


class Lock:
    """The right to write, held by this process until `release` or its death (flock on `<path>.lock`)."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, journal: Path) -> Self:
        """Raises Fatal with the process id of the writer that has it, or with why the file cannot be made."""
        path = journal.with_name(journal.name + ".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise Fatal(f"the journal {journal} cannot be locked: {error}; make its folder writable") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except BlockingIOError as error:
            pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise Fatal(
                f"the journal {journal} is being written by process {pid}: stop that one first, or use another file"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise Fatal(f"the journal {journal} cannot be locked: {error}") from error
        return cls(path, descriptor)

    def check(self) -> None:
        """Raises Fenced when the lock file was removed or replaced: somebody else may then hold the new one."""
        if identity(self._path) != identity(self._descriptor):
            raise Fenced(f"{self._path} was removed or replaced, so another process may be writing the journal")

    def release(self) -> None:
        """Let another process write. The file stays: removing it would let two processes in."""
        os.close(self._descriptor)


def identity(file: Path | int) -> tuple[int, int] | None:
    """Device and inode of a path or descriptor, None where nothing is there."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file was made with, and can only be used with."""

    partitions: int
    prefix: str


def connect(path: Path, mode: Literal["ro", "rw", "rwc"], *, patience: float) -> sqlite3.Connection:
    """A connection in autocommit mode, usable from any one thread at a time. Mode `rwc` makes the file. `patience`, in
    seconds: how long to wait for somebody else's lock. Raises sqlite3.Error."""
    uri = f"file:{quote(str(path))}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None, check_same_thread=False)
    if mode != "ro":
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
        except BaseException:
            db.close()
            raise
    return db


def prepare(db: sqlite3.Connection, path: Path, layout: Layout) -> None:
    """Make the schema in a new file; check an old one. Raises Fatal as `check` does, sqlite3.Error."""
    with transaction(db):
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            settings = [("partitions", str(layout.partitions)), ("prefix", layout.prefix)]
            db.executemany("INSERT INTO setting VALUES (?, ?)", settings)
            db.execute(f"PRAGMA user_version = {VERSION}")
        check(db, path, layout)


def check(db: sqlite3.Connection, path: Path, layout: Layout) -> bool:
    """Whether a file holds a journal already. Raises Fatal when it is a newer certstream's, or made otherwise."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise Fatal(
            f"the journal {path} has version {version}, this certstream knows {VERSION}: use a newer certstream"
        )
    if version == 0:
        return False
    settings = dict(db.execute("SELECT name, value FROM setting"))
    found = Layout(partitions=int(settings["partitions"]), prefix=settings["prefix"])
    if found != layout:
        raise Fatal(
            f"the journal {path} was made with {found.partitions} partitions and prefix {found.prefix!r}, not with"
            f" {layout.partitions} and {layout.prefix!r}: neither can be changed, use another file"
        )
    return True


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All that is written inside, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite may have rolled back by itself
            try:
                db.execute("ROLLBACK")
            except sqlite3.Error:
                db.close()  # the next connection finds it undone
        raise


def told(error: sqlite3.Error, path: Path) -> str:
    """What went wrong, and how to mend it."""
    text = str(error)
    hints = {
        sqlite3.SQLITE_FULL: "the disk is full: make room",
        sqlite3.SQLITE_BUSY: "another program holds it locked: close that program",
        sqlite3.SQLITE_LOCKED: "another program holds it locked: close that program",
        sqlite3.SQLITE_READONLY: "the file or its folder is read-only: make both writable",
        sqlite3.SQLITE_CANTOPEN: "the file cannot be opened: make its folder, and make both readable and writable",
        sqlite3.SQLITE_IOERR: "the disk does not do what it is told: look at its space, quota and health",
        sqlite3.SQLITE_NOTADB: "the file is not a journal: use another one",
        sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a copy, or begin a new one",
    }
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    hint = f"; {hints[code]}" if code in hints else ""
    return f"the journal {path}: {text}{hint}"


def away(error: sqlite3.Error, path: Path) -> Fatal | JournalAway:
    """What to raise when the journal cannot be opened: Fatal where another try is of no use."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    hopeless = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
    return Fatal(told(error, path)) if code in hopeless else JournalAway(told(error, path))
