"""The one writer of the embedded journal: its lock, its connection, and its thread, where work is done in order."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from certstream.core.errors import Fatal
from certstream.core.wire import STATE, Put, Stored
from certstream.journal import sqlite_rows as rows
from certstream.journal.copying_records import Mark, refuse_incomplete
from certstream.journal.ownership import Claim, Row
from certstream.journal.sqlite_file import Layout, Lock, connect, identity, prepare, transaction
from certstream.ports import JournalAway

T = TypeVar("T")


class Writer:
    """Takes the lock and makes the file with the first piece of work. What is cancelled may still be done, but before
    whatever is asked for next. Every method raises sqlite3.Error, Fenced (the lock was lost), Fatal, JournalAway."""

    def __init__(self, path: Path, layout: Layout, *, patience: float, now: Callable[[], int]) -> None:
        self.path = path
        self._layout = layout
        self._patience = patience
        self._now = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._lock: Lock | None = None
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._closed = False
        self._forgotten: dict[int, int] = {}
        """partition → when the last record past its retention went, Unix milliseconds"""

    @property
    def locked(self) -> bool:
        """Whether this process is the writer."""
        return self._lock is not None

    async def claim(self, claim: Claim) -> tuple[Row | None, int]:
        """Write an ownership row. Returns the one before, and the offset after the new one."""
        return await self._run(partial(self._claim, claim))

    async def commit(self, partition: int, puts: Sequence[Put]) -> int | None:
        """All of `puts` or none. Returns the offset after the last of them in `state`, None where there was none."""
        return await self._run(partial(self._commit, partition, puts))

    async def check(self) -> None:
        """See that lock and file are still the ones that were opened."""
        await self._run(lambda db: None)

    async def reopen(self) -> None:
        """Begin again with what is on the disk."""
        await self._run(lambda db: self._disconnect())
        await self.check()

    async def state(self, partition: int, start: int, end: int | None, limit: int) -> Sequence[Stored]:
        """At most `limit` records of `state` with offsets from `start` and below `end`, in order."""
        return await self._run(lambda db: rows.select(db, self._layout.prefix, (STATE, partition), start, end, limit))

    async def close(self) -> None:
        """Let another process write, after what is under way."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
            self._thread.shutdown(wait=False)

    async def _run(self, task: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise RuntimeError("the journal was closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: task(self._connection()))

    async def hold(self) -> None:
        """Take the lock of a journal that is there, and write nothing: nobody else writes until `close`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._hold)

    def _hold(self) -> None:
        if not self.path.exists():
            raise Fatal(f"there is no journal at {self.path}")
        if self._lock is None:
            self._lock, self._file = Lock.take(self.path), identity(self.path)

    def _claim(self, claim: Claim, db: sqlite3.Connection) -> tuple[Row | None, int]:
        before = rows.newest(db, self._layout.prefix, claim.shard, claim.key)
        self._forgotten.pop(claim.shard, None)
        end = self._commit(claim.shard, [claim.put()], db)
        assert end is not None, "the ownership row is in `state`"
        return (None if before is None else Row.read(before)), end

    def _commit(self, partition: int, puts: Sequence[Put], db: sqlite3.Connection) -> int | None:
        """Whatever is past its retention goes with it: a step at the opening, then each day, until none is left."""
        now, due = self._now(), False
        with transaction(db):
            if now - self._forgotten.get(partition, -rows.DAY_MS) >= rows.DAY_MS:
                due = not rows.forget(db, self._layout.prefix, partition, now)
            end = rows.insert(db, self._layout.prefix, partition, puts, now)
        if due:
            self._forgotten[partition] = now
        return end

    def _connection(self) -> sqlite3.Connection:
        if self._lock is None:
            lock = Lock.take(self.path)
            try:
                self._connect("rwc", begun=lock.made and self.path.exists())
                lock.mark_made()
            except BaseException:
                lock.release()
                raise
            self._lock, self._file = lock, identity(self.path)
        self._lock.check()
        if identity(self.path) != self._file:
            # Writing on would fill a file that nobody can open, or one that knows nothing of what was committed.
            raise JournalAway(f"the journal {self.path} was removed or replaced while in use: put it back, or restart")
        return self._db or self._connect("rw", begun=True)

    def _connect(self, mode: Literal["rw", "rwc"], *, begun: bool) -> sqlite3.Connection:
        db = connect(self.path, mode, patience=self._patience)
        try:
            prepare(db, self.path, self._layout, begun=begun)
            if mode == "rwc":  # whoever copies into it began when it was empty
                for number in range(self._layout.partitions):
                    key = Mark.key(number)
                    refuse_incomplete(key, rows.newest(db, self._layout.prefix, number, key))
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _let_go(self) -> None:
        self._disconnect()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
