"""A reader beside the service, from the first event on: when each was there to be read, by the clock of this host.

What a record says of its own time is no measure: the service's clock may be wrong, and a batch may have waited for
its commit.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.verify.history import Record

LOOK = 0.05
"""Seconds between two looks, at most."""
Place = tuple[int, int]
"""Partition and offset."""
Looks = Generator[Sequence[Place], None, None]


class Tail:
    """`look` gives, again and again and for ever, the places of the events that have come since."""

    def __init__(self, look: Callable[[], Looks]) -> None:
        self._look = look
        self._seen: dict[Place, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def dated(self, records: Sequence[Record]) -> list[Record]:
        """These with the time at which each event was seen."""
        return [
            one._replace(seen=self._seen.get((one.partition, one.offset))) if one.topic == "events" else one
            for one in records
        ]

    def _run(self) -> None:
        with closing(self._look()) as looks:
            for places in looks:
                now = time.time()
                for place in places:
                    self._seen.setdefault(place, now)
                if self._over.is_set():
                    return


def of_kafka(bootstrap: str, prefix: str) -> Looks:
    """As a consumer of `read_committed`, which finds the brokers again soon after they were away."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{prefix}tail",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "topic.metadata.refresh.interval.ms": 1000,
            "socket.timeout.ms": 3000,
            "fetch.wait.max.ms": 100,
            "fetch.error.backoff.ms": 100,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )
    with closing(consumer):
        topic = f"{prefix}events"
        numbers = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers])
        while True:
            messages = consumer.consume(500, LOOK)
            yield [(one.partition() or 0, one.offset() or 0) for one in messages if one.error() is None]


def of_sqlite(path: Path, prefix: str) -> Looks:
    """As a reader of the file, which comes with the service's first start."""
    query = 'SELECT rowid, "partition", offset FROM log WHERE rowid > ? AND topic = ? ORDER BY rowid'
    last = 0
    while True:
        found: list[tuple[int, int, int]] = []
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            found = file.execute(query, (last, f"{prefix}events")).fetchall()
        last = max([last, *(row for row, _, _ in found)])
        yield [(number, offset) for _, number, offset in found]
        time.sleep(LOOK)
