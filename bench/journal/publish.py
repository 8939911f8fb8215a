"""Publishing the product's own commits: exactly once by certstream, and the same records by others."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from statistics import median
from typing import Protocol

from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from bench.journal import place
from bench.journal.records import Commit, commits
from bench.result import Report, Target, Value, progress
from certstream.journal.kafka import KafkaJournal
from certstream.journal.kafka_shard import KafkaShard
from tests.real.kafka import Broker

CONFLUENT, SEND = "confluent-kafka transactions", "aiokafka idempotent send"


class Contender(Protocol):
    """Who publishes. `publish` returns when everything is acknowledged."""

    async def publish(self, wanted: Sequence[Commit]) -> None: ...

    async def close(self) -> None: ...


class Certstream:
    """The product: `KafkaShard.commit`, a transaction each."""

    def __init__(self, journal: KafkaJournal, shard: KafkaShard) -> None:
        self._journal, self.shard = journal, shard

    @classmethod
    async def at(cls, broker: Broker, prefix: str) -> Certstream:
        return cls(*await place.opened(await place.config(broker, prefix), place.ignore))

    async def publish(self, wanted: Sequence[Commit]) -> None:
        for puts in wanted:
            await self.shard.commit(puts)

    async def close(self) -> None:
        await self._journal.close()


class Confluent:
    """librdkafka: the same transactions. It blocks, so nobody else runs meanwhile: nobody else has anything to do."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._prefix = prefix
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": f"{prefix}-0",
                "transaction.timeout.ms": 15_000,
                "acks": "all",
                "batch.size": place.BATCH_BYTES,
                "queue.buffering.max.kbytes": 1 << 20,
            }
        )
        self._producer.init_transactions(30)

    @classmethod
    async def at(cls, broker: Broker, prefix: str) -> Confluent:
        await place.config(broker, prefix)
        return cls(broker.bootstrap, prefix)

    async def publish(self, wanted: Sequence[Commit]) -> None:
        for puts in wanted:
            self.commit(puts)

    def commit(self, puts: Commit) -> None:
        """One transaction."""
        self._producer.begin_transaction()
        for topic, key, value, headers in puts:
            self._producer.produce(self._prefix + topic, value, key, partition=0, headers=list(headers))
        self._producer.commit_transaction(30)

    async def close(self) -> None:
        del self._producer  # ends its threads, which would go on looking for a broker that is no more


class Send:
    """aiokafka's everyday way: idempotent `send`, no transactions, one wait for all at the end."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str) -> None:
        self._producer, self._prefix = producer, prefix

    @classmethod
    async def at(cls, broker: Broker, prefix: str) -> Send:
        await place.config(broker, prefix)
        producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap, enable_idempotence=True, acks="all", max_batch_size=place.BATCH_BYTES
        )
        await producer.start()
        return cls(producer, prefix)

    async def publish(self, wanted: Sequence[Commit]) -> None:
        sent = [
            await self._producer.send(self._prefix + topic, value, key, partition=0, headers=list(headers))
            for puts in wanted
            for topic, key, value, headers in puts
        ]
        await asyncio.gather(*sent)

    async def close(self) -> None:
        await self._producer.stop()


async def run(broker: Broker, *, events: int, sizes: Sequence[int], rounds: int) -> Report:
    """Each size of a transaction in turn; in each of `rounds`, all three write the same records, first one, then the
    next. A round before, which warms everybody, does not count."""
    contenders: dict[str, Contender] = {
        "certstream": await Certstream.at(broker, "bench-ours."),
        CONFLUENT: await Confluent.at(broker, "bench-confluent."),
        SEND: await Send.at(broker, "bench-send."),
    }
    values: list[Value] = []
    size = 0
    try:
        for each in sizes:
            progress(f"publish: making {events:,} events in commits of {each:,}")
            wanted = list(commits(events, each=each))
            written = each * len(wanted)
            size = sum(len(put.value or b"") for puts in wanted for put in puts) // written
            rates: dict[str, list[float]] = {name: [] for name in contenders}
            for turn in range(rounds + 1):
                names = list(contenders)
                for name in names[turn % 3 :] + names[: turn % 3]:
                    rate = await _rate(contenders[name], wanted, written)
                    progress(f"publish, {each:,} a commit: round {turn} of {rounds}, {name}: {rate:,.0f} events/s")
                    if turn:
                        rates[name].append(rate)
            values += _values(each, rates)
    finally:
        for contender in contenders.values():
            await contender.close()
    how = (
        f"{events:,} events a round, {size:,} B each over five topics, exactly once; median of {rounds} rounds in turn"
    )
    return Report("publish", how, values)


async def _rate(contender: Contender, wanted: Sequence[Commit], events: int) -> float:
    gc.collect()
    began = time.perf_counter()
    await contender.publish(wanted)
    return events / (time.perf_counter() - began)


def _values(each: int, rates: dict[str, list[float]]) -> list[Value]:
    """The ratio of each round, whose contenders ran one right after the other, and the median of these."""
    ours = rates["certstream"]
    found = []
    for name, least in ((CONFLUENT, 1.0), (SEND, 0.9)):
        ratios = [one / other for one, other in zip(ours, rates[name], strict=True)]
        found += [
            Value(f"{each:,} a commit: events a second", median(ours), "/s", median(rates[name]), name, None, ours, 0),
            Value("  ratio to that", median(ratios), target=Target(least, True), runs=ratios),
        ]
    return found
