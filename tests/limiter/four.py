"""Processes that share one budget through one real Redis, and the server that notes when their calls arrive."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.real.redis import RedisServer, known
from tests.real.stepping import SteppedClock

ROOT = Path(__file__).resolve().parents[2]
TRIP = 0.05
UID = "1234"


@dataclass(slots=True)
class Upstream:
    """Notes when calls arrive. `way`: seconds that one may take to get here, at most."""

    way: float = 0.0
    arrivals: list[float] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(1)
            await asyncio.sleep(random.uniform(0, self.way))
            self.arrivals.append(time.monotonic())
            await asyncio.sleep(TRIP)
            writer.write(b"!")
            await reader.read()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def since(self, begin: float) -> int:
        return sum(at >= begin for at in self.arrivals)

    async def flowing(self, within: float) -> None:
        """Wait until calls arrive again."""
        begin = time.monotonic()
        async with asyncio.timeout(within):
            while self.since(begin) < 10:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@dataclass(slots=True)
class Processes:
    redis: RedisServer
    upstream: Upstream
    workers: list[subprocess.Popen[bytes]]


@asynccontextmanager
async def processes(count: int, *, lease: float, way: float = 0.0) -> AsyncIterator[Processes]:
    """`count` of them, each of which calls as often as the slots let it."""
    redis, upstream = RedisServer(clock=SteppedClock()), Upstream(way)
    await known(redis.url, UID)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    words = [sys.executable, "-m", "tests.limiter.worker", redis.url, str(port), str(lease)]
    workers = [subprocess.Popen(words, cwd=ROOT) for _ in range(count)]  # noqa: ASYNC220
    try:
        yield Processes(redis, upstream, workers)
    finally:
        for process in (*workers, redis.process):
            process.kill()
            process.wait()
        server.close()
