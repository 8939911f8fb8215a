"""One shard in Kafka: who owns it, what was applied, and what to do after a doubt (rules 3 and 5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

from aiokafka import TopicPartition

from certstream.core.errors import Fatal
from certstream.core.wire import STATE, Put
from certstream.journal.copying_records import Mark, refuse_incomplete
from certstream.journal.kafka_config import KafkaConfig
from certstream.journal.kafka_connect import reason
from certstream.journal.kafka_producer import Producer, is_fence
from certstream.journal.kafka_reader import Reader, connected
from certstream.journal.ownership import OWNED_SECONDS, Claim, Row, own
from certstream.ports import Apply, Fenced, JournalAway, JournalDoubt, Opened

log = logging.getLogger(__name__)


class KafkaShard:
    """Implements `ports.Shard`. Made by `take` only.

    `_position` is the next offset of `state` to be read: everything before it was applied, or was written by this
    object and known to be committed. Without a `_producer` there is a doubt, and only `resume` goes on.
    """

    def __init__(self, config: KafkaConfig, number: int, apply: Apply, clock: Callable[[], float]) -> None:
        self._config = config
        self._number = number
        self._apply = apply
        self._clock = clock
        self._claim = Claim.make(number, config.instance)
        self._producer: Producer | None = None
        self._spent: Producer | None = None
        self._position: int | None = None
        self._first_barrier: int | None = None
        self._before: Row | None = None
        self._copy: bytes | None = None
        self._verified = float("-inf")
        self._lost: str | None = None
        self._closed = False

    @classmethod
    async def take(cls, config: KafkaConfig, number: int, apply: Apply, *, clock: Callable[[], float]) -> Self:
        """Fence the owner before, commit the first barrier, restore up to it (rules 4 and 5).

        Raises JournalAway (try again), Fenced (another process opens the shard at the same moment), Fatal.
        """
        shard = cls(config, number, apply, clock)
        try:
            producer = await Producer.fence(config, number)
            await shard._claim_and_read(producer, None)
            refuse_incomplete(Mark.key(number), shard._copy)
        except BaseException:
            await shard._drop()
            raise
        return shard

    @property
    def number(self) -> int:
        """The partition of every topic that this shard writes."""
        return self._number

    @property
    def opened(self) -> Opened:
        """What opening it found about the owner before."""
        before = self._before
        return Opened(previous=before is not None, released=before is not None and before.released)

    @property
    def closed(self) -> bool:
        """Whether it was given up."""
        return self._closed

    def owned_until(self) -> float:
        """Boot-time clock: five seconds after the last successful commit or check began; -inf when it is lost."""
        return float("-inf") if self._lost or self._closed else self._verified + OWNED_SECONDS

    async def commit(self, puts: Sequence[Put]) -> None:
        """One transaction. JournalDoubt after any failure; cancelled, it is in doubt too."""
        producer = self._usable()
        if puts:
            await self._write(producer, puts)

    async def verify(self) -> None:
        """A transaction with the ownership row alone."""
        await self._write(self._usable(), [self._claim.put()])

    async def resume(self) -> None:
        """Rule 3: look whether somebody else took over, and only if not open a new producer, commit a barrier, and
        read `state` on up to it. Looking first leaves a newer owner alone, whom a new producer would fence."""
        self._check()
        await self._drop()
        try:
            async with self._reader() as reader:
                end = (await reader.ends())[self._part]
                await reader.begin(self._start())
                await self._read(reader, end)
                await self._claim_and_read(await Producer.fence(self._config, self._number), reader)
        except Fenced:
            raise
        except Fatal as error:
            # A broker that has just come back may refuse for a while what it allowed before.
            raise JournalAway(str(error)) from error
        finally:
            if self._lost:
                await self._drop()

    async def reread(self, apply: Apply) -> None:
        """`state` again from its beginning to the position: what this object wrote, or applied, is before it."""
        self._check()
        end = self._position
        assert end is not None, "a shard that was opened has a position"
        async with self._reader() as reader:
            await reader.begin()
            async for records in reader.until(self._part, end):
                for record in records:
                    if not own(record.key or b""):
                        apply(record.key or b"", record.value)

    async def close(self, *, release: bool) -> None:
        """Give it up, bounded. The release is not written when there is a doubt: the successor then waits."""
        if self._closed:
            return
        try:
            if release and self._producer is not None:
                async with asyncio.timeout(self._config.close_timeout):
                    await self._producer.transact([self._claim.put(released=True)])
        except Exception as error:
            log.warning("journal.shard_not_released", extra={"shard": self._number, "reason": str(error)})
        finally:
            self._closed = True
            await self._drop()

    async def _claim_and_read(self, producer: Producer, reader: Reader | None) -> None:
        """Commit the barrier with a new producer and read up to it; only then is the shard usable."""
        self._spent = producer  # dropped by the next `_drop`, unless everything here succeeds
        began = self._clock()
        try:
            end = await producer.transact([self._claim.put()])
        except Exception as error:
            text = reason(error, producer.causes)
            await self._drop()
            if not is_fence(error):
                raise JournalAway(f"shard {self._number}: the barrier could not be committed: {text}") from error
            if reader is None:
                raise self._fenced("another process is opening it") from error
            await self._read(reader, (await reader.ends())[self._part])
            raise JournalAway(f"shard {self._number}: fenced while it was being opened again: {text}") from error
        assert end is not None, "the ownership row is in `state`"
        if self._first_barrier is None:
            self._first_barrier = end - 1
        if reader is not None:
            await self._read(reader, end)
        else:
            async with self._reader() as restoring:
                await restoring.begin()
                await self._read(restoring, end)
        self._producer, self._spent, self._verified = producer, None, began

    async def _write(self, producer: Producer, puts: Sequence[Put]) -> None:
        began = self._clock()
        try:
            end = await producer.transact(puts)
        except BaseException as error:
            self._producer, self._spent = None, producer
            await self._drop()
            if not isinstance(error, Exception):
                raise
            if is_fence(error):
                await self._look_without_producer()
            text = f"shard {self._number}: {reason(error, producer.causes)}"
            raise JournalDoubt(f"nobody knows whether the commit happened: {text}") from error
        self._verified = began
        if end is not None:
            self._position = end

    async def _look_without_producer(self) -> None:
        """Raises Fenced if another owner's row is there. `apply` is for `resume`: here rows are only looked at."""
        try:
            async with self._reader() as reader:
                end = (await reader.ends())[self._part]
                await reader.begin(self._start())
                async for records in reader.until(self._part, end):
                    for record in records:
                        self._judge(record)
        except Fenced:
            await self._drop()
            raise
        except (JournalAway, Fatal):
            return  # nothing learnt: `resume` looks again

    async def _read(self, reader: Reader, end: int) -> None:
        """Apply what is committed before `end`, and a little more perhaps; Fenced at a foreign row."""
        async for records in reader.until(self._part, end):
            for record in records:
                key = record.key or b""
                if not own(key):
                    self._apply(key, record.value)
                else:
                    self._judge(record)
                    if key == Mark.key(self._number):
                        self._copy = record.value
                self._position = record.offset + 1
        self._position = await reader.position(self._part)

    def _judge(self, record: Any) -> None:
        if record.key != self._claim.key or record.value is None or self._first_barrier is None:
            return
        row = Row.read(record.value)
        if record.offset < self._first_barrier:
            self._before = row
        elif row.nonce != self._claim.nonce and not self._superseded(row):
            raise self._fenced(f"{row.owner} owns it now")

    def _superseded(self, row: Row) -> bool:
        """Of the owner that this one took the shard from: it was just opening its producer again, and finds our row
        before its own barrier. It ends; if we did too, nobody would be left."""
        return self._before is not None and row.nonce != "" and row.nonce == self._before.nonce

    def _fenced(self, why: str) -> Fenced:
        self._lost = f"shard {self._number}: {why}; this process must stop calling for it"
        return Fenced(self._lost)

    def _usable(self) -> Producer:
        self._check()
        if self._producer is None:
            raise JournalDoubt(f"shard {self._number}: a commit is in doubt; resume first")
        return self._producer

    def _check(self) -> None:
        if self._lost:
            raise Fenced(self._lost)
        if self._closed:
            raise RuntimeError(f"shard {self._number} was closed")

    async def _drop(self) -> None:
        """Rule 3: let go of every producer there is. One whose dropping was cancelled is dropped by the next call."""
        if self._producer is not None:
            self._producer, self._spent = None, self._producer
        if self._spent is not None:
            await self._spent.drop()
            self._spent = None

    def _reader(self) -> AbstractAsyncContextManager[Reader]:
        return connected(self._config, [self._state], reset="none")

    def _start(self) -> dict[tuple[str, int], int] | None:
        return None if self._position is None else {self._state: self._position}

    @property
    def _state(self) -> tuple[str, int]:
        return STATE, self._number

    @property
    def _part(self) -> TopicPartition:
        return TopicPartition(self._config.topic(STATE), self._number)
