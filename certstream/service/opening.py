"""Opening shards: who owns them, whose certificates they are, and where each account's history stands."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from certstream.core import sharding
from certstream.core.errors import CertstreamError, Fatal, Transient
from certstream.core.events import key_of
from certstream.core.ledger import Ledger, adopt, begin
from certstream.core.restored import check
from certstream.core.rows import Head, encode
from certstream.core.wire import ACCOUNTS, STATE, Put, Stored
from certstream.ports import Claim, Journal, JournalAway, JournalDoubt, Limiter, Shard, Source
from certstream.service import users
from certstream.service.clock import Clock
from certstream.service.probing import Pace
from certstream.service.tasks import in_turns

log = logging.getLogger("certstream")

PAUSE = 2.0
"""Seconds between tries of a journal that is away."""
ASK_AGAIN = 60.0
"""Seconds between tries of an STS that did not say who a user is."""


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


@dataclass(slots=True, eq=False)
class Entry:
    """One configured account, built by `app`. `uid`: from the configuration, or None. `unanswered`: STS was asked whose
    the key is, and has not said it yet. `limiter`: one for a budget, where other hosts share its user."""

    ledger: Ledger
    source: Source
    ownership: Ownership
    pace: Pace
    qps: int
    uid: str | None
    claim: Claim | None = None
    unanswered: bool = False
    limiter: Limiter | None = None


async def identify(entries: Sequence[Entry], *, again: bool = False) -> list[Entry]:
    """Ask who the users are; entries of one user must share a budget. Gives those whose STS did not answer.

    `again`: they were told as unknown before.
    """

    async def ask(entry: Entry) -> bool:
        try:
            entry.uid = entry.uid or await entry.source.uid()
            entry.unanswered = False
        except CertstreamError as error:
            entry.unanswered = True
            if not again:
                log.warning("uid.unknown", extra={"account": entry.ledger.name, "reason": str(error)})
            return False
        return True

    answered = await asyncio.gather(*(ask(entry) for entry in entries))
    refuse_two_budgets(entries)
    return [entry for entry, known in zip(entries, answered, strict=True) if not known]


async def identify_change(entries: Sequence[Entry], entry: Entry, changed: Entry) -> list[Entry]:
    """Ask whose certificates an entry's would be by what it is changed to; gives it where STS did not answer. `qps` is
    the user's: the other entries of the budget change with it. Raises Fatal, Held; Transient where STS knew the user
    before, and does not answer now."""
    await users.begin([changed])
    unknown = await identify([changed])
    if unknown and entry.uid is not None:
        raise Transient(
            "STS has not said whose the new credentials are: it stays as it was; send SIGHUP again (or write "
            "the key uid)"
        )
    users.claim([changed])
    budget = changed.ledger.settings.budget
    others = [one for one in entries if one is not entry]
    refuse_two_budgets(
        [changed, *(replace(one, qps=changed.qps) if one.ledger.settings.budget == budget else one for one in others)]
    )
    return unknown


async def identify_later(
    unknown: list[Entry], entries: Sequence[Entry], keep: Callable[[Entry], Awaitable[None]], turn: asyncio.Lock
) -> None:
    """Ask again every minute for those in `unknown`, whose STS did not answer, and take out who is known; `keep` then
    writes the user of an entry into its head. Raises Fatal as at the start: in its `turn`, or an account that is just
    being added, and refused, would end all others, and one that changes its key get the user of the old one."""
    while True:
        await asyncio.sleep(ASK_AGAIN)
        async with turn:
            unknown[:] = [entry for entry in unknown if entry in entries]
            asked = list(unknown)
            unknown[:] = await identify(asked, again=True)
            refuse_two_budgets(entries)
            for entry in asked:
                if entry.uid is not None:
                    await keep(entry)
                    log.info("uid.known", extra={"account": entry.ledger.name})


def refuse_two_budgets(entries: Sequence[Entry]) -> None:
    """Raises Fatal for entries of one user, or of one key, under several budgets (unless a limiter joins these) or of
    several `qps`, as far as their users are known: by the configuration or STS, else by their histories."""
    sharding.refuse_two_budgets(
        (
            (
                entry.ledger.name,
                entry.ledger.settings.budget,
                entry.qps,
                users.known(entry),
                entry.claim.key if entry.claim is not None else None,
            )
            for entry in entries
        ),
        limiter=any(entry.limiter is not None for entry in entries),
    )
    users.settle(entries)


async def connect(journal: Journal, away: Callable[[str | None], None]) -> None:
    """Wait for a journal that is away: a service that starts before its brokers goes on by itself. `away` is told why,
    and None at last."""
    told: str | None = None
    while True:
        try:
            await journal.start()
        except JournalAway as error:
            if told != str(error):
                log.warning("journal.away", extra={"reason": str(error)})
            told = str(error)
            away(told)
            await asyncio.sleep(PAUSE)
        else:
            away(None)
            return


@dataclass(frozen=True, slots=True)
class Memory:
    """The ledgers of a shard's accounts, to which its rows of `state` go; accounts come and go."""

    clock: Clock
    ledgers: dict[bytes, Ledger] = field(default_factory=dict)
    """by the keys of their heads"""

    def take(self, ledger: Ledger) -> None:
        """Its rows go to it from now on."""
        self.ledgers[key_of(ledger.name)] = ledger

    def leave(self, ledger: Ledger) -> None:
        """No longer."""
        self.ledgers.pop(key_of(ledger.name), None)

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take one row back. Raises Fatal for one that its ledger cannot take."""
        ledger = self.ledgers.get(key.partition(b"/")[0])  # anybody's key, perhaps
        if ledger is None:
            return
        if ledger.scheduled:
            ledger.catch_up(key, value, now=self.clock.monotonic(), wall=self.clock.wall())
        else:
            ledger.restore(key, value)  # a million rows at the start: no clock is read for each


async def open_shard(
    journal: Journal, number: int, entries: Sequence[Entry], memory: Memory, away: Callable[[str | None], None]
) -> Shard:
    """Own a shard and restore its accounts; waits for a journal that is away. `away` is told why, and None at last."""
    for entry in entries:
        memory.take(entry.ledger)
    while True:
        for entry in entries:
            entry.ledger.clear()
        try:
            shard = await journal.open(number, memory.apply)
            try:
                await _begin(journal, shard, entries, memory.clock)
            except BaseException:
                await shard.close(release=False)
                raise
        except (JournalAway, JournalDoubt) as error:
            away(str(error))
            log.warning("journal.away", extra={"reason": str(error), "shard": number})
            await asyncio.sleep(PAUSE)
        else:
            away(None)
            return shard


async def _begin(journal: Journal, shard: Shard, entries: Sequence[Entry], clock: Clock) -> None:
    """Commit the heads where they are new or changed; then the accounts are known, and their calendars are built."""
    heads = []
    for entry in entries:
        await in_turns(check(entry.ledger, now=clock.monotonic(), wall=clock.wall()))
        heads.append(await head_of(journal, shard.number, entry, shard.verify))
    await shard.commit(
        [put for entry, head in zip(entries, heads, strict=True) for put in head_puts(entry.ledger, head)]
    )
    for entry, head in zip(entries, heads, strict=True):
        entry.ownership.shard = shard
        entry.ledger.head = head
        await in_turns(entry.ledger.schedule(clock.wall()))


def head_puts(ledger: Ledger, head: Head) -> list[Put]:
    """The row of a head, where it is new or changed."""
    return [Put(STATE, key_of(ledger.name), encode(head))] if head != ledger.head else []


def same_user(head: Head, entry: Entry) -> str | None:
    """The UID that the head of this entry keeps. Raises Fatal where the history is another user's."""
    if entry.uid is not None and head.uid not in (None, entry.uid):
        raise Fatal(
            f"account {entry.ledger.name} is the history of UID {head.uid}, the credentials are those of UID "
            f"{entry.uid}: give the other user's certificates an account name of their own"
        )
    return entry.uid or head.uid


async def head_of(journal: Journal, number: int, entry: Entry, verify: Callable[[], Awaitable[None]]) -> Head:
    """The head under the present configuration: restored, and checked, or of a history that begins now. `number` is
    the shard's; `verify` raises Fenced where another process has it by now. Raises Fatal, JournalAway."""
    ledger, settings = entry.ledger, entry.ledger.settings
    if ledger.head is None:
        await _refuse_elsewhere(journal, number, entry, verify)
        head = begin(settings, lineage=secrets.token_hex(8), succeeds=bool(ledger.cut))
        log.info("history.begins", extra={"account": ledger.name, "lineage": head.lineage})
    else:
        head = adopt(ledger.head, settings)
    if head.budget != settings.budget:
        raise Fatal(
            f"account {ledger.name} has the budget {head.budget!r} for ever, the configuration says "
            f"{settings.budget!r}: write budget = {head.budget!r}"
        )
    return msgspec.structs.replace(head, uid=same_user(head, entry))


async def newest(journal: Journal, topic: str, account: str) -> Stored | None:
    """The record that an account has in a topic, in whatever partition. A tombstone ends what is before it in its own
    partition alone: a name that was forgotten may have begun anew in another, under another budget."""
    found: dict[int, Stored] = {}
    async for stored in journal.read([topic]):
        if stored.key == key_of(account):
            found[stored.partition] = stored
    return next((stored for stored in found.values() if stored.value is not None), None)


async def _refuse_elsewhere(journal: Journal, number: int, entry: Entry, verify: Callable[[], Awaitable[None]]) -> None:
    """An account whose budget was changed, or whose head was lost, would begin a second history."""
    name = entry.ledger.name
    last = await newest(journal, ACCOUNTS, name)
    if last is None:
        return
    budget = msgspec.json.decode(last.value or b"{}").get("budget", "?")
    if budget != entry.ledger.settings.budget:
        raise Fatal(f"account {name} has a history already, under the budget {budget!r}: write budget = {budget!r}")
    if last.partition != number:
        raise Fatal(
            f"account {name} has its history in partition {last.partition}, and would now write to partition "
            f"{number} of {journal.partitions}: the number of partitions was changed, which would break "
            f"its order. `certstream journal copy` moves it to topics with another prefix and any number"
        )
    await verify()  # raises Fenced where another process began it since this one opened the shard
    raise Fatal(
        f"account {name} has a history, but the topic `state` has lost its head: is it compacted, never "
        f"deleted from? Put the lost records back, or give the account a new name"
    )
