"""The statements of the embedded journal: writing a commit, reading records back. Called in worker threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from certstream.core.wire import QUARANTINE, STATE, Headers, Put, Stored, kind_topic
from certstream.journal.layout import COMPACTED, KINDS

DAY_MS = 24 * 3600 * 1000
TOMBSTONES_MS = 7 * DAY_MS
"""Tombstones are kept this long, as in Kafka (contract: Topics)."""
RETENTION_MS = {**{kind_topic(kind): 400 * DAY_MS for kind in KINDS}, QUARANTINE: 90 * DAY_MS}
"""Topic → how long its records are kept, as `retention.ms` in schemas/asyncapi.yaml; the others keep all of them."""
STEP = 1_000
"""Records of one topic that are forgotten in one transaction, at most."""

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

_FORGET = (
    "DELETE FROM log WHERE rowid IN (SELECT rowid FROM (SELECT rowid, timestamp FROM log"
    ' WHERE topic = ? AND "partition" = ? ORDER BY offset LIMIT ?) WHERE timestamp < ?)'
)
_FORGET_DELETED = (
    "DELETE FROM latest WHERE rowid IN (SELECT rowid FROM latest WHERE value IS NULL AND timestamp < ?"
    ' AND "partition" = ? LIMIT ?)'
)


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


def forget(db: sqlite3.Connection, prefix: str, partition: int, now: int) -> bool:
    """Delete what is older than its retention, inside of an open transaction; `now` in Unix milliseconds. At most
    `STEP` records of a topic, the oldest: True when more may be left. The file does not shrink: its room is used again.
    """
    counts = [db.execute(_FORGET_DELETED, (now - TOMBSTONES_MS, partition, STEP)).rowcount]
    for topic, kept in RETENTION_MS.items():
        counts.append(db.execute(_FORGET, (prefix + topic, partition, STEP, now - kept)).rowcount)
    return max(counts) == STEP


def select(
    db: sqlite3.Connection, prefix: str, part: tuple[str, int], start: int, end: int | None, limit: int
) -> Sequence[Stored]:
    """At most `limit` records of one partition with offsets from `start` and below `end`, in order."""
    bound = (1 << 62) if end is None else end
    topic, partition = part
    query = _SELECT.format(table=_table(topic))
    found = db.execute(query, (prefix + topic, partition, start, bound, limit)).fetchall()
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
    """Raises sqlite3.DatabaseError where they cannot be read: the file is damaged, and SQLite has not seen it."""
    try:
        return () if value is None else msgspec.msgpack.decode(value, type=Headers)
    except msgspec.DecodeError as error:
        damage = sqlite3.DatabaseError(f"the headers of a record cannot be read ({error})")
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage from error
