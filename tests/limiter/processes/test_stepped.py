"""A redis-server whose own clock steps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from certstream.limiter.redis import RedisSlots
from tests.limiter import faults
from tests.limiter.contract import InRedis, all_free
from tests.limiter.four import UID, processes
from tests.pacing.__main__ import most
from tests.real.redis import RedisServer, known
from tests.real.stepping import SteppedClock

STEPS = [-3600, -2.5, -0.5, 0.5, 2.5, 3600]


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    server = RedisServer(clock=SteppedClock())
    await known(server.url, UID)
    yield server
    server.kill()


async def told(server: RedisServer) -> float:
    """What Redis says its time is, beside this host's."""
    async with Redis.from_url(server.url) as client:
        seconds, microseconds = await client.time()
    return float(seconds + microseconds / 1e6 - time.time())


@pytest.mark.parametrize("seconds", STEPS)
async def test_a_step_frees_nothing_that_is_held_and_what_is_held_comes_back(
    redis: RedisServer, seconds: float
) -> None:
    slots = RedisSlots(redis.url, 10, clock=time.monotonic, lease=4.0)
    slots.user(UID)
    assert len(await all_free(InRedis(slots))) == 10
    before = await told(redis)
    assert redis.clock is not None
    redis.clock.step(seconds)
    assert abs(await told(redis) - before - seconds) < 0.4, "its clock has really stepped"
    assert await slots.try_take() is None
    await asyncio.wait_for(slots.take(), 20)
    await slots.close()


async def test_four_processes_are_never_eleven_while_it_steps() -> None:
    lease = 3.5  # a second more than answers of 50 ms need, as a step below 2 s goes unnoticed
    async with processes(4, lease=lease) as four:
        await four.upstream.flowing(10)
        for seconds in (-3600, -1.5, 1.5, 2.5, 3600):
            await faults.stepped(four, lease, seconds)
    assert most(four.upstream.arrivals) <= 10
