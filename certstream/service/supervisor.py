"""Opens the shards of the configured accounts, runs their loops, and stops them in order."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from certstream.core.errors import CertstreamError, Fatal, Transient
from certstream.core.events import key_of
from certstream.core.ledger import Ledger, adopt, begin
from certstream.core.rows import Head, encode
from certstream.core.sharding import shard_of
from certstream.core.wire import ACCOUNTS, STATE, Put
from certstream.ports import Journal, JournalAway, JournalDoubt, Shard, Source
from certstream.service import expiry
from certstream.service.budget import Budget
from certstream.service.clock import Clock
from certstream.service.health import Health
from certstream.service.metrics import Metrics
from certstream.service.poller import Pace, Poller
from certstream.service.writer import Writer

log = logging.getLogger("certstream")

OWNERSHIP = 5.0
"""Seconds for which a proof of ownership allows calls."""
DEADLINE = 5.0
"""Of a call, seconds."""
TAKE_OVER = OWNERSHIP + DEADLINE + 1.0
"""Seconds before the first call, where an earlier owner may still be calling."""

FINISH = 5.0
"""Seconds that the commit in hand may take when the service stops."""


class NotOwned(Transient):
    """The last proof that this process owns the shard is too old: no call."""


class Ownership:
    """May this process call for a shard's accounts? Asked right before the bytes of a call are written."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.shard: Shard | None = None

    def __call__(self) -> None:
        """Raises NotOwned."""
        if self.shard is None or self.shard.owned_until() <= self._clock.boot():
            raise NotOwned("no proof within the last 5 s that this process still owns the account")


@dataclass(slots=True)
class Entry:
    """One configured account, built by `app`. `uid`: from the configuration, or None."""

    ledger: Ledger
    source: Source
    ownership: Ownership
    pace: Pace
    qps: int
    uid: str | None


@dataclass(slots=True)
class _Running:
    """One account at work."""

    poller: Poller
    health: Health
    writer: Writer


@dataclass(slots=True)
class Supervisor:
    """The service: `run` it once."""

    journal: Journal
    entries: Sequence[Entry]
    clock: Clock
    metrics: Metrics
    _running: dict[str, _Running] = field(default_factory=dict)
    _budgets: dict[str, Budget] = field(default_factory=dict)
    _away: str | None = None

    def status(self) -> dict[str, Any]:
        """For `/readyz`: how the accounts and the journal are."""
        accounts: dict[str, Any] = {}
        trouble = self._away
        for name, running in self._running.items():
            state, head = running.health.look(), running.poller.ledger.head
            accounts[name] = {
                "state": state.state,
                "reason": state.reason,
                "certificates": running.poller.ledger.live(),
                "observedthrough": head.observed if head is not None else None,
            }
            trouble = trouble or running.writer.trouble
        journal = {"state": "away", "reason": trouble} if trouble else {"state": "ok"}
        return {"accounts": accounts, "journal": journal}

    async def run(self, stop: asyncio.Event, *, once: bool = False) -> bool:
        """Watch until `stop`; with `once`, until one complete sweep of each account. False: a sweep was not complete.

        Raises Fenced when another process took a shard, Fatal for what nobody but a person can mend.
        """
        try:
            await self._connect(stop)
            if stop.is_set():
                return True
            return await self._serve(stop, once=once)
        finally:
            await asyncio.gather(*(entry.source.close() for entry in self.entries), return_exceptions=True)
            await self.journal.close()

    async def _connect(self, stop: asyncio.Event) -> None:
        """Wait for a journal that is away: a service that starts before its brokers goes on by itself."""
        while not stop.is_set():
            try:
                await self.journal.start()
            except JournalAway as error:
                if self._away != str(error):
                    log.warning("journal.away", extra={"reason": str(error)})
                self._away = str(error)
                await _wait(stop, 2.0)
            else:
                self._away = None
                return

    async def _serve(self, stop: asyncio.Event, *, once: bool) -> bool:
        await self._identify()
        shards: dict[int, list[Entry]] = {}
        for entry in self.entries:
            number = shard_of(entry.ledger.settings.budget, self.journal.partitions)
            shards.setdefault(number, []).append(entry)
        opened = [(await self._open(number, entries), entries) for number, entries in sorted(shards.items())]
        writers = [Writer(shard, clock=self.clock, metrics=self.metrics) for shard, _ in opened]
        for (shard, entries), writer in zip(opened, writers, strict=True):
            for entry in entries:
                self._running[entry.ledger.name] = self._assemble(entry, shard, writer)
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
                await expiry.tell(running.poller.ledger, running.writer, self.clock)
            loops += sweeps
        else:
            loops += [work.create_task(running.poller.run()) for running in self._running.values()]
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
        poller = Poller(
            ledger=entry.ledger,
            source=entry.source,
            budget=budget,
            writer=writer,
            clock=self.clock,
            metrics=self.metrics,
            pace=entry.pace,
        )
        health = Health(poller=poller, budget=budget, writer=writer, clock=self.clock, metrics=self.metrics)
        return _Running(poller, health, writer)

    async def _idle(self) -> bool:
        """Wait until every slot is back (a second and a bit), so that a successor need not."""
        for _ in range(40):
            if all(budget.idle() for budget in self._budgets.values()):
                return True
            await asyncio.sleep(0.05)
        return False

    # --- Opening ------------------------------------------------------------------------------------------------

    async def _identify(self) -> None:
        """Ask who the users are; entries of one user must share a budget."""

        async def ask(entry: Entry) -> None:
            try:
                entry.uid = entry.uid or await entry.source.uid()
            except CertstreamError as error:
                log.warning("uid.unknown", extra={"account": entry.ledger.name, "reason": str(error)})

        await asyncio.gather(*(ask(entry) for entry in self.entries))
        users: dict[str, Entry] = {}
        for entry in self.entries:
            other = users.setdefault(entry.uid, entry) if entry.uid is not None else entry
            if other.ledger.settings.budget != entry.ledger.settings.budget:
                raise Fatal(
                    f"accounts {other.ledger.name} and {entry.ledger.name} are one user (UID {entry.uid}), whose "
                    f"ten calls a second they must share: give both the same `budget`"
                )

    async def _open(self, number: int, entries: Sequence[Entry]) -> Shard:
        ledgers = {entry.ledger.name: entry.ledger for entry in entries}

        def apply(key: bytes, value: bytes | None) -> None:
            ledger = ledgers.get(key.partition(b"/")[0].decode())
            if ledger is not None:
                ledger.restore(key, value, now=self.clock.monotonic(), wall=self.clock.wall())

        while True:
            try:
                shard = await self.journal.open(number, apply)
                await self._begin(shard, entries)
            except (JournalAway, JournalDoubt) as error:
                self._away = str(error)
                log.warning("journal.away", extra={"reason": str(error), "shard": number})
                await asyncio.sleep(2.0)
            else:
                self._away = None
                return shard

    async def _begin(self, shard: Shard, entries: Sequence[Entry]) -> None:
        """Commit the heads where they are new or changed, and build the calendars."""
        heads: list[Put] = []
        for entry in entries:
            entry.ownership.shard = shard
            head = await self._head(entry)
            if head != entry.ledger.head:
                heads.append(Put(STATE, key_of(entry.ledger.name), encode(head)))
                entry.ledger.head = head
            entry.ledger.schedule(self.clock.wall())
        await shard.commit(heads)

    async def _head(self, entry: Entry) -> Head:
        """The head under the present configuration: restored, or of a history that begins now."""
        ledger, settings = entry.ledger, entry.ledger.settings
        if ledger.head is None:
            await self._refuse_elsewhere(entry)
            head = begin(settings, lineage=secrets.token_hex(8), now=self.clock.wall())
            log.info("history.begins", extra={"account": ledger.name, "lineage": head.lineage})
        else:
            head = adopt(ledger.head, settings, now=self.clock.wall())
        if head.budget != settings.budget:
            raise Fatal(
                f"account {ledger.name} has the budget {head.budget!r} for ever, the configuration says "
                f"{settings.budget!r}: write budget = {head.budget!r}"
            )
        if entry.uid is not None and head.uid not in (None, entry.uid):
            raise Fatal(
                f"account {ledger.name} is the history of UID {head.uid}, the credentials are those of UID "
                f"{entry.uid}: give the other user's certificates an account name of their own"
            )
        return msgspec.structs.replace(head, uid=entry.uid or head.uid)

    async def _refuse_elsewhere(self, entry: Entry) -> None:
        """An account whose budget was changed would begin a second history in another shard."""
        name = entry.ledger.name
        async for stored in self.journal.read([ACCOUNTS]):
            if stored.key == key_of(name) and stored.value is not None:
                budget = msgspec.json.decode(stored.value).get("budget", "?")
                raise Fatal(
                    f"account {name} has a history already, under the budget {budget!r}: write budget = {budget!r}"
                )


def _first(errors: BaseExceptionGroup[CertstreamError]) -> BaseException:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
