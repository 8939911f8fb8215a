"""Ports for servers that a test starts."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

RANDOM = random.SystemRandom()
"""Tests that seed `random` get different ports all the same."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listened on a moment ago, and that no client gets: it is below
    those that the kernel gives to connections (32768 and up), or the next test's connection might have it."""
    while True:
        port = RANDOM.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
