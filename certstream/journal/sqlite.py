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
from pathlib import Path

from certstream.core.wire import Stored
from certstream.journal.layout import COMPACTED
from certstream.journal.ownership import Claim
from certstream.journal.sqlite_file import Layout, away
from certstream.journal.sqlite_reader import Reader
from certstream.journal.sqlite_shard import SqliteShard
from certstream.journal.sqlite_writer import Writer
from certstream.ports import Apply, Opened

__all__ = ["SqliteJournal"]

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
        """Look at the file, where there is one. Raises Fatal when it is not this journal's, or a newer certstream's. An
        older one's is brought up to date by the first `open`, which keeps a copy of it."""
        async with self._reader(older=True):
            pass

    async def hold(self) -> None:
        """Keep others from writing until `close`, and write nothing. Raises Fatal: there is none, or somebody writes
        (with the process id)."""
        await self._writer.hold()

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
        """Committed records. A file that is not there yet reads as empty, and with `follow` is waited for.

        A key of a compacted topic that is written again meanwhile comes with its newer record, beyond the present end.
        """
        at = {(topic, partition): 0 for topic in topics for partition in range(self.partitions)}
        at |= {part: offset for part, offset in (start or {}).items() if part in at}
        while True:
            async with self._reader() as reader:
                seen: int | None = None
                while reader is not None:
                    version = await reader.version()
                    if version != seen:
                        async with aclosing(_new(reader, topics, at)) as records:
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
        async with self._reader() as reader:
            if reader is None:
                return {(topic, partition): 0 for topic in topics for partition in range(self.partitions)}
            return await reader.ends(topics)

    async def close(self) -> None:
        """Let another process write. Commits that are under way are finished first."""
        await self._writer.close()

    @asynccontextmanager
    async def _reader(self, *, older: bool = False) -> AsyncIterator[Reader | None]:
        """A connection of its own that cannot write; None where there is no journal yet."""
        reader = Reader(self._path, self._layout, patience=self._patience)
        try:
            yield reader if await reader.open(older=older) else None
        finally:
            reader.close()


async def _new(reader: Reader, topics: Sequence[str], at: dict[tuple[str, int], int]) -> AsyncGenerator[Stored, None]:
    """Records from the offsets `at`, which move on, to the present end."""
    for part, end in (await reader.ends(topics)).items():
        # A record that is replaced moves to the end: a bound would hide both from a reader that is not there yet.
        bound = None if part[0] in COMPACTED else end
        while at[part] < end:
            found = await reader.select(part, at[part], bound, _CHUNK)
            for record in found:
                yield record
            reached = found[-1].offset + 1 if found else end
            at[part] = reached if len(found) == _CHUNK else max(reached, end)
