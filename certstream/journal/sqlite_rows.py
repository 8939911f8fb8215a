"""The statements of the embedded journal: writing a commit, reading records back. Called in worker threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from certstream.core.wire import STATE, Headers, Put, Stored
from certstream.journal.layout import COMPACTED

_WEEK_MS = 7 * 24 * 3600 * 1000
"""Tombstones are kept this long, as in Kafka (contract: Topics)."""

_INSERT = {
    "log": "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)",
    "latest": (
        'INSERT INTO latest VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (topic, "partition", key) DO UPDATE SET'
        " offset = excluded.offset, timestamp = excluded.timestamp, value = excluded.value, headers = excluded.headers"
    ),
}

_SELECT = (
    'SELECT offset, timestamp, key, value, headers FROM {table} WHERE topic = ? AND "partition" = ?'
    " AND offset >= ? AND offset < ? ORDER BY offset LIMIT ?"
)

Ends = dict[tuple[str, int], int]


def insert(db: sqlite3.Connection, prefix: str, partition: int, puts: Iterable[Put], timestamp: int) -> int | None:
    """Append `puts` inside of an open transaction; `timestamp` in Unix milliseconds. Returns the offset after the last
    of them in `state`, None where there was none."""
    ends: dict[str, int] = {}
    rows: dict[str, list[tuple[object, ...]]] = {"log": [], "latest": []}
    for put in puts:
        topic = prefix + put.topic
        if topic not in ends:
            ends[topic] = _end(db, topic, partition)
        headers = msgspec.msgpack.encode(put.headers) if put.headers else None
        rows[_table(put.topic)].append((topic, partition, ends[topic], timestamp, put.key, put.value, headers))
        ends[topic] += 1
    for table, values in rows.items():
        db.executemany(_INSERT[table], values)
    db.executemany(
        'INSERT INTO ends VALUES (?, ?, ?) ON CONFLICT (topic, "partition") DO UPDATE SET next = excluded.next',
        [(topic, partition, end) for topic, end in ends.items()],
    )
    return ends.get(prefix + STATE)


def sweep_tombstones(db: sqlite3.Connection, partition: int, now: int) -> None:
    """Forget deletions older than a week, inside of an open transaction. `now` in Unix milliseconds."""
    query = 'DELETE FROM latest WHERE value IS NULL AND timestamp < ? AND "partition" = ?'
    db.execute(query, (now - _WEEK_MS, partition))


def select(
    db: sqlite3.Connection, prefix: str, part: tuple[str, int], start: int, end: int, limit: int
) -> Sequence[Stored]:
    """At most `limit` records of one partition with offsets from `start` and below `end`, in order."""
    topic, partition = part
    query = _SELECT.format(table=_table(topic))
    found = db.execute(query, (prefix + topic, partition, start, end, limit)).fetchall()
    return [
        Stored(topic, partition, offset, timestamp, key, value, _headers(headers))
        for offset, timestamp, key, value, headers in found
    ]


def newest(db: sqlite3.Connection, prefix: str, partition: int, key: bytes) -> bytes | None:
    """The value of a key of `state`, None where there is none."""
    query = 'SELECT value FROM latest WHERE topic = ? AND "partition" = ? AND key = ?'
    row = db.execute(query, (prefix + STATE, partition, key)).fetchone()
    return None if row is None else row[0]


def version(db: sqlite3.Connection) -> int:
    """A number that changes with every commit of another connection."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def ends(db: sqlite3.Connection, prefix: str, topics: Sequence[str], partitions: int) -> Mapping[tuple[str, int], int]:
    """The next offset of each partition of `topics`, of one moment."""
    wanted = {(topic, partition): 0 for topic in topics for partition in range(partitions)}
    for topic, partition, end in db.execute('SELECT topic, "partition", next FROM ends'):
        part = (topic.removeprefix(prefix), partition)
        if part in wanted:
            wanted[part] = end
    return wanted


def _end(db: sqlite3.Connection, topic: str, partition: int) -> int:
    row = db.execute('SELECT next FROM ends WHERE topic = ? AND "partition" = ?', (topic, partition)).fetchone()
    return 0 if row is None else int(row[0])


def _table(topic: str) -> str:
    return "latest" if topic in COMPACTED else "log"


def _headers(value: bytes | None) -> Headers:
    return () if value is None else msgspec.msgpack.decode(value, type=Headers)
