"""One open shard: its owner's writer, the budgets of its users, and the accounts that come and go in it.

It stays open when its last account has gone: the budgets remember when each slot is free, and the owner stays the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from certstream.ports import Journal, JournalAway, JournalDoubt, Shard
from certstream.service import users
from certstream.service.budget import Budget
from certstream.service.clock import Clock
from certstream.service.metrics import Metrics
from certstream.service.opening import PAUSE, Entry, Memory, head_of, head_puts, open_shard
from certstream.service.working import DEADLINE, Working, put_together
from certstream.service.writer import Writer

log = logging.getLogger("certstream")

OWNERSHIP = 5.0
"""Seconds for which a proof of ownership allows calls."""
TAKE_OVER = OWNERSHIP + DEADLINE + 1.0
"""Seconds before the first call, where an earlier owner may still be calling."""
FINISH = 5.0
"""Seconds that the commit in hand may take when the service stops."""


@dataclass(slots=True)
class Group:
    """See the module. Made by `open_group`."""

    journal: Journal
    shard: Shard
    memory: Memory
    writer: Writer
    clock: Clock
    metrics: Metrics
    opened: float
    """monotonic"""
    entries: list[Entry] = field(default_factory=list)
    budgets: dict[str, Budget] = field(default_factory=dict)
    writing: asyncio.Task[None] | None = None

    async def admit(self, entry: Entry) -> None:
        """Take in an account while the others work. Raises Fatal where it cannot be, Fenced.

        Nobody but this process writes its rows, and once it is this account's turn with the writer all that it ever
        wrote is settled: what is read up to there is everything. The others commit, and call, meanwhile.
        """
        while True:
            entry.ledger.clear()
            try:
                await self._restore(entry)
                return
            except (JournalAway, JournalDoubt) as error:
                log.warning("journal.away", extra={"reason": str(error), "shard": self.shard.number})
                await asyncio.sleep(PAUSE)
            finally:
                if entry not in self.entries:
                    self.memory.ledgers.pop(entry.ledger.name, None)

    async def _restore(self, entry: Entry) -> None:
        ledger, clock, verify = entry.ledger, self.clock, self.shard.verify
        await self.writer.turn(verify)
        await self.shard.reread(Memory(clock, {ledger.name: ledger}).apply)
        # In a thread: a million rows are decoded, and the others' calls must not wait for that.
        await asyncio.to_thread(ledger.check, now=clock.monotonic(), wall=clock.wall())
        head = await head_of(self.journal, self.shard.number, entry, lambda: self.writer.turn(verify))
        self.memory.ledgers[ledger.name] = ledger  # after a doubt, the journal's answer is for it too
        await self.writer.turn(lambda: self.shard.commit(head_puts(ledger, head)))
        ledger.head = head
        await asyncio.to_thread(ledger.schedule, clock.wall())
        entry.ownership.shard = self.shard
        self.entries.append(entry)

    async def part(self, entry: Entry) -> None:
        """An account whose loops have ended leaves. What it asked for last may be in doubt: the journal's answer is for
        its memory too, or the same would be decided, and told, again."""
        await self.writer.turn(_settled)
        self.dismiss(entry)

    def dismiss(self, entry: Entry) -> None:
        """An account that has nothing to be committed is not this one's any more."""
        self.entries.remove(entry)
        self.memory.ledgers.pop(entry.ledger.name, None)
        self.pace(entry.ledger.settings.budget)

    def put_to_work(self, entry: Entry) -> Working:
        """The parts of an account of this shard; its loops are the caller's. Raises Held."""
        name = entry.ledger.settings.budget
        if name not in self.budgets:
            budget = self.budgets[name] = Budget(self._qps(name), clock=self.clock, limiter=entry.limiter)
            taken = self.shard.opened.previous and not self.shard.opened.released
            if taken and self.clock.monotonic() < self.opened + TAKE_OVER:
                log.info("take-over", extra={"budget": name, "seconds": TAKE_OVER})
                budget.hold(TAKE_OVER)
        users.hold([entry], self.budgets)
        self.pace(name)
        return put_together(
            entry, budget=self.budgets[name], writer=self.writer, clock=self.clock, metrics=self.metrics
        )

    def pace(self, budget: str) -> None:
        """The entries of one user call as often as the most modest of them may."""
        if any(entry.ledger.settings.budget == budget for entry in self.entries) and budget in self.budgets:
            self.budgets[budget].resize(self._qps(budget))

    def _qps(self, budget: str) -> int:
        return min(entry.qps for entry in self.entries if entry.ledger.settings.budget == budget)

    def idle(self) -> bool:
        """Every slot of every budget is back."""
        return all(budget.idle() for budget in self.budgets.values())

    async def finish(self) -> None:
        """Let the commit in hand end, within its deadline."""
        self.writer.stop()
        if self.writing is not None:
            _, hanging = await asyncio.wait((self.writing,), timeout=FINISH)
            for one in hanging:
                one.cancel()


async def _settled() -> None:
    """Whose turn it is knows that everything asked for before is."""


async def open_group(
    journal: Journal,
    number: int,
    entries: Sequence[Entry],
    *,
    clock: Clock,
    metrics: Metrics,
    away: Callable[[str | None], None],
) -> Group:
    """Own a shard and restore its accounts; waits for a journal that is away. `away` is told why, and None at last."""
    memory = Memory(clock)
    shard = await open_shard(journal, number, entries, memory, away)
    writer = Writer(shard, clock=clock, metrics=metrics)
    return Group(journal, shard, memory, writer, clock, metrics, clock.monotonic(), list(entries))
