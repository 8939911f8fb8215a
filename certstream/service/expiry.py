"""The expiry clock: thresholds fire from the calendar, also while the API is down."""

from __future__ import annotations

import asyncio
import logging

from certstream.core.account import tick
from certstream.core.draft import Draft
from certstream.core.ledger import Ledger
from certstream.service.clock import Clock
from certstream.service.writer import Writer

log = logging.getLogger("certstream")

AT_ONCE = 100
"""Certificates in one decision."""
BEAT = 0.5
"""Seconds between looks at the calendar."""


async def keep(ledger: Ledger, writer: Writer, clock: Clock) -> None:
    """Tell each threshold when it passes, for ever; hold them while the clock cannot be trusted, and say so."""
    held = False
    while True:
        due = ledger.calendar.next()
        if due is None or due > clock.wall():
            await asyncio.sleep(BEAT)
            continue
        if not writer.trusts_clock(ledger):
            if not held:
                log.warning("thresholds.held", extra={"account": ledger.name, "reason": "no proof of the time yet"})
            held = True
            await asyncio.sleep(BEAT)
            continue
        held = False
        await tell(ledger, writer, clock)


async def tell(ledger: Ledger, writer: Writer, clock: Clock) -> None:
    """Take what is due out of the calendar and tell it."""
    numbers = ledger.calendar.pop(clock.wall(), AT_ONCE)

    def act(draft: Draft) -> None:
        if draft.fires:
            tick(draft, numbers)

    try:
        await writer.do(ledger, act)
    finally:
        ledger.plan(numbers, clock.wall())
