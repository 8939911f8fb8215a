"""The set of accounts: opens their shards, runs their loops, lets them come, go and change, and stops them in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from certstream.core.errors import CertstreamError
from certstream.core.pacing import SECOND
from certstream.core.sharding import shard_of
from certstream.ports import Claim, Journal, Source
from certstream.service import expiry, users
from certstream.service.clock import Clock
from certstream.service.confirming import NothingToConfirm
from certstream.service.forgetting import Watched, forget, refuse_beside, shard_with
from certstream.service.group import FINISH, Group, open_group
from certstream.service.metrics import Metrics
from certstream.service.opening import (
    Entry,
    connect,
    identify,
    identify_change,
    identify_later,
    refuse_two_budgets,
)
from certstream.service.registration import Registration
from certstream.service.status import status
from certstream.service.tasks import Stop, awaited, first_of, unless
from certstream.service.working import Change, Working, retire

log = logging.getLogger("certstream")


@dataclass(slots=True)
class Supervisor:
    """The service: `run` it once."""

    journal: Journal
    entries: list[Entry]
    clock: Clock
    metrics: Metrics
    release: Callable[[float | None], None] = lambda free_at: None
    """Lets other processes on this host make the users' calls; since when all slots are back, None: not known."""
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
    """What goes on beside the accounts while the service runs; what it raises ends the service."""
    registration: Registration | None = None
    _running: dict[str, Working] = field(default_factory=dict)
    _groups: dict[int, Group] = field(default_factory=dict)
    _unknown: list[Entry] = field(default_factory=list)
    _writing: asyncio.TaskGroup | None = None
    _work: asyncio.TaskGroup | None = None
    _away: str | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """whoever holds it may `add`, `change` and `remove` accounts; none is forgotten meanwhile"""
    refused: list[str] = field(default_factory=list)
    """what of the newest configuration is not in force, and why, for people"""
    _step: str = "waiting for the journal"
    """what keeps the accounts that are not running yet, for people"""

    def status(self) -> dict[str, Any]:
        """For `/readyz`: see `service.status`."""
        journal = self._away or next(filter(None, (one.writer.ails() for one in self._groups.values())), None)
        return status(self.entries, self._running, step=self._step, journal=journal, refused=self.refused)

    def entry(self, account: str) -> Entry | None:
        """A watched account's; None where there is no such one."""
        return next((one for one in self.entries if one.ledger.name == account), None)

    def confirm(self, account: str, by: str, why: str) -> int:
        """An operator says that what is missing in a suspect account is gone; gives how many certificates these are.

        Raises NothingToConfirm; KeyError for an account that is not configured.
        """
        if account not in {entry.ledger.name for entry in self.entries}:
            raise KeyError(account)
        if (running := self._running.get(account)) is None:
            raise NothingToConfirm(f"the account is still starting: {self._step}")
        return running.confirming.begin(by, why)

    async def run(
        self, stop: asyncio.Event, *, once: bool = False, beside: Callable[[], Awaitable[None]] | None = None
    ) -> bool:
        """Watch until `stop`; with `once`, until one complete sweep of each account. False: a sweep was not complete.
        `beside` runs while the accounts are watched: it may `add`, `change` and `remove` them.

        Raises Fenced when another process took a shard, Fatal for what nobody but a person can mend.
        """
        try:
            opened = await unless(stop, self._open(), within=FINISH)
            return True if opened is None else await self._serve(stop, once=once, beside=beside)
        finally:
            closing = [entry.source.close() for entry in self.entries]
            closing += [budget.close() for group in self._groups.values() for budget in group.budgets.values()]
            await asyncio.gather(*closing, return_exceptions=True)
            await self.journal.close()
            quiet = all(group.idle() for group in self._groups.values())
            self.release(self.clock.boot() if quiet else None)

    async def add(self, entry: Entry) -> None:
        """Open an account and begin with it; the others work on. Raises Fatal where it cannot be, Fenced."""
        self._step = "reading its history in the journal"
        self.entries.append(entry)
        try:
            await users.begin([entry])
            unknown = await identify([entry])
            users.claim([entry])
            refuse_two_budgets(self.entries)
            group = await self._admit(entry)
            refuse_two_budgets(self.entries)
            self._begin(group, entry)
        except BaseException:
            self.entries.remove(entry)
            users.settle(self.entries)
            if (taken := self._group_of(entry)) is not None:
                taken.dismiss(entry)
            users.leave(entry.claim, self.entries, self.clock.boot())
            await entry.source.close()
            raise
        self._unknown += unknown
        log.info("account.added", extra={"account": entry.ledger.name})

    async def change(self, account: str, change: Change) -> None:
        """Go on with an account under another configuration. Raises Fatal, and changes nothing, where it cannot be."""
        running = self._running[account]
        entry, before, claim = running.entry, running.entry.source, running.entry.claim
        try:
            changed = change.of(entry)
            running.refuse_another(change, changed)
            unknown = await identify_change(self.entries, entry, changed)
            await running.change(change, changed)
        except BaseException:
            users.settle(self.entries)
            if change.source is not None:
                users.leave(change.claim, self.entries, self.clock.boot())
                await change.source.close()
            raise
        self._unknown += [entry for _ in unknown if entry not in self._unknown]
        if change.source is not None and self._work is not None:
            self._work.create_task(self._retire(before, claim))
        if (group := self._group_of(running.entry)) is not None:
            group.pace(change.settings.budget)
        log.info("account.changed", extra={"account": account})

    async def _retire(self, before: Source, claim: Claim | None) -> None:
        await retire(before)
        users.leave(claim, self.entries, self.clock.boot() + SECOND)

    async def remove(self, account: str) -> None:
        """Stop with an account; its history stays as it is, and its slots come back to its budget."""
        running = self._running[account]
        await running.stop()
        del self._running[account]
        self.entries.remove(running.entry)
        users.settle(self.entries)
        if (group := self._group_of(running.entry)) is not None:
            await group.part(running.entry)
        await running.entry.source.close()
        users.leave(running.entry.claim, self.entries, self.clock.boot() + SECOND)
        self.metrics.forget(account)
        log.info("account.removed", extra={"account": account})

    async def forget(self, account: str, by: str, why: str) -> int:
        """End the history of an account that is not watched any more; gives how many certificates it had.

        Raises Watched, Unknown; Held where another process has its shard; Fatal for a history that is torn.
        """
        async with self.turn:
            if self.entry(account) is not None:
                raise Watched("it is watched: take it out of the configuration and send SIGHUP first")
            if self._work is None:
                raise Watched(f"the service is still starting: {self._step}")
            number = await shard_with(self.journal, account)
            if (group := self._groups.get(number)) is None:
                await refuse_beside(self.journal, number)
                self._write(group := await self._own(number, []))
            return await forget(group, account, by, why)

    def _group_of(self, entry: Entry) -> Group | None:
        return next((group for group in self._groups.values() if entry in group.entries), None)

    async def _admit(self, entry: Entry) -> Group:
        number = shard_of(entry.ledger.settings.budget, self.journal.partitions)
        group = self._groups.get(number)
        if group is not None:
            await group.admit(entry)
        else:
            group = await self._own(number, [entry])
            self._write(group)
        return group

    async def _open(self) -> bool:
        """Claim the users' calls on this host, connect, find out who the users are, and own their shards."""
        self._step = "looking who makes these users' calls on this host"
        await users.begin(self.entries)
        self._step = "waiting for the journal"
        await connect(self.journal, self._note_away)
        if self.registration is not None:
            self._step = "registering the schemas"
            await self.registration.begin()
        self._step = "asking STS whose keys these are"
        self._unknown = await identify(self.entries)
        users.claim(self.entries)
        self._step = "reading its history in the journal"
        shards: dict[int, list[Entry]] = {}
        for entry in self.entries:
            number = shard_of(entry.ledger.settings.budget, self.journal.partitions)
            shards.setdefault(number, []).append(entry)
        for number, entries in sorted(shards.items()):
            await self._own(number, entries)
        refuse_two_budgets(self.entries)  # where STS did not answer, their histories know the users
        return True

    async def _own(self, number: int, entries: list[Entry]) -> Group:
        group = self._groups[number] = await open_group(
            self.journal, number, entries, clock=self.clock, metrics=self.metrics, away=self._note_away
        )
        return group

    def _note_away(self, reason: str | None) -> None:
        self._away = reason

    async def _serve(self, stop: asyncio.Event, *, once: bool, beside: Callable[[], Awaitable[None]] | None) -> bool:
        try:
            async with asyncio.TaskGroup() as self._writing:
                for group in self._groups.values():
                    self._write(group)
                complete = await (self._sweep(stop) if once else self._watch(stop, beside))
                await asyncio.gather(*(group.finish() for group in self._groups.values()))
        except* CertstreamError as errors:
            raise first_of(errors) from errors
        for group in self._groups.values():
            await group.shard.close(release=await self._idle())
        return complete

    def _write(self, group: Group) -> None:
        if self._writing is not None:
            group.writing = self._writing.create_task(group.writer.run())

    def _begin(self, group: Group, entry: Entry) -> Working:
        """Put an account to work."""
        running = self._running[entry.ledger.name] = group.put_to_work(entry)
        if self._work is not None:
            running.task = self._work.create_task(running.run())
        return running

    async def _watch(self, stop: asyncio.Event, beside: Callable[[], Awaitable[None]] | None) -> bool:
        """Every account's loops, until asked to stop."""
        try:
            async with asyncio.TaskGroup() as self._work:
                for group in self._groups.values():
                    for entry in group.entries:
                        self._begin(group, entry)
                self._work.create_task(identify_later(self._unknown, self.entries, self._keep_user, self.turn))
                for one in self.beside:
                    self._work.create_task(one())
                if self.registration is not None:
                    self._work.create_task(self.registration.keep())
                if beside is not None:
                    self._work.create_task(awaited(beside))
                await stop.wait()
                raise Stop
        except* Stop:
            pass
        return True

    async def _sweep(self, stop: asyncio.Event) -> bool:
        """One sweep of every account, or until asked to stop; whether all were complete."""
        complete = False
        try:
            async with asyncio.TaskGroup() as work:
                running = [self._begin(group, entry) for group in self._groups.values() for entry in group.entries]
                for one in running:
                    work.create_task(one.health.keep())
                    work.create_task(expiry.keep(one.entry.ledger, one.writer, self.clock))
                sweeps = asyncio.gather(*(work.create_task(one.poller.once()) for one in running))
                stopping = work.create_task(stop.wait())
                await asyncio.wait((sweeps, stopping), return_when=asyncio.FIRST_COMPLETED)
                complete = sweeps.done() and all(sweeps.result())
                for one in running:
                    await expiry.tell_all(one.entry.ledger, one.writer, self.clock)
                raise Stop
        except* Stop:
            pass
        return complete

    async def _keep_user(self, entry: Entry) -> None:
        if (running := self._running.get(entry.ledger.name)) is not None:
            await running.keep_user()

    async def _idle(self) -> bool:
        """Wait until every slot is back (a second and a bit), so that a successor need not."""
        for _ in range(40):
            if all(group.idle() for group in self._groups.values()):
                return True
            await asyncio.sleep(0.05)
        return False
