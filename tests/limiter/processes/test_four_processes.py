"""Four processes, one budget, one real Redis that is hurt: never eleven arrivals in any second.

The whole of it, with the lease of the product, is `make pacing-redis`.
"""

from __future__ import annotations

import asyncio

from tests.limiter import faults
from tests.limiter.four import processes
from tests.pacing.__main__ import most


async def test_healthy_flushed_and_two_killed() -> None:
    lease = 2.5  # enough for answers that take 50 ms
    async with processes(4, lease=lease) as four:
        await four.upstream.flowing(10)
        assert await faults.healthy(four, 2.5) > 0.5, "beside the other tests"
        await faults.flushed(four, lease)
        await faults.killed(four, lease)
    assert most(four.upstream.arrivals) <= 10


async def test_a_lease_shorter_than_a_call_lets_an_eleventh_arrive_and_a_longer_one_does_not() -> None:
    """Calls that may take two seconds on their way."""

    async def run(lease: float) -> int:
        async with processes(2, lease=lease, way=2.0) as two:
            await two.upstream.flowing(10)
            await asyncio.sleep(2.0)
        return most(two.upstream.arrivals)

    short, long = await asyncio.gather(run(0.5), run(4.0))
    assert short > 10, "the known-bad one"
    assert long <= 10
