"""A process that writes to a journal and is killed in the middle: `python -m tests.journal.victim sqlite|kafka …`.

It commits two rows of shard 1, then begins a third commit, of which everything is written but the end, and dies of
`kill -9`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from certstream.core.wire import EVENTS, STATE, Put
from certstream.journal.kafka import KafkaConfig, KafkaJournal
from certstream.journal.kafka_shard import KafkaShard
from certstream.journal.sqlite import SqliteJournal
from certstream.journal.sqlite_shard import SqliteShard
from certstream.journal.sqlite_writer import Writer


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    """Open, commit, die."""
    journal: SqliteJournal | KafkaJournal
    if sys.argv[1] == "sqlite":
        journal = SqliteJournal(Path(sys.argv[2]), partitions=3)
    else:
        journal = KafkaJournal(KafkaConfig(bootstrap=sys.argv[2], prefix=sys.argv[3]))
    await journal.start()
    shard = await journal.open(1, lambda key, value: None)
    await shard.commit([Put(EVENTS, b"a", b"1"), Put(STATE, b"a", b"1")])
    await shard.commit([Put(EVENTS, b"a", b"2"), Put(STATE, b"a", b"2")])
    _arm(shard)
    await shard.commit([Put(EVENTS, b"a", b"3"), Put(STATE, b"a", b"3")])


def _arm(shard: SqliteShard | KafkaShard) -> None:
    if isinstance(shard, KafkaShard):
        client: Any = shard._producer._client  # type: ignore[union-attr]

        async def commit_transaction() -> None:
            _die()

        client.commit_transaction = commit_transaction
    else:
        writer: Any = shard._writer

        def commit(partition: int, puts: Any, db: sqlite3.Connection) -> None:
            db.set_trace_callback(lambda statement: _die() if statement == "COMMIT" else None)
            Writer._commit(writer, partition, puts, db)

        writer._commit = commit


if __name__ == "__main__":
    asyncio.run(main())
