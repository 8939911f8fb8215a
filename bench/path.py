"""A server at the end of a path with a delay, in a process of its own: it notes when calls arrive.

`python -m bench.path ROUND_TRIP JITTER` (seconds) prints its port, answers every call with a page of 100 real records,
and prints the arrivals (monotonic seconds, one clock for all processes of a machine) when its stdin ends. Half of the
round trip and all of the jitter pass before a call arrives: that is where jitter endangers the limit.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time

import orjson
from aiohttp import web

from bench.pages import SIZE, generate
from bench.serving import served


async def serve(round_trip: float, jitter: float) -> None:
    body = next(generate(SIZE))
    arrivals: list[float] = []
    dice = random.Random(1)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(round_trip / 2 + dice.uniform(0, jitter))
        arrivals.append(time.monotonic())
        await asyncio.sleep(round_trip / 2)
        return web.Response(body=body, content_type="application/json")

    await served(handle)
    print(orjson.dumps(arrivals).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), float(sys.argv[2])))
