"""Who is measured by `limiters`: each lets a call go ahead when its own rule says so, as its documentation shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from certstream.core.answers import Answer
from certstream.limiter.redis import RedisSlots
from certstream.service.budget import Budget, Urgency
from certstream.service.clock import Clock
from tests.real.redis import RedisServer, known

QPS = 10

Ask = Callable[[], Awaitable[Answer]]
Call = Callable[[Ask], Awaitable[Answer]]
Limiting = Callable[[], AbstractAsyncContextManager[Call]]


@asynccontextmanager
async def ours() -> AsyncIterator[Call]:
    """The service's own budget."""
    budget = Budget(QPS, clock=Clock())

    async def call(ask: Ask) -> Answer:
        return await budget.call(Urgency.SWEEP, ask)

    yield call


@asynccontextmanager
async def ours_in_redis() -> AsyncIterator[Call]:
    """The same with its slots in a real redis-server."""
    server = RedisServer()
    try:
        await known(server.url, "1")
        clock = Clock()
        slots = RedisSlots(server.url, QPS, clock=clock.boot)
        slots.user("1")
        budget = Budget(QPS, clock=clock, limiter=slots)

        async def call(ask: Ask) -> Answer:
            return await budget.call(Urgency.SWEEP, ask)

        yield call
        await slots.close()
    finally:
        server.kill()


@asynccontextmanager
async def aiolimiter() -> AsyncIterator[Call]:
    """A leaky bucket: ten in a second."""
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(QPS, 1)

    async def call(ask: Ask) -> Answer:
        async with limiter:
            return await ask()

    yield call


@asynccontextmanager
async def limits() -> AsyncIterator[Call]:
    """Its strictest strategy, a moving window of a second; who is refused asks again when the window says so."""
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import MemoryStorage
    from limits.aio.strategies import MovingWindowRateLimiter

    limiter, rate = MovingWindowRateLimiter(MemoryStorage()), RateLimitItemPerSecond(QPS)

    async def call(ask: Ask) -> Answer:
        while not await limiter.hit(rate, "calls"):
            window = await limiter.get_window_stats(rate, "calls")
            await asyncio.sleep(max(window.reset_time - time.time(), 0.001))
        return await ask()

    yield call


@asynccontextmanager
async def throttled() -> AsyncIterator[Call]:
    """Its default, a token bucket; it waits by itself."""
    from throttled.asyncio import Throttled, rate_limiter

    limiter = Throttled(key="calls", quota=rate_limiter.per_sec(QPS), timeout=60)

    async def call(ask: Ask) -> Answer:
        while (await limiter.limit()).limited:
            pass
        return await ask()

    yield call


CONTENDERS: dict[str, Limiting] = {
    "certstream": ours,
    "certstream, Redis": ours_in_redis,
    "aiolimiter": aiolimiter,
    "limits": limits,
    "throttled-py": throttled,
}
