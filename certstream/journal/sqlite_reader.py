"""A reader of the embedded journal: a connection that cannot write, and the thread that uses it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from certstream.core.errors import Fatal
from certstream.core.wire import Stored
from certstream.journal import sqlite_file
from certstream.journal import sqlite_rows as rows
from certstream.journal.sqlite_file import Layout, Lock, away, check, connect, lost

T = TypeVar("T")


class Reader:
    """Works in a thread of its own, so that `close` comes after a statement whose caller was cancelled: closing a
    connection that is in use crashes the process. Every method but `close` raises Fatal or JournalAway."""

    def __init__(self, path: Path, layout: Layout, *, patience: float) -> None:
        self._path = path
        self._layout = layout
        self._patience = patience
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self._db: sqlite3.Connection | None = None

    async def open(self, *, older: bool) -> bool:
        """Whether there is a journal. An older version's can be looked at (`older`), not read."""
        return await self._ask(lambda: self._open(older=older))

    async def version(self) -> int:
        """A number that changes with every commit."""
        return await self._ask(lambda: rows.version(self._connection()))

    async def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        """The next offset of each partition."""
        prefix, partitions = self._layout.prefix, self._layout.partitions
        return await self._ask(lambda: rows.ends(self._connection(), prefix, topics, partitions))

    async def select(self, part: tuple[str, int], start: int, end: int | None, limit: int) -> Sequence[Stored]:
        """At most `limit` records of one partition with offsets from `start` and below `end`, in order."""
        return await self._ask(lambda: rows.select(self._connection(), self._layout.prefix, part, start, end, limit))

    def close(self) -> None:
        """Let go of the file, after what is under way; nothing is waited for."""
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def _open(self, *, older: bool) -> bool:
        if not self._path.exists():
            return False
        begun = Lock.remembers(self._path)  # asked first: a writer may be making the journal at this moment
        self._db = connect(self._path, "ro", patience=self._patience)
        version = check(self._db, self._path, self._layout)
        if 0 < version < sqlite_file.VERSION and not older:
            raise Fatal(
                f"the journal {self._path} has version {version}, of an older certstream: start the service once, which"
                f" brings it to version {sqlite_file.VERSION} and keeps a copy"
            )
        if version == 0 and begun:
            raise lost(self._path)
        return version > 0

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _connection(self) -> sqlite3.Connection:
        assert self._db is not None, "`open` found a journal"
        return self._db

    async def _ask(self, task: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, task)
        except sqlite3.Error as error:
            raise away(error, self._path) from error
