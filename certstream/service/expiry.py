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
SLICE = 500
"""Rows that are entered into the calendar while nothing else runs."""
BEAT = 0.5
"""Seconds between looks at the calendar."""
SET_BACK = 1.0
"""Seconds by which the wall clock may fall behind before the calendar is built anew."""


async def keep(ledger: Ledger, writer: Writer, clock: Clock) -> None:
    """Tell each threshold when it passes, for ever; hold them while the clock cannot be trusted, and say so."""
    held = False
    ahead = _ahead(clock)
    while True:
        if ahead - _ahead(clock) > SET_BACK:
            # What was entered by the clock as it was then would come late, or, passed over, never.
            await plan_anew(ledger, clock)
            ahead = _ahead(clock)
        ahead = max(ahead, _ahead(clock))
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


async def plan_anew(ledger: Ledger, clock: Clock) -> None:
    """Enter every row by the thresholds and the clock as they are now. Others' calls and commits go on meanwhile: a
    million rows are half a minute. What was entered before stays, and is found out when it is due."""
    for first in range(0, len(ledger.inventory), SLICE):
        ledger.plan(range(first, min(first + SLICE, len(ledger.inventory))), clock.wall())
        await asyncio.sleep(0)


def _ahead(clock: Clock) -> float:
    """Seconds by which wall time is ahead of boot time: falls where the clock is set back."""
    return clock.wall() / 1000 - clock.boot()


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


async def tell_all(ledger: Ledger, writer: Writer, clock: Clock) -> None:
    """Tell everything that is due now, if the clock can be trusted: for `once`."""
    while (due := ledger.calendar.next()) is not None and due <= clock.wall() and writer.trusts_clock(ledger):
        await tell(ledger, writer, clock)
