"""How long after a commit a `read_committed` reader has it, beside the same by confluent-kafka: the broker's floor."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, TopicPartition

from bench.journal.publish import Certstream, Confluent
from bench.journal.records import Commit, commits
from bench.result import Report, Value, progress
from certstream.core.wire import EVENTS
from certstream.service.writer import TOGETHER
from tests.real.kafka import Broker

WARM = 20
"""Commits before the count begins."""
LATE = 10.0
"""Seconds after which a record that nobody sees is an error."""

Returned = Callable[[Commit], Awaitable[float]]
"""Commits, and tells when it had returned, monotonic seconds."""


class Watch:
    """A librdkafka consumer of one topic in a thread of its own: when it saw each record, monotonic seconds."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"{topic}-watch",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
            }
        )
        part = TopicPartition(topic, 0)
        _, end = self._consumer.get_watermark_offsets(part, timeout=10)
        self._consumer.assign([TopicPartition(topic, 0, end)])
        self._seen: asyncio.Queue[tuple[bytes, float]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _look(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                at, key = time.monotonic(), message.key()
                assert isinstance(key, bytes)
                self._loop.call_soon_threadsafe(self._seen.put_nowait, (key, at))

    async def seen(self, key: bytes) -> float:
        """When the next record with this key came; waits for it."""
        async with asyncio.timeout(LATE):
            while (found := await self._seen.get())[0] != key:
                pass
        return found[1]


@dataclass
class Times:
    """Milliseconds: of the commits, and from their return to the reader (below zero: before it)."""

    commit: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)


async def run(broker: Broker, *, count: int, rounds: int) -> Report:
    """Commits of one event, at most one in 20 ms as the product's writer makes them, in blocks in turn."""
    ours = await Certstream.at(broker, "bench-seen.")
    theirs = await Confluent.at(broker, "bench-floor.")

    async def product(puts: Commit) -> float:
        await ours.shard.commit(puts)
        return time.monotonic()

    def blocking(puts: Commit) -> float:
        theirs.commit(puts)
        return time.monotonic()  # in its thread: what comes between that and the loop is not the broker's

    progress(f"visible: making {count * rounds + WARM:,} commits")
    wanted = list(commits(count * rounds + WARM, each=1))
    found = {"certstream": Times(), "confluent-kafka": Times()}
    commit: dict[str, Returned] = {
        "certstream": product,
        "confluent-kafka": lambda puts: asyncio.to_thread(blocking, puts),
    }
    with (
        Watch(broker.bootstrap, f"bench-seen.{EVENTS}") as seen,
        Watch(broker.bootstrap, f"bench-floor.{EVENTS}") as floor,
    ):
        watches = {"certstream": seen, "confluent-kafka": floor}
        for name in found:
            await _block(commit[name], watches[name], wanted[:WARM], Times())
        for turn in range(rounds):
            part = wanted[WARM + turn * count : WARM + (turn + 1) * count]
            for name in sorted(found, reverse=bool(turn % 2)):
                progress(f"visible: round {turn + 1} of {rounds}, {name}")
                await _block(commit[name], watches[name], part, found[name])
    await ours.close()
    await theirs.close()
    how = f"{rounds} × {count} commits of one event, one after the other, a librdkafka read_committed reader"
    return Report("visible", how, _values(found["certstream"], found["confluent-kafka"]))


async def _block(commit: Returned, watch: Watch, wanted: Sequence[Commit], into: Times) -> None:
    for puts in wanted:
        began = time.monotonic()
        returned = await commit(puts)
        at = await watch.seen(puts[0].key)  # its event comes first
        into.commit.append(1000 * (returned - began))
        into.visible.append(1000 * (at - returned))
        await asyncio.sleep(max(0.0, began + TOGETHER - time.monotonic()))


def _values(ours: Times, floor: Times) -> list[Value]:
    def line(name: str, one: Sequence[float], other: Sequence[float], part: int) -> Value:
        return Value(name, _at(one, part), "ms", _at(other, part), "floor (confluent-kafka)")

    return [
        line("commit returned to visible, p50", ours.visible, floor.visible, 50),
        line("commit returned to visible, p99", ours.visible, floor.visible, 99),
        line("commit itself, p50", ours.commit, floor.commit, 50),
        line("commit itself, p99", ours.commit, floor.commit, 99),
    ]


def _at(times: Sequence[float], part: int) -> float:
    return median(times) if part == 50 else quantiles(times, n=100, method="inclusive")[part - 1]
