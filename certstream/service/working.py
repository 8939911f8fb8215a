"""One account at work: its parts, put together, and its loops; it goes on when its configuration changes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from certstream.core.draft import Draft
from certstream.core.errors import Fatal
from certstream.core.ledger import Settings, adopt
from certstream.ports import Claim, Source
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
from certstream.service.poller import Poller
from certstream.service.probing import Pace, Probing
from certstream.service.refreshing import Refreshing
from certstream.service.revoked import RevokedList
from certstream.service.sampling import Sampling
from certstream.service.searching import Searching
from certstream.service.tasks import in_turns
from certstream.service.writer import Writer

log = logging.getLogger("certstream")

DEADLINE = 5.0
"""Of a call, seconds."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a new configuration says of an account that is at work. `source`, `claim`: None where the old ones stay."""

    settings: Settings
    pace: Pace
    qps: int
    uid: str | None
    source: Source | None
    claim: Claim | None

    def of(self, entry: Entry) -> Entry:
        """The entry as it would be: of the same history; its user is not known yet where somebody else is asked."""
        now = replace(entry, pace=self.pace, qps=self.qps)
        if self.source is None:
            return replace(now, uid=self.uid or entry.uid)
        return replace(now, uid=self.uid, source=self.source, claim=self.claim, unanswered=False)


@dataclass(slots=True)
class Working:
    """See the module. `task` runs its loops, where the service watches."""

    entry: Entry
    poller: Poller
    observer: Observer
    health: Health
    writer: Writer
    calls: Calls
    confirming: Confirming
    revoked: RevokedList
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

    async def change(self, change: Change, changed: Entry) -> None:
        """Go on under another configuration: what is known, what is under way and the slots stay. `changed`: the entry
        by it, its user asked for. Whoever was asked before is the caller's to close, once no call is under way there.

        Raises Fatal, and changes nothing, where it would be another history.
        """
        self.refuse_another(change, changed)
        entry, ledger = self.entry, self.entry.ledger

        def adopted(draft: Draft) -> None:
            ledger.settings = change.settings
            draft.head.thresholds = adopt(draft.head, change.settings).thresholds
            draft.head.uid = same_user(draft.head, changed)

        thresholds = ledger.settings.thresholds
        await self.writer.do(ledger, adopted)
        entry.pace, entry.qps, entry.uid = changed.pace, changed.qps, changed.uid
        entry.claim, entry.unanswered = changed.claim, changed.unanswered
        entry.source = self.calls.source = changed.source
        self.poller.change(change.pace)
        if change.source is not None:
            self.revoked.ask_again()
        if thresholds != change.settings.thresholds:
            await in_turns(ledger.schedule(self.clock.wall()))

    async def keep_user(self) -> None:
        """Write the user, known only now, into the head."""

        def act(draft: Draft) -> None:
            draft.head.uid = same_user(draft.head, self.entry)

        await self.writer.do(self.entry.ledger, act)

    def refuse_another(self, change: Change, changed: Entry) -> None:
        """Raises Fatal where it would be another history, as far as its user is known."""
        ledger = self.entry.ledger
        if change.settings.budget != ledger.settings.budget:
            raise Fatal(
                f"account {ledger.name} has the budget {ledger.settings.budget!r} for ever, the configuration says "
                f"{change.settings.budget!r}: write budget = {ledger.settings.budget!r}"
            )
        if ledger.head is not None:
            same_user(ledger.head, changed)


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
    searching = Searching(
        calls=calls, observer=observer, look_ups=look_ups, clock=clock, metrics=metrics, size=entry.pace.page_size
    )
    revoked = RevokedList(calls=calls, observer=observer, look_ups=look_ups, clock=clock, pace=entry.pace)
    poller = Poller(
        calls=calls,
        observer=observer,
        look_ups=look_ups,
        refreshing=Refreshing(observer=observer, look_ups=look_ups, confirming=confirming),
        confirming=confirming,
        sampling=Sampling(calls=calls, observer=observer, clock=clock),
        searching=searching,
        probing=Probing(
            calls=calls,
            observer=observer,
            searching=searching,
            sooner=revoked.sweep_sooner,
            clock=clock,
            pace=entry.pace,
        ),
        revoked=revoked,
        clock=clock,
        metrics=metrics,
        pace=entry.pace,
    )
    health = Health(
        poller=poller,
        observer=observer,
        calls=calls,
        revoked=revoked,
        budget=budget,
        writer=writer,
        clock=clock,
        metrics=metrics,
    )
    return Working(entry, poller, observer, health, writer, calls, confirming, revoked, budget, clock)
