"""The expiry clock: thresholds fire from the calendar, also while the API is down."""

from __future__ import annotations

import asyncio
import logging

from certstream.core.account import tick
from certstream.core.draft import Draft
from certstream.core.ledger import Ledger
from certstream.service.clock import Clock
from certstream.service.tasks import in_turns
from certstream.service.writer import Writer

log = logging.getLogger("certstream")

AT_ONCE = 100
"""Certificates in one decision."""
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
            await in_turns(ledger.schedule(clock.wall()))
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
