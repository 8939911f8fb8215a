"""The file of the embedded journal: its schema, its connections, and the lock that admits one writer."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

from certstream.core.errors import Fatal
from certstream.journal.sqlite_migrate import migrate, put_aside
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
    """The right to write, held by this process until `release` or its death (flock on `<path>.lock`).

    The file holds the writer's process id, and below it `made` once there was a journal: an empty file then is a loss.
    """

    def __init__(self, path: Path, descriptor: int, *, made: bool) -> None:
        self._path = path
        self._descriptor = descriptor
        self.made = made

    @classmethod
    def take(cls, journal: Path) -> Self:
        """Raises Fatal with the process id of the writer that has it, or with why the file cannot be made; JournalAway
        where the disk is full."""
        path = journal.with_name(journal.name + ".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _unlockable(journal, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock = cls(path, descriptor, made=_MADE in os.pread(descriptor, 64, 0))
            lock._write()
        except BlockingIOError as error:
            pid = os.pread(descriptor, 32, 0).decode(errors="replace").partition("\n")[0] or "unknown"
            os.close(descriptor)
            raise Fatal(
                f"the journal {journal} is being written by process {pid}: stop that one first, or use another file"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise _unlockable(journal, error) from error
        return lock

    def mark_made(self) -> None:
        """Remember that there is a journal. Without room on the disk it is remembered the next time."""
        if not self.made:
            self.made = True
            with suppress(OSError):
                self._write()

    def check(self) -> None:
        """Raises Fenced when the lock file was removed or replaced: somebody else may then hold the new one."""
        if identity(self._path) != identity(self._descriptor):
            raise Fenced(f"{self._path} was removed or replaced, so another process may be writing the journal")

    def release(self) -> None:
        """Let another process write. The file stays: removing it would let two processes in."""
        os.close(self._descriptor)

    def _write(self) -> None:
        text = b"%d\n" % os.getpid() + (_MADE if self.made else b"")
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    @staticmethod
    def remembers(journal: Path) -> bool:
        """Whether a journal was made at this path, as the lock file says."""
        try:
            return _MADE in journal.with_name(journal.name + ".lock").read_bytes()
        except OSError:
            return False


_MADE = b"made\n"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def lost(path: Path) -> Fatal:
    """What to raise for a file without content where a journal was."""
    return Fatal(
        f"the journal {path} is empty, and was not: somebody cut it off, or the disk lost it; restore a copy, or remove"
        " it to begin a new history"
    )


def _unlockable(journal: Path, error: OSError) -> Fatal | JournalAway:
    if error.errno in _FULL:
        return JournalAway(f"the journal {journal} cannot be locked: the disk is full: make room")
    return Fatal(f"the journal {journal} cannot be locked: {error}; make its folder, and make it writable")


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
    return sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None, check_same_thread=False)


def prepare(db: sqlite3.Connection, path: Path, layout: Layout, *, begun: bool) -> None:
    """Make the schema in a new file; check an old one, and bring it to this version. `begun`: there was a journal in
    it. Raises Fatal as `check` does, or where nothing is left of what was begun; JournalAway where there is no room for
    the copy that is kept of an older file; sqlite3.Error."""
    found = check(db, path, layout)  # before anything is changed: it may be somebody else's
    if begun and found == 0:
        raise lost(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    if 0 < found < VERSION:
        put_aside(db, path, found)
    with transaction(db):
        if found == 0:
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            settings = [("partitions", str(layout.partitions)), ("prefix", layout.prefix)]
            db.executemany("INSERT INTO setting VALUES (?, ?)", settings)
            db.execute(f"PRAGMA user_version = {VERSION}")
        elif found < VERSION:
            migrate(db, found, VERSION)


def check(db: sqlite3.Connection, path: Path, layout: Layout) -> int:
    """The version of the journal in a file, 0 where there is none yet. Raises Fatal when it is a newer certstream's,
    was made otherwise, or is some other program's."""
    db.execute("BEGIN")  # of one moment: another process may be making it
    try:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        settings = dict(db.execute("SELECT name, value FROM setting")) if "setting" in tables else {}
        cut = _cut_off(db, path)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    if cut:
        raise Fatal(f"the journal {path} is cut off in its last page; the file is damaged: restore a copy")
    if version > VERSION:
        raise Fatal(
            f"the journal {path} has version {version}, this certstream knows {VERSION}: use a newer certstream"
        )
    if version == 0 and not tables:
        return 0
    if version == 0 or not {"partitions", "prefix"} <= settings.keys():
        raise Fatal(f"{path} is the database of some other program, not a journal: use another file")
    found = Layout(partitions=int(settings["partitions"]), prefix=settings["prefix"])
    if found != layout:
        raise Fatal(
            f"the journal {path} was made with {found.partitions} partitions and prefix {found.prefix!r}, not with"
            f" {layout.partitions} and {layout.prefix!r}: neither can be changed here; use another file, or"
            " `certstream journal copy`"
        )
    return version


def _cut_off(db: sqlite3.Connection, path: Path) -> bool:
    """SQLite counts a page of which a part is missing, and reads zeros there. With a WAL the rest may be in that."""
    pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return _size(path) < pages * size and _size(path.with_name(path.name + "-wal")) == 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


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
