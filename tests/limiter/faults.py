"""What is done to four processes and their Redis; each raises AssertionError where it does not end well."""

from __future__ import annotations

import asyncio
import signal
import time

from redis.asyncio import Redis

from tests.limiter.four import TRIP, Processes

START = 10.0
"""Seconds that a machine may be late."""


async def healthy(four: Processes, seconds: float) -> float:
    """Gives the share of the bound: 0.9 and more, where the machine does nothing else."""
    await asyncio.sleep(1)
    begin = time.monotonic()
    await asyncio.sleep(seconds)
    end = time.monotonic()
    return four.upstream.since(begin) / (end - begin) / (10 / (1 + TRIP))


async def _quiet(four: Processes, seconds: float) -> None:
    begin = time.monotonic() + 0.3
    await asyncio.sleep(seconds)
    assert four.upstream.since(begin) == 0, "nobody calls"


async def flushed(four: Processes, lease: float) -> None:
    """All slots were taken by nobody knows whom."""
    async with Redis.from_url(four.redis.url) as client:
        await client.flushall()
    await _quiet(four, lease - 0.5)
    await four.upstream.flowing(lease + START)


async def killed(four: Processes, lease: float) -> None:
    """Two of the four, with what they hold."""
    for process in four.workers[:2]:
        process.kill()
    await four.upstream.flowing(lease + START)


async def stopped(four: Processes, lease: float, seconds: float) -> None:
    """Redis itself, for so long."""
    four.redis.process.send_signal(signal.SIGSTOP)
    await _quiet(four, seconds)
    four.redis.process.send_signal(signal.SIGCONT)
    await four.upstream.flowing(lease + START)


async def restarted(four: Processes, lease: float) -> None:
    """Redis, empty."""
    four.redis.kill()
    four.redis.start()
    await four.upstream.flowing(lease + START)


async def stepped(four: Processes, lease: float, seconds: float) -> None:
    """Redis's own clock."""
    assert four.redis.clock is not None
    four.redis.clock.step(seconds)
    await four.upstream.flowing(lease + START)
