"""Getting an answer onto the wire, whole or broken on purpose, and knowing whether it got there."""

from __future__ import annotations

import asyncio
import socket
import struct
from random import Random

from aiohttp import web

from certstream.simulator.config import Fault, SimulatorConfig
from certstream.simulator.signature import Refused

_POLL = 0.001
"""Seconds between looks at a transport's buffer."""

HTML = "<!DOCTYPE html><html><head><title>Sorry</title></head><body><h1>We will be back soon</h1></body></html>"


class Dice:
    """Seeded chance: which call is broken how, and how long an answer takes."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._faults = Random(f"{config.seed}/faults")
        self._latency = Random(f"{config.seed}/latency")

    def fault(self) -> Fault | None:
        """What happens to this call; None nearly always."""
        roll = self._faults.random()
        for fault, probability in self._config.faults.items():
            roll -= probability
            if roll < 0:
                return fault
        return None

    def delays(self) -> tuple[float, float]:
        """Seconds before and after the instant that the answer is of."""
        whole = self._config.latency + self._config.jitter * self._latency.random()
        before = whole * self._latency.random()
        return before, whole - before


def refusal(fault: Fault) -> Refused | None:
    """The error that stands for a fault, for the kinds that are an error answer."""
    if fault == "unavailable":
        return Refused(503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
    if fault == "internal":
        return Refused(500, "InternalError", "The request processing has failed due to some unknown error.")
    return None


async def deliver(request: web.BaseRequest, response: web.Response) -> bool:
    """True when the whole answer was handed to the kernel while the connection was open."""
    try:
        await response.prepare(request)
        await response.write_eof()
        transport = request.transport
        while transport is not None and not transport.is_closing() and _unsent(transport):
            await asyncio.sleep(_POLL)
            transport = request.transport
    except ConnectionError:
        return False
    return transport is not None and not transport.is_closing()


async def deliver_half(request: web.BaseRequest, response: web.Response) -> None:
    """The head and half of the body, then the end of the connection."""
    body = response.body
    assert isinstance(body, bytes)
    half = web.StreamResponse(status=response.status, headers={"Date": response.headers["Date"]})
    half.content_type = response.content_type
    half.content_length = len(body)
    try:
        await half.prepare(request)
        await half.write(body[: len(body) // 2])
    except ConnectionError:
        return
    if request.transport is not None:
        request.transport.close()


def reset(request: web.BaseRequest) -> None:
    """RST: closing with a linger time of zero (SO_LINGER, socket(7))."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _unsent(transport: asyncio.BaseTransport) -> int:
    return transport.get_write_buffer_size() if isinstance(transport, asyncio.Transport) else 0
