"""A process of its own that restores an account from Kafka, and reads the same topic with a bare consumer.

`python -m bench.journal.restorer BOOTSTRAP WARM PREFIX ROWS` (both prefixes of topics; the first is small and warms
everything up) writes a line of JSON: `bytes` (growth of its resident memory by the restored account, calendar
included) and `most` (growth while it was restored). Then, after each line on stdin, `seconds`: `bare` reads,
`certstream` restores.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.contender import resident
from bench.journal.records import ledger
from certstream.core.ledger import Ledger
from certstream.core.restored import check
from certstream.core.wire import STATE
from certstream.journal.kafka import KafkaConfig, KafkaJournal
from certstream.ports import Shard
from certstream.service.clock import Clock
from certstream.service.opening import Memory
from certstream.service.tasks import in_turns


class Restored:
    """What `service.opening` does when a shard is opened, up to the account's calendar."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._clock = Clock()
        self.ledger: Ledger | None = None
        self._journal: KafkaJournal | None = None

    async def start(self) -> None:
        self.drop()
        self._journal = KafkaJournal(self._config)
        await self._journal.start()

    async def open(self) -> Shard:
        """The product's restore."""
        assert self._journal is not None
        self.ledger = ledger()
        memory = Memory(self._clock)
        memory.take(self.ledger)
        return await self._journal.open(0, memory.apply)

    async def check(self) -> None:
        """Look into its rows."""
        assert self.ledger is not None
        await in_turns(check(self.ledger, now=self._clock.monotonic(), wall=self._clock.wall()))

    async def schedule(self) -> None:
        """Build its calendar."""
        assert self.ledger is not None
        await in_turns(self.ledger.schedule(self._clock.wall()))

    def drop(self) -> None:
        self.ledger = None
        gc.collect()


async def bare(config: KafkaConfig) -> int:
    """The shortest loop that reads every committed record of the topic, with the product's fetch sizes; how many."""
    part = TopicPartition(config.topic(STATE), 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_bytes=16 << 20,
    )
    await consumer.start()
    try:
        consumer.assign([part])
        end = (await consumer.end_offsets([part]))[part]
        await consumer.seek_to_beginning(part)
        count = 0
        while await consumer.position(part) < end:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    count += record.value is not None
        return count
    finally:
        await consumer.stop()


def _most() -> int:
    """The most that this process ever had in memory since `_forget_most`, bytes (Linux: `proc(5)`)."""
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM"))


def _forget_most() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@contextmanager
def _timed(into: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    into[name] = time.perf_counter() - began


def _tell(values: dict[str, float]) -> None:
    sys.stdout.buffer.write(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


async def _restore(restored: Restored, rows: int) -> dict[str, float]:
    times: dict[str, float] = {}
    await restored.start()
    with _timed(times, "seconds"):
        shard = await restored.open()
    with _timed(times, "check"):
        await restored.check()
    with _timed(times, "schedule"):
        await restored.schedule()
    await shard.close(release=False)
    assert restored.ledger is not None
    if len(restored.ledger.inventory) != rows:
        raise RuntimeError(f"{len(restored.ledger.inventory)} rows restored, {rows} were written")
    return times


async def main() -> None:
    bootstrap, warm, prefix, rows = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    trial = Restored(KafkaConfig(bootstrap=bootstrap, prefix=warm))
    await trial.start()
    await (await trial.open()).close(release=False)
    await trial.check()
    await trial.schedule()
    await bare(KafkaConfig(bootstrap=bootstrap, prefix=warm))
    trial.drop()
    config = KafkaConfig(bootstrap=bootstrap, prefix=prefix)
    restored = Restored(config)
    gc.collect()
    before = resident()
    _forget_most()
    await _restore(restored, rows)
    most = _most() - before
    gc.collect()
    _tell({"bytes": resident() - before, "most": most})
    loop = asyncio.get_running_loop()
    while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        restored.drop()
        if word == "certstream":
            _tell(await _restore(restored, rows))
            continue
        times: dict[str, float] = {}
        with _timed(times, "seconds"):
            count = await bare(config)
        if count <= rows:
            raise RuntimeError(f"{count} records read, {rows} rows were written")
        _tell(times)


if __name__ == "__main__":
    asyncio.run(main())
