"""The embedded journal: one SQLite file, one transaction per commit, one writer by lock file.

WAL and `synchronous=FULL`: what `commit` returned from survives the loss of power. Everything that writes happens in
one thread, in order (`sqlite_writer`); readers have connections of their own, also in other processes. Topics, keys,
offsets and bytes are as in Kafka, where only offsets have gaps (its transaction markers).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from certstream.core.wire import Stored
from certstream.journal import sqlite_rows as rows
from certstream.journal.ownership import Claim
from certstream.journal.sqlite_file import Layout, away, check, connect
from certstream.journal.sqlite_shard import SqliteShard
from certstream.journal.sqlite_writer import Writer
from certstream.ports import Apply, Opened

__all__ = ["SqliteJournal"]

T = TypeVar("T")

_CHUNK = 500
"""Records that are read and handed over at once."""
_POLL = 0.2
"""Seconds between two looks of a reader that follows."""


def _now() -> int:
    return time.time_ns() // 1_000_000


class SqliteJournal:
    """Implements `ports.Journal`. The file and the lock are made by the first `open`; reading takes no lock.

    `partitions` and `prefix` are fixed when the file is made. `patience`, in seconds, is how long a lock of some other
    program is waited for. `now` gives the records' timestamps, in Unix milliseconds.
    """

    def __init__(
        self,
        path: Path | str,
        partitions: int = 12,
        prefix: str = "certstream.",
        *,
        patience: float = 5.0,
        now: Callable[[], int] = _now,
    ) -> None:
        self._path = Path(path)
        self._layout = Layout(partitions, prefix)
        self._patience = patience
        self._writer = Writer(self._path, self._layout, patience=patience, now=now)

    @property
    def partitions(self) -> int:
        """Partitions of every topic."""
        return self._layout.partitions

    async def start(self) -> None:
        """Look at the file, where there is one. Raises Fatal when it is not this journal's, or a newer certstream's."""
        async with self._reader():
            pass

    async def open(self, shard: int, apply: Apply) -> SqliteShard:
        """Restore a shard; the first one takes the lock and makes the file. `apply` gets each live row of `state`.

        Raises Fatal (another process writes: with its id; or the file cannot be used), JournalAway.
        """
        if not 0 <= shard < self.partitions:
            raise ValueError(f"there is no shard {shard}: topics have {self.partitions} partitions")
        claim = Claim.make(shard)
        try:
            before, end = await self._writer.claim(claim)
            opened = Opened(previous=before is not None, released=before is not None and before.released)
            taken = SqliteShard(self._writer, claim, opened, apply)
            await taken.restore(end, deleted=False)
        except sqlite3.Error as error:
            raise away(error, self._path) from error
        return taken

    async def read(
        self, topics: Sequence[str], *, start: Mapping[tuple[str, int], int] | None = None, follow: bool = False
    ) -> AsyncGenerator[Stored, None]:
        """Committed records. A file that is not there yet reads as empty, and with `follow` is waited for."""
        at = {(topic, partition): 0 for topic in topics for partition in range(self.partitions)}
        at |= {part: offset for part, offset in (start or {}).items() if part in at}
        while True:
            async with self._reader() as db:
                seen: int | None = None
                while db is not None:
                    version = await self._ask(partial(rows.version, db))
                    if version != seen:
                        async with aclosing(self._new(db, topics, at)) as records:
                            async for record in records:
                                yield record
                    seen = version
                    if not follow:
                        return
                    await asyncio.sleep(_POLL)
            if not follow:
                return
            await asyncio.sleep(_POLL)

    async def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        """The next offset of each partition."""
        async with self._reader() as db:
            if db is None:
                return {(topic, partition): 0 for topic in topics for partition in range(self.partitions)}
            return await self._ask(partial(rows.ends, db, self._layout.prefix, topics, self.partitions))

    async def close(self) -> None:
        """Let another process write. Commits that are under way are finished first."""
        await self._writer.close()

    async def _new(
        self, db: sqlite3.Connection, topics: Sequence[str], at: dict[tuple[str, int], int]
    ) -> AsyncGenerator[Stored, None]:
        """Records from the offsets `at`, which move on, to the present end."""
        prefix = self._layout.prefix
        for part, end in (await self._ask(partial(rows.ends, db, prefix, topics, self.partitions))).items():
            while at[part] < end:
                found = await self._ask(partial(rows.select, db, prefix, part, at[part], end, _CHUNK))
                for record in found:
                    yield record
                at[part] = found[-1].offset + 1 if len(found) == _CHUNK else end

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[sqlite3.Connection | None]:
        """A connection of its own that cannot write; None where there is no journal yet."""
        db = await self._ask(self._open_reader)
        try:
            yield db
        finally:
            if db is not None:
                db.close()

    def _open_reader(self) -> sqlite3.Connection | None:
        if not self._path.exists():
            return None
        db = connect(self._path, "ro", patience=self._patience)
        try:
            there = check(db, self._path, self._layout)
        except BaseException:
            db.close()
            raise
        if not there:
            db.close()
            return None
        return db

    async def _ask(self, task: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(task)
        except sqlite3.Error as error:
            raise away(error, self._path) from error
