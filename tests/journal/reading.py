"""Words that the journal's tests share: opening with a memory, reading everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from certstream.core.wire import Put, Stored
from certstream.ports import Journal, Shard


class Memory(dict[bytes, bytes]):
    """What `apply` was told, folded; `calls` keeps every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[bytes, bytes | None]] = []

    def __call__(self, key: bytes, value: bytes | None) -> None:
        self.calls.append((key, value))
        if value is None:
            self.pop(key, None)
        else:
            self[key] = value


async def opened(journal: Journal, shard: int = 1) -> tuple[Shard, Memory]:
    """Start and open with a fresh memory."""
    memory = Memory()
    await journal.start()
    return await journal.open(shard, memory), memory


async def everything(
    journal: Journal, *topics: str, start: Mapping[tuple[str, int], int] | None = None
) -> list[Stored]:
    """All committed records of `topics` up to the present end."""
    return [record async for record in journal.read(topics, start=start)]


async def values(journal: Journal, *topics: str) -> list[bytes | None]:
    """Their values, ownership rows left out."""
    return [record.value for record in await everything(journal, *topics) if not record.key.startswith(b"~")]


def as_puts(records: Sequence[Stored]) -> list[Put]:
    """What was written to give these records."""
    return [Put(record.topic, record.key, record.value, record.headers) for record in records]
