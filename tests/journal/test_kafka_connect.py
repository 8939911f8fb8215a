"""Starting and stopping clients that misbehave as aiokafka does."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka.errors import KafkaError

from certstream.journal.kafka_config import KafkaConfig
from certstream.journal.kafka_connect import only_our_cancellation, started, stopped
from certstream.ports import JournalAway

CONFIG = KafkaConfig(bootstrap="nowhere:1", start_timeout=0.2, close_timeout=0.2)


async def a_cancelled_part() -> None:
    """What a consumer does when it is stopped in an outage: await a task that it has cancelled itself."""
    part = asyncio.create_task(asyncio.sleep(3600))
    part.cancel()
    await part


class Client:
    """A client that ends so, or never."""

    def __init__(self, *, hangs: bool) -> None:
        self.hangs = hangs

    async def start(self) -> None:
        await (asyncio.sleep(3600) if self.hangs else a_cancelled_part())

    async def stop(self) -> None:
        await self.start()


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_stop_that_hangs_or_cancels_itself_ends_and_cancels_nobody_else(hangs: bool) -> None:
    began = time.monotonic()
    await stopped(Client(hangs=hangs), CONFIG)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_start_that_hangs_or_cancels_itself_is_away(hangs: bool) -> None:
    with pytest.raises(JournalAway, match="did not answer" if hangs else "cancelled a part of itself"):
        await started(Client(hangs=hangs), CONFIG)


async def test_a_cancellation_that_is_meant_for_us_stays_one() -> None:
    async def work() -> None:
        with only_our_cancellation():
            await asyncio.sleep(3600)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(KafkaError), only_our_cancellation():
        await a_cancelled_part()
