"""Watches whether the journal's topics are as defined: told at the start, hourly and as a metric, never mended here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from certstream.core.errors import CertstreamError, Transient
from certstream.service.metrics import Metrics

log = logging.getLogger("certstream")

AGAIN = 3600.0
"""Seconds between looks."""
SOON = 60.0
"""Seconds until the next look after one that failed and may pass."""

Look = Callable[[], Awaitable[Sequence[str]]]
"""Each difference as a sentence. Raises Transient, or Fatal where a right is missing."""


async def watch(look: Look, metrics: Metrics) -> None:
    """For ever. What was told is told again only after it changed."""
    told: Sequence[str] | None = None
    unknown: str | None = None
    while True:
        pause = AGAIN
        try:
            found = await look()
        except CertstreamError as error:
            metrics.topic_differences.set(float("nan"))
            if unknown != str(error):
                log.warning("topics.unknown", extra={"reason": str(error)})
            told, unknown = None, str(error)
            pause = SOON if isinstance(error, Transient) else AGAIN
        else:
            metrics.topic_differences.set(len(found))
            if found != told:
                for one in found:
                    log.warning("topics.differ", extra={"difference": one, "mend": "certstream topics apply"})
            told, unknown = found, None
        await asyncio.sleep(pause)
