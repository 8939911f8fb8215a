"""One shard of the embedded journal."""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Sequence

from certstream.core.errors import Fatal
from certstream.core.wire import Put
from certstream.journal.ownership import OWNED_SECONDS, Claim, boot_time, own
from certstream.journal.sqlite_file import told
from certstream.journal.sqlite_writer import Writer
from certstream.ports import Apply, Fenced, JournalAway, JournalDoubt, Opened

log = logging.getLogger(__name__)

_CHUNK = 1_000
"""Rows that are restored at once."""


class SqliteShard:
    """Implements `ports.Shard`. `_position` is the next offset of `state` to be read after a doubt."""

    def __init__(self, writer: Writer, claim: Claim, opened: Opened, apply: Apply) -> None:
        self._writer = writer
        self._claim = claim
        self._opened = opened
        self._apply = apply
        self._position = 0
        self._doubt = False
        self._lost: str | None = None
        self._closed = False
        self._verified = boot_time()

    @property
    def number(self) -> int:
        """The partition of every topic that this shard writes."""
        return self._claim.shard

    @property
    def opened(self) -> Opened:
        """What opening it found about the owner before."""
        return self._opened

    def owned_until(self) -> float:
        """Five seconds after the lock was last seen to be ours: its file can be removed, and another one locked."""
        good = self._writer.locked and not self._closed and not self._lost
        return self._verified + OWNED_SECONDS if good else -math.inf

    async def commit(self, puts: Sequence[Put]) -> None:
        """One transaction. JournalDoubt after any failure (disk full, locked, …); cancelled, it is in doubt too."""
        self._usable()
        if puts:
            await self._write(puts)

    async def verify(self) -> None:
        """See that the lock is still ours; nothing is written."""
        self._usable()
        began = boot_time()
        try:
            await self._writer.check()
            self._verified = began
        except sqlite3.Error as error:
            raise JournalDoubt(told(error, self._writer.path)) from error
        except JournalAway as error:
            raise JournalDoubt(str(error)) from error
        except Fenced as error:
            self._lost = str(error)
            raise

    async def resume(self) -> None:
        """Open the file anew and read `state` on. Raises JournalAway (try again later), Fenced."""
        self._check()
        try:
            await self._writer.reopen()
            await self.restore(None, deleted=True)
        except sqlite3.Error as error:
            raise JournalAway(told(error, self._writer.path)) from error
        except Fenced as error:
            self._lost = str(error)
            raise
        except Fatal as error:
            raise JournalAway(str(error)) from error
        self._doubt = False

    async def restore(self, end: int | None, *, deleted: bool) -> None:
        """Apply the rows of `state` that were not applied yet, those below offset `end`; with `deleted` tombstones
        too. Raises sqlite3.Error."""
        while True:
            found = await self._writer.state(self.number, self._position, end, _CHUNK)
            for record in found:
                if not own(record.key) and (deleted or record.value is not None):
                    self._apply(record.key, record.value)
                self._position = record.offset + 1
            if len(found) < _CHUNK:
                return

    async def reread(self, apply: Apply) -> None:
        """All live rows below the position again. Raises JournalAway, Fatal."""
        self._check()
        at, end = 0, self._position
        try:
            while at < end:
                found = await self._writer.state(self.number, at, end, _CHUNK)
                for record in found:
                    if not own(record.key) and record.value is not None:
                        apply(record.key, record.value)
                at = found[-1].offset + 1 if len(found) == _CHUNK else end
        except sqlite3.Error as error:
            raise JournalAway(told(error, self._writer.path)) from error

    async def close(self, *, release: bool) -> None:
        """Give the shard up. The release is not written when there is a doubt: the successor then waits."""
        if self._closed:
            return
        try:
            if release and not self._doubt and not self._lost:
                await self._write([self._claim.put(released=True)])
        except (JournalDoubt, Fenced) as error:
            log.warning("journal.shard_not_released", extra={"shard": self.number, "reason": str(error)})
        finally:
            self._closed = True

    async def _write(self, puts: Sequence[Put]) -> None:
        self._doubt = True
        began = boot_time()
        try:
            end = await self._writer.commit(self.number, puts)
            self._verified = began
        except sqlite3.Error as error:
            raise JournalDoubt(told(error, self._writer.path)) from error
        except JournalAway as error:
            raise JournalDoubt(str(error)) from error
        except Fenced as error:
            self._lost = str(error)
            raise
        self._doubt = False
        if end is not None:
            self._position = end

    def _usable(self) -> None:
        self._check()
        if self._doubt:
            raise JournalDoubt(f"shard {self.number}: a commit is in doubt; resume first")

    def _check(self) -> None:
        if self._lost:
            raise Fenced(self._lost)
        if self._closed:
            raise RuntimeError(f"shard {self.number} was closed")
