"""Reads a journal back as neutral records: Kafka through librdkafka, `read_committed`; SQLite through the stdlib.

What was read is kept in a file of its own, so that a run can be judged again without the journal.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from tests.verify.history import Record
from tests.verify.wire import KINDS

TOPICS = ("events", *(f"certificate.{kind}" for kind in KINDS), "inventory", "pem", "accounts", "quarantine")
"""Everything with a contract; `state` is certstream's own."""
SILENCE = 60.0
"""Seconds without a record or an end of partition after which reading has failed."""


class Unreadable(Exception):
    """The journal cannot be read as the contract says."""


def read_kafka(bootstrap: str, prefix: str) -> tuple[list[Record], int]:
    """All committed records, per topic and partition in order, and the number of partitions of `events`."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{prefix}verify",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )
    with closing(consumer):
        known = consumer.list_topics(timeout=30).topics
        missing = [topic for topic in TOPICS if f"{prefix}{topic}" not in known]
        if missing:
            raise Unreadable(f"topics are missing: {', '.join(missing)}")
        open_ends = {
            (f"{prefix}{topic}", number) for topic in TOPICS for number in known[f"{prefix}{topic}"].partitions
        }
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in sorted(open_ends)])
        records: list[Record] = []
        while open_ends:
            message = consumer.poll(SILENCE)
            if message is None:
                raise Unreadable(f"nothing for {SILENCE:.0f} s, and not at the end of {sorted(open_ends)}")
            topic, partition = message.topic(), message.partition()
            assert topic is not None
            assert partition is not None
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise Unreadable(str(error))
                open_ends.discard((topic, partition))
                continue
            headers = tuple((str(pair[0]), _bytes(pair[1])) for pair in message.headers() or [])
            kind, stamp = message.timestamp()
            records.append(
                Record(
                    topic.removeprefix(prefix),
                    partition,
                    int(message.offset() or 0),
                    _bytes(message.key()),
                    None if message.value() is None else _bytes(message.value()),
                    headers,
                    stamp if kind else None,
                )
            )
    records.sort(key=lambda record: (record.topic, record.partition, record.offset))
    return records, len(known[f"{prefix}events"].partitions)


def read_sqlite(path: Path, prefix: str) -> tuple[list[Record], int]:
    """All committed records of an embedded journal, and its number of partitions.

    Tables `log` (everything) and `latest` (the newest of each key) hold topic with prefix, partition, offset,
    timestamp, key, value, and headers as MessagePack: pairs of text and bytes. Raises Unreadable.
    """
    query = (
        'SELECT topic, "partition", offset, key, value, headers, timestamp FROM {} ORDER BY topic, "partition", offset'
    )
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            rows = [row for table in ("log", "latest") for row in file.execute(query.format(table))]
            settings = dict(file.execute("SELECT name, value FROM setting"))
    except sqlite3.Error as error:
        raise Unreadable(f"{path}: {error}") from error
    records = [
        Record(topic.removeprefix(prefix), partition, offset, key, value, _headers(headers), timestamp)
        for topic, partition, offset, key, value, headers, timestamp in rows
        if topic.startswith(prefix) and topic.removeprefix(prefix) in TOPICS
    ]
    return records, int(settings["partitions"])


def _headers(packed: bytes | None) -> tuple[tuple[str, bytes], ...]:
    return () if packed is None else msgspec.msgpack.decode(packed, type=tuple[tuple[str, bytes], ...])


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode()


def save(path: Path, records: Iterable[Record]) -> None:
    """Keep records in a file of their own."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE record (topic, partition, offset, key, value, headers, timestamp, seen)")
        rows = (
            (*record[:5], json.dumps([[name, value.decode("latin-1")] for name, value in record.headers]), *record[6:])
            for record in records
        )
        file.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def load(path: Path) -> list[Record]:
    """What `save` kept, per topic and partition in order."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        rows = file.execute("SELECT * FROM record ORDER BY topic, partition, offset").fetchall()
    return [
        Record(topic, partition, offset, key, value, _pairs(headers), at, seen)
        for topic, partition, offset, key, value, headers, at, seen in rows
    ]


def _pairs(kept: str) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, text.encode("latin-1")) for name, text in json.loads(kept))
