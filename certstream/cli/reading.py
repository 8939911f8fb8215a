"""Reading a journal from the outside: what `tail`, `inventory` and `demo` share."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from certstream.config import Config
from certstream.core.wire import EVENTS, INVENTORY, Stored
from certstream.ports import Journal


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Journal]:
    """The journal, connected, for reading; a running service is not disturbed. Raises JournalAway, Fatal."""
    from certstream.app import build_journal  # late: with it come aiokafka and cryptography, which `--help` needs not

    journal = build_journal(config)
    try:
        await journal.start()
        yield journal
    finally:
        await journal.close()


def say_if_missing(config: Config) -> None:
    """An embedded journal that is not there reads as empty: say so, lest a wrong path be taken for no events."""
    path = config.journal_path
    if path is not None and not path.exists():
        print(f"certstream: there is no journal at {path} yet; certstream run makes it", file=sys.stderr)


async def events(journal: Journal, *, beginning: bool, follow: bool = True) -> AsyncGenerator[Stored, None]:
    """Committed events, per account in order: all of them, or only what comes from now on."""
    start = None if beginning else await journal.ends([EVENTS])
    async for stored in journal.read([EVENTS], start=start, follow=follow):
        if stored.value is not None:
            yield stored


async def present(journal: Journal) -> dict[bytes, dict[str, Any]]:
    """The fold of `inventory`: key → the latest value, without what was deleted."""
    rows: dict[bytes, dict[str, Any]] = {}
    async for stored in journal.read([INVENTORY]):
        if stored.value is None:
            rows.pop(stored.key, None)
        else:
            rows[stored.key] = orjson.loads(stored.value)
    return rows
