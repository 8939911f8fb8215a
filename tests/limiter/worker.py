"""`python -m tests.limiter.worker REDIS PORT LEASE`: calls the server at PORT as often as its budget lets it."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from contextlib import suppress

from certstream.core.answers import Answer, Page
from certstream.limiter.redis import RedisSlots
from certstream.ports import Stale
from certstream.service.budget import Budget, Urgency, permitted
from certstream.service.clock import Clock


async def call(port: int) -> Answer:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            permitted()
            sent = time.monotonic()
            writer.write(b"?")
            await reader.readexactly(1)
        finally:
            writer.transport.abort()
    page = Page(number=1, size=None, total=None, records=(), request_id=None)
    return Answer(page, sent=sent, received=time.monotonic(), sent_at=0, received_at=0, date=None)


async def main(url: str, port: int, lease: float) -> None:
    clock = Clock()
    slots = RedisSlots(url, 10, clock=clock.boot, lease=lease)
    slots.user("1234")
    budget = Budget(10, clock=clock, limiter=slots)

    async def caller() -> None:
        while True:
            with suppress(Stale, OSError, asyncio.IncompleteReadError):
                await budget.call(Urgency.PROBE, lambda: call(port))

    await asyncio.gather(*(caller() for _ in range(10)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
