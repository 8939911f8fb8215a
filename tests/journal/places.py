"""Where a journal of a test lives: a file, or topics of its own on the real broker; and ways to hurt it there."""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from certstream.core.wire import EVENTS, QUARANTINE, Put
from certstream.journal.kafka import KafkaConfig, KafkaJournal
from certstream.journal.layout import COMPACTED, TOPICS
from certstream.journal.sqlite import SqliteJournal
from certstream.ports import Journal, Shard
from tests.real.kafka import Broker

PARTITIONS = 3
_numbers = itertools.count(1)


class Place(Protocol):
    """One journal's place. Every call of `journal` is a new object, as another process would have."""

    @property
    def words(self) -> list[str]:
        """What `tests.journal.victim` needs to find it."""
        ...

    def journal(self) -> Journal: ...

    def spoilt(self) -> Put:
        """A record that makes the commit fail that it is in the middle of."""
        ...

    def lose_answer(self, shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next commit happens, and its caller is told that it failed."""
        ...


@dataclass(frozen=True)
class SqlitePlace:
    """A file."""

    path: Path

    @property
    def words(self) -> list[str]:
        return ["sqlite", str(self.path)]

    def journal(self) -> SqliteJournal:
        return SqliteJournal(self.path, partitions=PARTITIONS, patience=0.5)

    def spoilt(self) -> Put:
        other = sqlite3.connect(self.path)
        other.execute(
            "CREATE TRIGGER IF NOT EXISTS spoilt BEFORE INSERT ON log WHEN NEW.key = X'FF'"
            " BEGIN SELECT RAISE(ABORT, 'spoilt'); END"
        )
        other.commit()
        other.close()
        return Put(EVENTS, b"\xff", b"")

    def lose_answer(self, shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
        writer: Any = shard._writer  # type: ignore[attr-defined]
        real = writer.commit

        async def commit(*words: Any) -> None:
            monkeypatch.undo()
            await real(*words)
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(writer, "commit", commit)


@dataclass(frozen=True)
class KafkaPlace:
    """Topics with a prefix of their own."""

    config: KafkaConfig

    @property
    def words(self) -> list[str]:
        return ["kafka", self.config.bootstrap, self.config.prefix]

    def journal(self, **changes: Any) -> KafkaJournal:
        return KafkaJournal(replace(self.config, **changes))

    def spoilt(self) -> Put:
        return Put(QUARANTINE, b"too large", bytes(1_200_000))

    def lose_answer(self, shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
        client: Any = shard._producer._client  # type: ignore[attr-defined]
        real = client.commit_transaction

        async def commit_transaction() -> None:
            monkeypatch.undo()
            await real()
            raise TimeoutError

        monkeypatch.setattr(client, "commit_transaction", commit_transaction)


@asynccontextmanager
async def kafka_place(broker: Broker, **settings: Any) -> AsyncIterator[KafkaPlace]:
    """Topics with names that nobody else has; gone afterwards, as thousands of partitions slow a broker down."""
    prefix = f"t{os.getpid()}-{next(_numbers)}."
    names = [prefix + topic for topic in TOPICS]
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.plain)
    await admin.start()
    try:
        topics = [
            NewTopic(prefix + topic, PARTITIONS, 1, topic_configs={"cleanup.policy": policy})
            for topic in TOPICS
            for policy in ["compact" if topic in COMPACTED else "delete"]
        ]
        made = await admin.create_topics(topics)
        assert not [error for error in made.topic_errors if error[1]], made
        await _ready(broker, names)
        defaults: dict[str, Any] = {"commit_timeout": 6.0, "start_timeout": 15.0, "close_timeout": 2.0}
        yield KafkaPlace(KafkaConfig(bootstrap=broker.bootstrap, prefix=prefix, **(defaults | settings)))
        await admin.delete_topics(names)
    finally:
        await admin.close()


async def _ready(broker: Broker, topics: Sequence[str]) -> None:
    """Wait until every partition has a leader that answers: a busy machine takes seconds to make their files."""
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=broker.plain, request_timeout_ms=60_000)
    await consumer.start()
    try:
        await consumer.end_offsets([TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)])
    finally:
        await consumer.stop()
