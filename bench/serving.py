"""A benchmark's server in a process of its own: it prints its port, and ends when its standard input does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web


async def served(handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
    """Answer requests on loopback until whoever started this process closes its standard input."""
    runner = web.ServerRunner(web.Server(handle), handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
