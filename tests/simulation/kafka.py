"""aiokafka's producer, consumer and admin client over a simulated cluster, with what `kafka-facts` says of them.

Every request may fail before it is applied, after it, or be reported as failed although it was applied; be lost, or
its answer; take long. A batch that failed leaves a hole in the producer's sequence, and its commit says OK; an abort
after that says OK and does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError, OutOfOrderSequenceNumber, ProducerFenced

from certstream.journal.kafka_config import Clients
from certstream.journal.layout import TOPICS
from tests.simulation.broker import COMMITTED, Message, Part
from tests.simulation.cluster import Cluster
from tests.simulation.loop import PROCESS

RETRIED = 5.0
"""Seconds after which aiokafka sends a request again that was not answered."""


def clients(cluster: Cluster) -> Clients:
    """What the journal makes its clients with."""
    return Clients(
        producer=partial(Producer, cluster), consumer=partial(Consumer, cluster), admin=partial(Admin, cluster)
    )


class Batch:
    """A batch built by hand."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def append(self, *, key: bytes, value: bytes | None, timestamp: int | None, headers: list[Any]) -> object:
        self.messages.append((key, value, tuple(headers)))
        return self

    def record_count(self) -> int:
        return len(self.messages)


class _Inner:
    """The connections below a client."""

    async def close(self) -> None: ...

    async def set_topics(self, topics: Sequence[str]) -> None: ...


class Producer:
    """Transactional only."""

    def __init__(self, cluster: Cluster, *, transactional_id: str, **options: Any) -> None:
        self._cluster, self._name = cluster, transactional_id
        self._epoch = -1
        self._state = "new"
        self._began = 0.0
        self._process = PROCESS.get()
        self._pending: list[asyncio.Future[Any]] = []
        self._arrivals: dict[Part, float] = {}
        self._holes: set[Part] = set()
        self._failed = False
        self._sender = SimpleNamespace(sender_task=None)
        self.client = _Inner()

    async def start(self) -> None:
        await self._cluster.reach()
        answer, _ = self._cluster.request(lambda: self._cluster.broker.fence(self._name))
        self._epoch = await answer
        self._state = "ready"

    async def stop(self) -> None:
        """Hangs while batches cannot be delivered."""
        self._state = "stopped"
        for pending in self._pending:
            if not pending.done():
                await asyncio.wait([pending])

    async def begin_transaction(self) -> None:
        assert self._state == "ready", f"begin in state {self._state}"
        self._state, self._pending, self._failed = "open", [], False
        self._began = self._cluster.loop.now

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        assert self._state == "open", f"send in state {self._state}"
        part = (topic, partition)
        answer, arrival = self._cluster.request(
            lambda: self._append(part, batch), not_before=self._arrivals.get(part, 0.0)
        )
        self._arrivals[part] = arrival
        delivered = asyncio.ensure_future(self._delivered(answer, part))
        self._pending.append(delivered)
        return delivered

    def _append(self, part: Part, batch: Batch) -> int:
        if part in self._holes:
            raise OutOfOrderSequenceNumber
        if self._process is not None and any(_releases(message) for message in batch.messages):
            self._cluster.releases[self._process] = self._began
        return self._cluster.broker.append(self._name, self._epoch, part, batch.messages)

    async def _delivered(self, answer: asyncio.Future[Any], part: Part) -> Any:
        try:
            offset = await answer
        except KafkaError:
            self._holes.add(part)
            self._failed = True
            raise
        if self._cluster.weather.strikes("kafka.duplicate"):
            await asyncio.sleep(RETRIED)
            offset = -1
        return SimpleNamespace(offset=offset)

    async def commit_transaction(self) -> None:
        assert self._state == "open", f"commit in state {self._state}"
        await self._end(commit=True)

    async def abort_transaction(self) -> None:
        assert self._state == "open", f"abort in state {self._state}"
        if self._failed:
            self._state = "ready"  # it thinks that the transaction is empty, and sends no EndTxn
            return
        await self._end(commit=False)

    async def _end(self, *, commit: bool) -> None:
        """Shielded, as aiokafka does: whoever gives up waiting does not stop it."""
        self._sender.sender_task = asyncio.ensure_future(self._ended(commit))
        await asyncio.shield(self._sender.sender_task)

    async def _ended(self, commit: bool) -> None:
        waiting = [one for one in self._pending if not one.done()]
        if waiting:
            await asyncio.wait(waiting)
        fenced = [one for one in self._pending if isinstance(one.exception(), ProducerFenced)]
        if fenced:
            self._state = "fatal"
            raise ProducerFenced
        self._cluster.on_end("sent")
        answer, _ = self._cluster.request(partial(self._apply_end, commit))
        try:
            await answer
        except ProducerFenced:
            self._state = "fatal"
            raise
        if self._state == "open":
            self._state = "ready"

    def _apply_end(self, commit: bool) -> None:
        self._cluster.broker.end(self._name, self._epoch, commit=commit)
        if commit and self._process is not None:
            self._cluster.proofs.setdefault(self._process, []).append(self._began)
        self._cluster.on_end("applied")


def _releases(message: Message) -> bool:
    key, value, _ = message
    return key.startswith(b"~shard/") and b'"released":true' in (value or b"")


class Consumer:
    """Without a group."""

    def __init__(self, cluster: Cluster, *, isolation_level: str, **options: Any) -> None:
        self._cluster = cluster
        self._committed = isolation_level == "read_committed"
        self._positions: dict[TopicPartition, int] = {}
        self._stable: dict[TopicPartition, int] = {}
        self._client = _Inner()

    async def start(self) -> None:
        await self._cluster.reach()

    async def stop(self) -> None: ...

    def assign(self, parts: Sequence[TopicPartition]) -> None:
        self._positions = dict.fromkeys(parts, 0)

    def seek(self, part: TopicPartition, offset: int) -> None:
        self._positions[part] = offset

    async def seek_to_beginning(self, *parts: TopicPartition) -> None:
        for part in parts:
            self._positions[part] = 0

    async def position(self, part: TopicPartition) -> int:
        return self._positions[part]

    def last_stable_offset(self, part: TopicPartition) -> int | None:
        return self._stable.get(part)

    async def end_offsets(self, parts: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        await self._cluster.reach()
        if self._cluster.weather.strikes("kafka.error"):
            raise KafkaTimeoutError
        logs = {part: self._cluster.broker.log((part.topic, part.partition)) for part in parts}
        return {part: log.served() if self._committed else len(log.entries) for part, log in logs.items()}

    async def getmany(self, *, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        away = self._cluster.away() > 0
        await asyncio.sleep(timeout_ms / 1000 if away else self._cluster.latency * self._cluster.dice.random())
        if away or self._cluster.weather.strikes("kafka.error"):
            return {}
        found = self._fetch()
        if not found:
            await asyncio.sleep(timeout_ms / 1000)
            found = self._fetch()
        return found

    def _fetch(self) -> dict[TopicPartition, list[Any]]:
        found: dict[TopicPartition, list[Any]] = {}
        limit = self._cluster.dice.choice((1, 20, 500))
        for part, position in self._positions.items():
            log = self._cluster.broker.log((part.topic, part.partition))
            end = self._stable[part] = log.served()
            end = min(end, position + limit)
            if end <= position:
                continue
            self._positions[part] = end
            records = [
                SimpleNamespace(
                    topic=part.topic,
                    partition=part.partition,
                    offset=offset,
                    timestamp=entry.timestamp,
                    key=entry.message[0],
                    value=entry.message[1],
                    headers=entry.message[2],
                )
                for offset, entry in enumerate(log.entries[position:end], position)
                if entry.state == COMMITTED
            ]
            if records:
                found[part] = records
        return found


class Admin:
    """As much of it as `KafkaJournal.start` asks."""

    def __init__(self, cluster: Cluster, **options: Any) -> None:
        self.cluster = cluster

    async def start(self) -> None:
        await self.cluster.reach()

    async def describe_topics(self) -> list[dict[str, Any]]:
        await self.cluster.reach()
        parts = list(range(self.cluster.broker.partitions))
        return [{"topic": self.cluster.prefix + name, "error_code": 0, "partitions": parts} for name in TOPICS]

    async def describe_configs(self, resources: list[Any]) -> list[Any]:
        await self.cluster.reach()
        entries = [("cleanup.policy", "compact", False, 1)]
        return [SimpleNamespace(resources=[(0, None, 2, resource.name, entries) for resource in resources])]

    async def close(self) -> None: ...
