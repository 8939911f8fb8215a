"""Where the Kafka benchmarks write: topics of a prefix on the real broker of the tests, one partition each."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aiokafka import AIOKafkaConsumer, TopicPartition

from certstream.definition.topics import topics
from certstream.journal.kafka import KafkaConfig, KafkaJournal
from certstream.journal.kafka_shard import KafkaShard
from certstream.journal.topics import apply
from certstream.ports import Apply
from tests.real.kafka import Broker

BATCH_BYTES = 1 << 20
"""What the product's batches may hold; the peers get the same."""


async def config(broker: Broker, prefix: str) -> KafkaConfig:
    """Topics under `prefix` as the definition has them, with one partition; ready to be written."""
    wanted = [replace(topic, partitions=1) for topic in topics()]
    await apply({"bootstrap_servers": broker.bootstrap}, wanted, prefix=prefix, replicas=1)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, request_timeout_ms=60_000)
    await consumer.start()
    try:
        await consumer.end_offsets([TopicPartition(prefix + topic.name, 0) for topic in wanted])
    finally:
        await consumer.stop()
    await asyncio.sleep(0.5)  # brokers go on making files for a moment
    return KafkaConfig(bootstrap=broker.bootstrap, prefix=prefix)


async def opened(settings: KafkaConfig, apply_row: Apply) -> tuple[KafkaJournal, KafkaShard]:
    """The product's journal there, started, and its shard, restored."""
    journal = KafkaJournal(settings)
    await journal.start()
    return journal, await journal.open(0, apply_row)


def ignore(key: bytes, value: bytes | None) -> None:
    """An `apply` for topics that hold nothing of interest."""
