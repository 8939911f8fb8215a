"""Four processes, one budget, one real Redis that is hurt: never eleven arrivals in any second."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis

from tests.pacing.__main__ import most
from tests.real.redis import RedisServer

ROOT = Path(__file__).resolve().parents[2]
TRIP = 0.05
LEASE = float(os.environ.get("LEASE", "6"))
"""Seconds: shorter than the product's, for the answers here take 50 ms; so the test need not wait 12 s."""


class Upstream:
    """Notes when calls arrive."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(1)
            self.arrivals.append(time.monotonic())
            await asyncio.sleep(TRIP)
            writer.write(b"!")
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def since(self, begin: float) -> int:
        return sum(at >= begin for at in self.arrivals)


@asynccontextmanager
async def four() -> AsyncIterator[tuple[RedisServer, Upstream, list[subprocess.Popen[bytes]]]]:
    redis, upstream = RedisServer(), Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    words = [sys.executable, "-m", "tests.limiter.worker", redis.url, str(port), str(LEASE)]
    workers = [subprocess.Popen(words, cwd=ROOT) for _ in range(4)]  # noqa: ASYNC220
    try:
        yield redis, upstream, workers
    finally:
        for process in (*workers, redis.process):
            process.kill()
            process.wait()
        server.close()
    assert most(upstream.arrivals) <= 10


async def flowing(upstream: Upstream) -> None:
    """Wait until calls arrive again."""
    begin = time.monotonic()
    async with asyncio.timeout(LEASE + 10):
        while upstream.since(begin) < 10:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_healthy_flushed_killed_restarted_stopped() -> None:
    async with four() as (redis, upstream, workers):
        await flowing(upstream)
        await asyncio.sleep(1)
        begin = time.monotonic()
        await asyncio.sleep(4)
        assert upstream.since(begin) / 4 >= 0.9 * 10 / (1 + TRIP)

        client = Redis.from_url(redis.url)
        await client.flushall()
        await client.aclose()
        begin = time.monotonic() + 0.3
        await asyncio.sleep(2)
        assert upstream.since(begin) == 0, "all slots were taken by nobody knows whom"
        await flowing(upstream)

        for process in workers[:2]:
            process.kill()
        await flowing(upstream)

        redis.process.send_signal(signal.SIGSTOP)
        begin = time.monotonic() + 0.3
        await asyncio.sleep(1.5)
        assert upstream.since(begin) == 0, "Redis is away: nobody calls"
        redis.process.send_signal(signal.SIGCONT)
        await flowing(upstream)

        redis.kill()
        redis.start()
        await flowing(upstream)
