"""What aiokafka only logs: causes are collected to tell them, floods are thinned.

aiokafka reports why it cannot connect in its log alone ("Unable to bootstrap" is all that it raises), and writes some
twenty errors a second during an outage. One filter on its loggers does both.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Causes = deque[str]

_causes: ContextVar[Causes | None] = ContextVar("kafka_causes", default=None)


@contextmanager
def collected() -> Iterator[Causes]:
    """The last warnings and errors of aiokafka that belong to the work inside: what is awaited here, and every task
    that starts here, for as long as it lives (a producer's causes are collected while it is in use)."""
    causes: Causes = deque(maxlen=4)
    token = _causes.set(causes)
    try:
        yield causes
    finally:
        _causes.reset(token)


@dataclass(slots=True)
class _Seen:
    since: float
    passed: int = 0
    dropped: int = 0


class Thinned(logging.Filter):
    """Lets `burst` records of one kind (logger and message template) through per `interval` seconds, and says with
    the next how many were left out."""

    def __init__(self, *, burst: int = 3, interval: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._burst = burst
        self._interval = interval
        self._clock = clock
        self._seen: dict[tuple[str, str], _Seen] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Collect the text as a cause, and decide whether it is written."""
        if record.levelno < logging.WARNING:
            return True
        causes = _causes.get()
        if causes is not None:
            causes.append(record.getMessage()[:256])
        now = self._clock()
        seen = self._seen.setdefault((record.name, str(record.msg)), _Seen(since=now))
        if now - seen.since >= self._interval:
            if seen.dropped:
                record.msg, record.args = f"{record.getMessage()} (and {seen.dropped} more like it)", ()
            seen.since, seen.passed, seen.dropped = now, 0, 0
        if seen.passed < self._burst:
            seen.passed += 1
            return True
        seen.dropped += 1
        return False


def told_already(record: logging.LogRecord) -> bool:
    """A filter for asyncio's logger: False for complaints about futures and tasks inside of aiokafka that a dropped
    producer leaves behind. What they hold has been raised already."""
    text, error = record.getMessage(), record.exc_info[1] if record.exc_info else None
    if text.startswith("Future exception was never retrieved"):
        return type(error).__module__ != "aiokafka.errors"
    return not (text.startswith("Task was destroyed but it is pending") and "/aiokafka/" in text)


_thinned = Thinned()


def install() -> None:
    """Put the filters on every logger of aiokafka, and on asyncio's. Calling it again changes nothing."""
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "aiokafka"]:
        logging.getLogger(name).addFilter(_thinned)
    logging.getLogger("asyncio").addFilter(told_already)
