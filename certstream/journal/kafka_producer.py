"""One transaction at a time with one producer, which is never used again after any error (rules 1, 2, 3, 7, 8)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from aiokafka.errors import InvalidProducerEpoch, InvalidProducerIdMapping, KafkaError, ProducerFenced

from certstream.core.wire import STATE, Put
from certstream.journal.kafka_config import MAX_BATCH_BYTES, KafkaConfig
from certstream.journal.kafka_connect import only_our_cancellation, started, stopped
from certstream.journal.kafka_log import Causes

TRANSACTION_TIMEOUT_MS = 15_000
"""After this the broker aborts a transaction that nobody ends; until then its readers wait."""

MARKERS = 0.004
"""Seconds that the brokers may go on writing a transaction's markers after they have answered its end. One that begins
meanwhile is refused, and aiokafka tries again after 20 ms: seen at a quarter of commits that follow on each other."""
SMALL = 1_000
"""Records of a commit whose batches are all filled before they are queued; a larger one is filled as it is sent."""

_NO_HEADERS: list[tuple[str, bytes]] = []
"""Of a record without any; aiokafka wants a list."""

_FENCED = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping)


def is_fence(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, says that the broker no longer takes this producer: another one has
    its transactional id, or its transaction lasted too long (rule 5)."""
    while error is not None:
        if isinstance(error, _FENCED):
            return True
        error = error.__cause__ or error.__context__
    return False


class Producer:
    """Writes transactions into one partition. After any exception from `transact`: `drop`, and make another one.

    There is no abort here, on purpose: aiokafka can report one that it did not do (rule 3).
    """

    def __init__(self, client: Any, config: KafkaConfig, shard: int, causes: Causes) -> None:
        self._client = client
        self._config = config
        self._shard = shard
        self.causes = causes
        self._ended = float("-inf")

    @classmethod
    async def fence(cls, config: KafkaConfig, shard: int) -> Self:
        """Start a producer with the shard's transactional id: the broker fences every earlier one, and ends what it
        had open. Raises JournalAway or Fatal with the cause, within `start_timeout` seconds."""
        client = config.clients.producer(
            **config.client_options(),
            transactional_id=config.transactional_id(shard),
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            acks="all",
            max_batch_size=MAX_BATCH_BYTES,
        )
        return cls(client, config, shard, await started(client, config))

    async def transact(self, puts: Sequence[Put]) -> int | None:
        """Commit all of `puts` in one transaction, within `commit_timeout` seconds. Returns the offset after the last
        of them in `state`, None where there was none. Raises whatever aiokafka raises: `Exception`, not KafkaError
        (rule 6); nobody knows then whether it happened."""
        async with asyncio.timeout(self._config.commit_timeout):
            with only_our_cancellation():
                return await self._transact(puts)

    async def _transact(self, puts: Sequence[Put]) -> int | None:
        await self._client.begin_transaction()
        filled: Iterable[tuple[str, Any]] = (
            (topic, batch) for topic, group in _by_topic(puts).items() for batch in self._filled(group)
        )
        if len(puts) <= SMALL:
            filled = list(filled)  # before the pause, which is then mostly over
        await asyncio.sleep(self._ended + MARKERS - asyncio.get_running_loop().time())
        sent = [(topic, batch.record_count(), await self._queue(topic, batch)) for topic, batch in filled]
        # Rule 2: a batch that failed and was not awaited is left out, and the commit says that all is well.
        delivered = await asyncio.gather(*(future for _, _, future in sent))
        end = None
        for (topic, count, _), metadata in zip(sent, delivered, strict=True):
            if topic == STATE:
                if metadata.offset < 0:
                    raise KafkaError("the broker did not tell the offset of a batch that was sent twice")
                end = metadata.offset + count
        await self._client.commit_transaction()
        self._ended = asyncio.get_running_loop().time()
        self.causes.clear()
        return end

    async def drop(self) -> None:
        """Let go of it, bounded. What it had open is decided by the broker when the next producer starts."""
        await stopped(self._client, self._config)

    def _filled(self, puts: Sequence[Put]) -> Iterator[Any]:
        """Batches built by hand (rule 8) that hold all of `puts`, of one topic."""
        batch = self._client.create_batch()
        for _, key, value, headers in puts:  # most of a large commit's CPU: no call of our own, no list for nothing
            told = list(headers) if headers else _NO_HEADERS
            if batch.append(timestamp=None, key=key, value=value, headers=told) is None:
                yield batch
                batch = self._client.create_batch()
                # An empty batch takes a record of any size; the broker judges it.
                batch.append(timestamp=None, key=key, value=value, headers=told)
        yield batch

    async def _queue(self, topic: str, batch: Any) -> asyncio.Future[Any]:
        """Queue a batch: the future of its delivery."""
        name = self._config.topic(topic)
        future: asyncio.Future[Any] = await self._client.send_batch(batch, name, partition=self._shard)
        future.add_done_callback(_seen)
        return future


def _by_topic(puts: Sequence[Put]) -> dict[str, list[Put]]:
    groups: dict[str, list[Put]] = {}
    for put in puts:
        groups.setdefault(put.topic, []).append(put)
    return groups


def _seen(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from complaining about a failure that came after another one had already ended the commit."""
    if not future.cancelled():
        future.exception()
