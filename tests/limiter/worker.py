"""`python -m tests.limiter.worker REDIS PORT LEASE`: calls the server at PORT as often as the slots let it."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time

from certstream.limiter.redis import RedisSlots
from certstream.ports import Stale


async def call(slots: RedisSlots, port: int) -> None:
    permit = await slots.take()
    used = False
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                permit.guard()
                used = True
                writer.write(b"?")
                await reader.readexactly(1)
            finally:
                writer.transport.abort()
    except (Stale, OSError, asyncio.IncompleteReadError):
        pass
    finally:
        slots.give_back(permit, used=used)


async def main(url: str, port: int, lease: float) -> None:
    slots = RedisSlots(url, 10, clock=time.monotonic, lease=lease)
    slots.user("1234")

    async def caller() -> None:
        while True:
            await call(slots, port)

    await asyncio.gather(*(caller() for _ in range(10)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
