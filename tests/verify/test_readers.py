"""What the judge reads is what was committed, and survives being kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient  # NewTopic is not exported to type checkers
from confluent_kafka.cimpl import NewTopic

from tests.real.kafka import Broker
from tests.verify.history import Record
from tests.verify.readers import TOPICS, load, read_kafka, read_sqlite, save


def test_only_committed_records_are_read_from_kafka(kafka: Broker) -> None:
    prefix = "verify-readers."
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for made in admin.create_topics([NewTopic(prefix + topic, 3, 1) for topic in TOPICS]).values():
        made.result()
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"{prefix}writer"})
    producer.init_transactions(30)
    for value, commit in ((b"1", True), (b"2", False), (b"3", True)):
        producer.begin_transaction()
        producer.produce(f"{prefix}events", value, key=b"k", partition=1, headers=[("ce_id", value)])
        producer.produce(f"{prefix}pem", None, key=b"k", partition=2)
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    records, partitions = read_kafka(kafka.bootstrap, prefix)
    assert partitions == 3
    assert [record[:2] + record[3:6] for record in records] == [
        ("events", 1, b"k", b"1", (("ce_id", b"1"),)),
        ("events", 1, b"k", b"3", (("ce_id", b"3"),)),
        ("pem", 2, b"k", None, ()),
        ("pem", 2, b"k", None, ()),
    ]
    assert all(record.timestamp for record in records)


def test_the_embedded_journal_is_read_with_its_headers(tmp_path: Path) -> None:
    columns = 'topic, "partition", offset, timestamp, key, value, headers'
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE setting (name, value)")
        file.execute("INSERT INTO setting VALUES ('partitions', '12')")
        for table in ("log", "latest"):
            file.execute(f"CREATE TABLE {table} ({columns})")
        packed = msgspec.msgpack.encode([["ce_id", b"1"]])
        file.execute("INSERT INTO log VALUES ('p.events', 1, 0, 5, ?, ?, ?)", (b"k", b"v", packed))
        file.execute("INSERT INTO latest VALUES ('p.pem', 1, 7, 6, ?, NULL, NULL)", (b"k",))
        file.execute("INSERT INTO latest VALUES ('p.state', 1, 7, 6, ?, NULL, NULL)", (b"k",))
    records, partitions = read_sqlite(path, "p.")
    assert partitions == 12
    assert records == [
        Record("events", 1, 0, b"k", b"v", (("ce_id", b"1"),), 5),
        Record("pem", 1, 7, b"k", None, (), 6),
    ]


def test_kept_records_are_the_same_when_loaded(tmp_path: Path) -> None:
    records = [
        Record("events", 1, 0, b"k", b"\xff", (("ce_id", b"\xfe"), ("ce_id", b"2")), 5),
        Record("pem", 1, 0, b"k", None, (), None),
    ]
    save(tmp_path / "records.db", records)
    assert load(tmp_path / "records.db") == records
