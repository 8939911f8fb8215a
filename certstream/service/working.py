"""One account at work: its parts, put together, and its loops; it goes on when its configuration changes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from certstream.core.draft import Draft
from certstream.core.errors import CertstreamError, Fatal
from certstream.core.ledger import Settings, adopt
from certstream.ports import Source
from certstream.service import expiry
from certstream.service.budget import Budget
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.confirming import Confirming
from certstream.service.doubts import Doubts
from certstream.service.health import Health
from certstream.service.lookups import LookUps
from certstream.service.metrics import Metrics
from certstream.service.observing import Observer
from certstream.service.opening import Entry, same_user
from certstream.service.poller import Pace, Poller
from certstream.service.writer import Writer

log = logging.getLogger("certstream")

DEADLINE = 5.0
"""Of a call, seconds."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a new configuration says of an account that is at work. `source`: None where the old one stays."""

    settings: Settings
    pace: Pace
    qps: int
    uid: str | None
    source: Source | None


@dataclass(slots=True)
class Working:
    """See the module. `task` runs its loops, where the service watches."""

    entry: Entry
    poller: Poller
    health: Health
    writer: Writer
    calls: Calls
    confirming: Confirming
    budget: Budget
    clock: Clock
    task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Poll, keep the calendar and the record of `accounts`, for ever."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self.health.keep())
            loops.create_task(expiry.keep(self.entry.ledger, self.writer, self.clock))
            loops.create_task(self.poller.run())

    async def stop(self) -> None:
        """End its loops. Calls under way are given up; their slots come back to the budget as ever."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait((self.task,))

    async def change(self, change: Change) -> None:
        """Go on under another configuration: what is known, what is under way and the slots stay. Whoever was asked
        before is the caller's to close, once no call is under way there.

        Raises Fatal, and changes nothing, where it would be another history.
        """
        entry, ledger = self.entry, self.entry.ledger
        if change.settings.budget != ledger.settings.budget:
            raise Fatal(
                f"account {ledger.name} has the budget {ledger.settings.budget!r} for ever, the configuration says "
                f"{change.settings.budget!r}: write budget = {ledger.settings.budget!r}"
            )
        before = entry.uid
        try:
            entry.uid = await self._user(change)
            if ledger.head is not None:
                same_user(ledger.head, entry)
        except BaseException:
            entry.uid = before
            raise

        def adopted(draft: Draft) -> None:
            ledger.settings = change.settings
            draft.head.thresholds = adopt(draft.head, change.settings).thresholds
            draft.head.uid = same_user(draft.head, entry)

        thresholds = ledger.settings.thresholds
        await self.writer.do(ledger, adopted)
        if thresholds != change.settings.thresholds:
            ledger.schedule(self.clock.wall())
        entry.pace, entry.qps = change.pace, change.qps
        if change.source is not None:
            entry.source = self.calls.source = change.source
        self.poller.change(change.pace)

    async def _user(self, change: Change) -> str | None:
        """Whose certificates these are from now on, as far as somebody says so."""
        if change.source is None or change.uid is not None:
            return change.uid or self.entry.uid
        try:
            return await change.source.uid()
        except CertstreamError as error:
            log.warning("uid.unknown", extra={"account": self.entry.ledger.name, "reason": str(error)})
            return None


async def retire(source: Source) -> None:
    """Close it when every call through it is over, one way or the other."""
    try:
        await asyncio.sleep(DEADLINE + 1.0)
    finally:
        await source.close()


def put_together(entry: Entry, *, budget: Budget, writer: Writer, clock: Clock, metrics: Metrics) -> Working:
    """The parts of one account."""
    ledger, doubts = entry.ledger, Doubts(clock)
    calls = Calls(ledger=ledger, source=entry.source, budget=budget, writer=writer, clock=clock, metrics=metrics)
    observer = Observer(ledger=ledger, calls=calls, writer=writer, doubts=doubts, clock=clock, metrics=metrics)
    look_ups = LookUps(calls=calls, observer=observer, doubts=doubts, clock=clock)
    confirming = Confirming(calls=calls, observer=observer, clock=clock)
    poller = Poller(
        calls=calls,
        observer=observer,
        look_ups=look_ups,
        confirming=confirming,
        clock=clock,
        metrics=metrics,
        pace=entry.pace,
    )
    health = Health(
        poller=poller, observer=observer, calls=calls, budget=budget, writer=writer, clock=clock, metrics=metrics
    )
    return Working(entry, poller, health, writer, calls, confirming, budget, clock)
