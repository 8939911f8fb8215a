"""SIGTERM and Ctrl-C: the first asks to stop, the second does not ask. SIGHUP: read the configuration again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` at the first signal. A second Ctrl-C raises KeyboardInterrupt, a second SIGTERM ends the process."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        stop.set()
        for one in SIGNALS:
            loop.remove_signal_handler(one)

    for one in SIGNALS:
        loop.add_signal_handler(one, first)
    try:
        yield
    finally:
        for one in SIGNALS:
            loop.remove_signal_handler(one)


@contextmanager
def ask_on_hangup(asked: asyncio.Event) -> Iterator[None]:
    """Set `asked` at each SIGHUP, which would else end the process, to systemd without a fault."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
