"""Watches whether the journal's topics are as defined: told at the start, hourly and as a metric, never mended here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from certstream.core.errors import CertstreamError, Transient
from certstream.service.metrics import Metrics

log = logging.getLogger("certstream")

AGAIN = 3600.0
"""Seconds between looks."""
SOON = 60.0
"""Seconds until the next look after one that failed and may pass."""


class Drift(NamedTuple):
    """A difference as a sentence; whether `certstream topics apply` mends it."""

    difference: str
    mendable: bool


Look = Callable[[], Awaitable[Sequence[Drift]]]
"""Raises Transient, or Fatal where a right is missing."""


async def watch(look: Look, metrics: Metrics) -> None:
    """For ever. What was told is told again only after it changed."""
    told: Sequence[Drift] | None = None
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
                    # The plan says why what `apply` leaves alone is left alone, and what to do about it.
                    mend = f"certstream topics {'apply' if one.mendable else 'plan'}"
                    log.warning("topics.differ", extra={"difference": one.difference, "mend": mend})
            told, unknown = found, None
        await asyncio.sleep(pause)
