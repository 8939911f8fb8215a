"""A cancellation must end a loop whenever it comes: before Python 3.12, `asyncio.wait_for` could lose one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from certstream.core.anchor import Anchor
from certstream.core.ledger import Ledger, Settings, begin
from certstream.core.times import thresholds
from certstream.service.clock import Clock
from certstream.service.doubts import Doubts
from certstream.service.metrics import Metrics
from certstream.service.writer import Writer

TICKS = range(6)
"""Turns of the loop between what wakes the loop and its cancellation."""


async def ends(task: asyncio.Task[Any]) -> bool:
    """Whether it does, cancelled now."""
    task.cancel()
    await asyncio.wait([task], timeout=0.5)
    try:
        return task.done()
    finally:
        task.cancel()


@pytest.mark.parametrize("ticks", TICKS)
async def test_a_writer_ends_when_it_is_cancelled_while_work_arrives(ticks: int) -> None:
    settings = Settings("prod", "prod", thresholds(["30d"]))
    ledger = Ledger(settings, Anchor(boot=0.0))
    ledger.head = begin(settings, lineage="0" * 16)
    shard = SimpleNamespace(owned_until=lambda: float("inf"), number=0)
    writer = Writer(cast(Any, shard), clock=Clock(), metrics=Metrics())
    running = asyncio.create_task(writer.run())
    await asyncio.sleep(0.01)
    work = asyncio.create_task(writer.do(ledger, lambda _: None))
    for _ in range(ticks):
        await asyncio.sleep(0)
    assert await ends(running)
    work.cancel()


@pytest.mark.parametrize("wait_for", [0.0, 30.0])
@pytest.mark.parametrize("ticks", TICKS)
async def test_waiting_for_doubts_ends_when_it_is_cancelled_while_one_arrives(ticks: int, wait_for: float) -> None:
    doubts = Doubts(Clock())

    async def wait() -> None:
        while True:
            await doubts.take(1)

    running = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    doubts.want({"a": wait_for})
    for _ in range(ticks):
        await asyncio.sleep(0)
    assert await ends(running)


async def test_a_journal_that_does_not_answer_is_told_before_its_deadline() -> None:
    owned = [float("inf")]
    shard = SimpleNamespace(owned_until=lambda: owned[0], number=0)
    clock = Clock()
    writer = Writer(cast(Any, shard), clock=clock, metrics=Metrics())
    assert writer.ails() is None
    owned[0] = clock.boot() - 0.1
    assert "has not answered" in (writer.ails() or "")
    writer.trouble = "a doubt"
    assert writer.ails() == "a doubt"
