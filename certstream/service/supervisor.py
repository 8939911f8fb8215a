"""Opens the shards of the configured accounts, runs their loops, and stops them in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from certstream.core.draft import Draft
from certstream.core.errors import CertstreamError
from certstream.core.sharding import shard_of
from certstream.ports import Journal, JournalAway, Shard
from certstream.service import expiry, users
from certstream.service.budget import Budget
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.confirming import Confirming, NothingToConfirm
from certstream.service.doubts import Doubts
from certstream.service.health import Health
from certstream.service.lookups import LookUps
from certstream.service.metrics import Metrics
from certstream.service.observing import Observer
from certstream.service.opening import PAUSE, Entry, identify, identify_later, open_shard, refuse_two_budgets, same_user
from certstream.service.poller import Poller
from certstream.service.searching import Searching
from certstream.service.writer import Writer

log = logging.getLogger("certstream")
T = TypeVar("T")

OWNERSHIP = 5.0
"""Seconds for which a proof of ownership allows calls."""
DEADLINE = 5.0
"""Of a call, seconds."""
TAKE_OVER = OWNERSHIP + DEADLINE + 1.0
"""Seconds before the first call, where an earlier owner may still be calling."""

FINISH = 5.0
"""Seconds that the commit in hand may take when the service stops."""


@dataclass(slots=True)
class _Running:
    """One account at work."""

    poller: Poller
    observer: Observer
    health: Health
    writer: Writer
    confirming: Confirming


@dataclass(slots=True)
class Supervisor:
    """The service: `run` it once."""

    journal: Journal
    entries: Sequence[Entry]
    clock: Clock
    metrics: Metrics
    release: Callable[[float | None], None] = lambda free_at: None
    """Lets other processes on this host make the users' calls; since when all slots are back, None: not known."""
    _running: dict[str, _Running] = field(default_factory=dict)
    _budgets: dict[str, Budget] = field(default_factory=dict)
    _unknown: list[Entry] = field(default_factory=list)
    _away: str | None = None
    _step: str = "waiting for the journal"
    """what keeps the accounts that are not running yet, for people"""

    def status(self) -> dict[str, Any]:
        """For `/readyz`: how the journal and every configured account are, from the start: `check` and `once` ask whose
        calls this process makes, or is about to make."""
        accounts = {entry.ledger.name: self._tell(entry) for entry in self.entries}
        trouble = self._away or next(filter(None, (one.writer.ails() for one in self._running.values())), None)
        journal = {"state": "away", "reason": trouble} if trouble else {"state": "ok"}
        return {"accounts": accounts, "journal": journal}

    def _tell(self, entry: Entry) -> dict[str, Any]:
        """`starting` is not a state of the contract: the topic `accounts` never says it."""
        running, head = self._running.get(entry.ledger.name), entry.ledger.head
        state, reason = "starting", self._step if running is None else running.health.starting()
        if running is not None and reason is None:
            now = running.health.look()
            state, reason = now.state, now.reason
        return {
            "state": state,
            "reason": reason,
            "certificates": entry.ledger.live() if head is not None else None,
            "observedthrough": head.observed if head is not None else None,
            "confirmation": running.confirming.told() if running is not None else None,
        }

    def confirm(self, account: str, by: str, why: str) -> int:
        """An operator says that what is missing in a suspect account is gone; gives how many certificates these are.

        Raises NothingToConfirm; KeyError for an account that is not configured.
        """
        if account not in {entry.ledger.name for entry in self.entries}:
            raise KeyError(account)
        if (running := self._running.get(account)) is None:
            raise NothingToConfirm(f"the account is still starting: {self._step}")
        return running.confirming.begin(by, why)

    async def run(self, stop: asyncio.Event, *, once: bool = False) -> bool:
        """Watch until `stop`; with `once`, until one complete sweep of each account. False: a sweep was not complete.

        Raises Fenced when another process took a shard, Fatal for what nobody but a person can mend.
        """
        try:
            opened = await _unless(stop, self._open())
            return True if opened is None else await self._serve(opened, stop, once=once)
        finally:
            await asyncio.gather(*(entry.source.close() for entry in self.entries), return_exceptions=True)
            await self.journal.close()
            quiet = all(budget.idle() for budget in self._budgets.values())
            self.release(self.clock.boot() if quiet else None)

    async def _open(self) -> list[tuple[Shard, list[Entry]]]:
        """Claim the users' calls on this host, connect, find out who the users are, and own their shards."""
        self._step = "looking who makes these users' calls on this host"
        await users.begin(self.entries)
        self._step = "waiting for the journal"
        await self._connect()
        self._step = "asking STS whose keys these are"
        self._unknown = await identify(self.entries)
        users.claim(self.entries)
        self._step = "reading its history in the journal"
        shards: dict[int, list[Entry]] = {}
        for entry in self.entries:
            number = shard_of(entry.ledger.settings.budget, self.journal.partitions)
            shards.setdefault(number, []).append(entry)
        opened = [
            (await open_shard(self.journal, number, entries, self.clock, self._note_away), entries)
            for number, entries in sorted(shards.items())
        ]
        refuse_two_budgets(self.entries)  # where STS did not answer, their histories know the users
        return opened

    async def _connect(self) -> None:
        """Wait for a journal that is away: a service that starts before its brokers goes on by itself."""
        while True:
            try:
                await self.journal.start()
            except JournalAway as error:
                if self._away != str(error):
                    log.warning("journal.away", extra={"reason": str(error)})
                self._away = str(error)
                await asyncio.sleep(PAUSE)
            else:
                self._away = None
                return

    def _note_away(self, reason: str | None) -> None:
        self._away = reason

    async def _serve(self, opened: list[tuple[Shard, list[Entry]]], stop: asyncio.Event, *, once: bool) -> bool:
        writers = [Writer(shard, clock=self.clock, metrics=self.metrics) for shard, _ in opened]
        for (shard, entries), writer in zip(opened, writers, strict=True):
            for entry in entries:
                self._running[entry.ledger.name] = self._assemble(entry, shard, writer)
        users.hold(self.entries, self._budgets)
        try:
            async with asyncio.TaskGroup() as everything:
                writing = [everything.create_task(writer.run()) for writer in writers]
                async with asyncio.TaskGroup() as work:
                    complete = await self._work(work, stop, once=once)
                for writer in writers:
                    writer.stop()
                _, hanging = await asyncio.wait(writing, timeout=FINISH)
                for one in hanging:
                    one.cancel()
        except* CertstreamError as errors:
            raise _first(errors) from errors
        for shard, _ in opened:
            await shard.close(release=await self._idle())
        return complete

    async def _work(self, work: asyncio.TaskGroup, stop: asyncio.Event, *, once: bool) -> bool:
        """Start every account's loops; stop them when asked, or when each has done its one sweep."""
        loops: list[asyncio.Task[Any]] = []
        for running in self._running.values():
            loops.append(work.create_task(running.health.keep()))
            loops.append(work.create_task(expiry.keep(running.poller.ledger, running.writer, self.clock)))
        if once:
            sweeps = [work.create_task(running.poller.once()) for running in self._running.values()]
            stopping = work.create_task(stop.wait())
            done = asyncio.gather(*sweeps)
            await asyncio.wait((done, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            complete = done.done() and all(done.result())
            for running in self._running.values():
                await expiry.tell_all(running.poller.ledger, running.writer, self.clock)
            loops += sweeps
        else:
            loops += [work.create_task(running.poller.run()) for running in self._running.values()]
            loops.append(work.create_task(identify_later(self._unknown, self.entries, self._keep_user)))
            await stop.wait()
            complete = True
        for loop in loops:
            loop.cancel()
        return complete

    def _assemble(self, entry: Entry, shard: Shard, writer: Writer) -> _Running:
        settings = entry.ledger.settings
        budget = self._budgets.get(settings.budget)
        if budget is None:
            qps = min(one.qps for one in self.entries if one.ledger.settings.budget == settings.budget)
            budget = self._budgets[settings.budget] = Budget(qps, clock=self.clock)
            if shard.opened.previous and not shard.opened.released:
                log.info("take-over", extra={"budget": settings.budget, "seconds": TAKE_OVER})
                budget.hold(TAKE_OVER)
        ledger, clock, metrics, doubts = entry.ledger, self.clock, self.metrics, Doubts(self.clock)
        calls = Calls(ledger=ledger, source=entry.source, budget=budget, writer=writer, clock=clock, metrics=metrics)
        observer = Observer(ledger=ledger, calls=calls, writer=writer, doubts=doubts, clock=clock, metrics=metrics)
        look_ups = LookUps(calls=calls, observer=observer, doubts=doubts, clock=clock)
        confirming = Confirming(calls=calls, observer=observer, clock=clock)
        searching = Searching(
            calls=calls, observer=observer, look_ups=look_ups, clock=clock, metrics=metrics, size=entry.pace.page_size
        )
        poller = Poller(
            calls=calls,
            observer=observer,
            look_ups=look_ups,
            confirming=confirming,
            searching=searching,
            clock=clock,
            metrics=metrics,
            pace=entry.pace,
        )
        health = Health(
            poller=poller,
            observer=observer,
            calls=calls,
            budget=budget,
            writer=writer,
            clock=clock,
            metrics=metrics,
        )
        return _Running(poller, observer, health, writer, confirming)

    async def _keep_user(self, entry: Entry) -> None:
        """Write the user of an entry, known only now, into its head."""

        def act(draft: Draft) -> None:
            draft.head.uid = same_user(draft.head, entry)

        await self._running[entry.ledger.name].writer.do(entry.ledger, act)

    async def _idle(self) -> bool:
        """Wait until every slot is back (a second and a bit), so that a successor need not."""
        for _ in range(40):
            if all(budget.idle() for budget in self._budgets.values()):
                return True
            await asyncio.sleep(0.05)
        return False


def _first(errors: BaseExceptionGroup[CertstreamError]) -> BaseException:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None where `stop` came first, and `work` was cancelled."""
    task, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=FINISH)
    return None if task.cancelled() or not task.done() else task.result()
