"""Reading committed records: a shard's `state` up to a barrier (rule 5), and topics for everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError, TopicAuthorizationFailedError

from certstream.core.errors import CertstreamError, Fatal
from certstream.core.wire import Stored
from certstream.journal.kafka_config import KafkaConfig
from certstream.journal.kafka_connect import only_our_cancellation, reason, started, stopped
from certstream.journal.kafka_log import Causes
from certstream.ports import JournalAway

_POLL_MS = 100
_SLICE = 200
"""Records of a restore between two turns of everybody else."""
_SETTLE = 2.0
"""Seconds without a record after which an open transaction of somebody else is no longer waited for."""

Positions = Mapping[tuple[str, int], int]


class Reader:
    """Committed records of some partitions, streamed: what one fetch brings (a few MiB) is all that is held.

    Every method raises JournalAway when the brokers do not answer, Fatal when they refuse or have lost records.
    """

    def __init__(self, consumer: Any, config: KafkaConfig, parts: list[TopicPartition], causes: Causes) -> None:
        self._consumer = consumer
        self._config = config
        self._parts = parts
        self._causes = causes

    async def begin(self, start: Positions | None = None) -> None:
        """Fetch from the offsets `start`, where it tells none from the beginning."""
        offsets = {part: (start or {}).get((self._config.logical(part.topic), part.partition)) for part in self._parts}
        with self.told():
            self._consumer.assign(self._parts)
            for part, offset in offsets.items():
                if offset is not None:
                    self._consumer.seek(part, offset)
            if first := [part for part, offset in offsets.items() if offset is None]:
                await self._consumer.seek_to_beginning(*first)

    async def ends(self) -> dict[TopicPartition, int]:
        """Per partition, the offset that everything before is decided of (the last stable offset). Ask before `begin`:
        after it the question waits behind a fetch that waits for records, half a second."""
        with self.told():
            return dict(await self._consumer.end_offsets(self._parts))

    async def position(self, part: TopicPartition) -> int:
        """The next offset to be read."""
        with self.told():
            return int(await self._consumer.position(part))

    async def some(self) -> list[Stored]:
        """The next records; none when none came within a tenth of a second (the position may have moved even then:
        transaction markers, aborted records)."""
        return [self._stored(record) for record in await self._fetched()]

    async def _fetched(self) -> list[Any]:
        with self.told():
            fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
        # Fetched records may be at hand again and again: the others' turn comes here.
        await asyncio.sleep(0)
        return [record for records in fetched.values() for record in records]

    async def until(self, part: TopicPartition, end: int) -> AsyncGenerator[Sequence[Any], None]:
        """Records of one partition, a few at a time and as aiokafka has them (`key`, `value`, `offset`), until the
        position has reached `end`. JournalAway when `start_timeout` seconds bring nothing new."""
        loop = asyncio.get_running_loop()
        reached, moved = await self.position(part), loop.time()
        while reached < end:
            fetched = await self._fetched()
            for first in range(0, len(fetched), _SLICE):
                yield fetched[first : first + _SLICE]
                await asyncio.sleep(0)  # aiokafka asks for the next ones only now, and they come while these are used
            at = await self.position(part)
            if at > reached:
                reached, moved = at, loop.time()
            elif loop.time() - moved > self._config.start_timeout:
                raise self.stuck(part, at)

    def stuck(self, part: TopicPartition, at: int) -> JournalAway:
        """What to raise when nothing comes any more."""
        cause = f": {self._causes[-1]}" if self._causes else ""
        waited = self._config.start_timeout
        return JournalAway(f"{part.topic}, partition {part.partition}: nothing after {at} for {waited:g} s{cause}")

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turns what aiokafka raises inside into JournalAway or Fatal with the cause."""
        try:
            with only_our_cancellation():
                yield
        except CertstreamError:
            raise
        except OffsetOutOfRangeError as error:
            raise Fatal(
                f"Kafka lost records that were committed ({error}): an unclean leader election, or a topic made again."
                " Start certstream anew to go on with what is left"
            ) from error
        except TopicAuthorizationFailedError as error:
            raise Fatal(f"Kafka does not allow reading {error}: grant Read and Describe on it") from error
        except Exception as error:  # rule 6: not only KafkaError
            text = reason(error, self._causes)
            raise JournalAway(f"Kafka at {self._config.bootstrap} does not answer: {text}") from error

    def settled(self, part: TopicPartition) -> int | None:
        """The last stable offset as the last fetch told it, None before the first."""
        stable: int | None = self._consumer.last_stable_offset(part)
        return stable

    def _stored(self, record: Any) -> Stored:
        name = self._config.logical(record.topic)
        headers = tuple((key, value or b"") for key, value in record.headers)
        key = record.key or b""
        return Stored(name, record.partition, record.offset, record.timestamp, key, record.value, headers)


@asynccontextmanager
async def connected(
    config: KafkaConfig, parts: Iterable[tuple[str, int]], *, committed: bool = True, reset: str = "earliest"
) -> AsyncIterator[Reader]:
    """A reader of `parts` (logical topic, partition), without a group, to be begun. `reset="none"` makes a start that
    no longer exists an error, `earliest` goes on with what is left."""
    consumer = config.clients.consumer(
        **config.client_options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset=reset,
        isolation_level="read_committed" if committed else "read_uncommitted",
        fetch_max_bytes=16 << 20,
    )
    named = [TopicPartition(config.topic(topic), number) for topic, number in parts]
    causes = await started(consumer, config)
    reader = Reader(consumer, config, named, causes)
    try:
        with reader.told():
            # aiokafka would otherwise learn of one topic after the other, with a pause after each.
            async with asyncio.timeout(config.start_timeout):
                await consumer._client.set_topics([part.topic for part in named])
        yield reader
    finally:
        await stopped(consumer, config)


async def read(
    config: KafkaConfig, parts: list[tuple[str, int]], *, start: Positions | None, follow: bool
) -> AsyncGenerator[Stored, None]:
    """Committed records of `parts`, per partition in order. Without `follow` it ends at the present end: everything
    whose commit had returned when it was called comes, though the broker may still be writing its marker."""
    async with connected(config, parts) as reader:
        await reader.begin(start)
        if follow:
            while True:
                for record in await reader.some():
                    yield record
        async with connected(config, parts, committed=False) as unsettled:
            present = await unsettled.ends()
        pending = {part: end for part, end in present.items() if await reader.position(part) < end}
        loop = asyncio.get_running_loop()
        at, moved = dict[TopicPartition, int](), loop.time()
        while pending:
            for record in await reader.some():
                if record.offset < present[TopicPartition(config.topic(record.topic), record.partition)]:
                    yield record
            now = {part: await reader.position(part) for part in pending}
            pending = {part: end for part, end in pending.items() if now[part] < end}
            if now != at:
                at, moved = now, loop.time()
                continue
            idle = loop.time() - moved
            if idle > _SETTLE:
                pending = {part: end for part, end in pending.items() if at[part] != reader.settled(part)}
            if pending and idle > config.start_timeout:
                part = next(iter(pending))
                raise reader.stuck(part, at[part])
