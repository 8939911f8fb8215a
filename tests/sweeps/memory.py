"""A journal in memory, which never fails: what it was given, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import NamedTuple

from certstream.core.wire import STATE, Put, Stored
from certstream.ports import Apply, Opened
from tests.simulation.loop import running


class Kept(NamedTuple):
    """A record and when it was committed, seconds from the beginning."""

    at: float
    put: Put


class Memory:
    """Implements `ports.Journal` and `ports.Shard`, for one process after the other. `latency` of a commit, seconds."""

    partitions = 1
    number = 0

    def __init__(self, *, latency: float = 0.0) -> None:
        self.kept: list[Kept] = []
        self.opened = Opened(previous=False, released=False)
        self._latency = latency

    async def start(self) -> None: ...

    async def open(self, shard: int, apply: Apply) -> Memory:
        rows = {put.key: put.value for _, put in self.kept if put.topic == STATE}
        for key, value in rows.items():
            if value is not None:
                apply(key, value)
        self.opened = Opened(previous=bool(rows), released=False)
        return self

    def owned_until(self) -> float:
        return float("inf")

    async def commit(self, puts: Sequence[Put]) -> None:
        if self._latency:
            await asyncio.sleep(self._latency)
        now = running().now
        self.kept += [Kept(now, put) for put in puts]

    async def verify(self) -> None: ...

    async def resume(self) -> None: ...

    async def reread(self, apply: Apply) -> None: ...

    async def close(self, *, release: bool = False) -> None: ...

    async def read(
        self, topics: Sequence[str], *, start: Mapping[tuple[str, int], int] | None = None, follow: bool = False
    ) -> AsyncGenerator[Stored, None]:
        for offset, (at, put) in enumerate(self.kept):
            if put.topic in topics:
                yield Stored(put.topic, 0, offset, int(at * 1000), put.key, put.value, put.headers)

    async def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        return {(topic, 0): len(self.kept) for topic in topics}
