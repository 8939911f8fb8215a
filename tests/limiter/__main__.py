"""`python -m tests.limiter`: four processes, the lease of the product, a real Redis that is hurt in each way.

Prints the most arrivals in any second; 0 where no second saw more than ten, and in health 0.9 of the bound came.
"""

from __future__ import annotations

import asyncio
import sys
import time

from certstream.limiter.redis import LEASE
from tests.limiter import faults
from tests.limiter.four import processes
from tests.pacing.__main__ import most


async def main() -> int:
    begin = time.monotonic()

    def say(text: str) -> None:
        arrivals = four.upstream.arrivals
        print(f"{time.monotonic() - begin:6.1f} s  {text:32}  {len(arrivals):5} arrivals, most {most(arrivals)}")

    async with processes(4, lease=LEASE) as four:
        await four.upstream.flowing(30)
        share = await faults.healthy(four, 20)
        say(f"healthy: {share:.3f} of the bound")
        await faults.flushed(four, LEASE)
        say("FLUSHALL")
        for step in (-3600, -1.5, 1.5, 3, 3600):
            await faults.stepped(four, LEASE, step)
            say(f"clock stepped by {step} s")
        for seconds in (0.5, 1.5, 3.0, 15.0):
            await faults.stopped(four, LEASE, seconds)
            say(f"SIGSTOP of Redis for {seconds} s")
        await faults.restarted(four, LEASE)
        say("restart, empty")
        await faults.killed(four, LEASE)
        say("kill -9 of two")
    return int(most(four.upstream.arrivals) > 10 or share < 0.9)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
