"""Opening shards: who owns them, whose certificates they are, and where each account's history stands."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from certstream.core import sharding
from certstream.core.errors import CertstreamError, Fatal, Transient
from certstream.core.events import key_of
from certstream.core.ledger import Ledger, adopt, begin
from certstream.core.rows import Head, encode
from certstream.core.wire import ACCOUNTS, STATE, Put
from certstream.ports import Claim, Journal, JournalAway, JournalDoubt, Shard, Source
from certstream.service import users
from certstream.service.clock import Clock
from certstream.service.poller import Pace

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


@dataclass(slots=True)
class Entry:
    """One configured account, built by `app`. `uid`: from the configuration, or None. `unanswered`: STS was asked whose
    the key is, and has not said it yet."""

    ledger: Ledger
    source: Source
    ownership: Ownership
    pace: Pace
    qps: int
    uid: str | None
    claim: Claim | None = None
    unanswered: bool = False


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


async def identify_later(
    unknown: Sequence[Entry], entries: Sequence[Entry], keep: Callable[[Entry], Awaitable[None]]
) -> None:
    """Ask again every minute for those whose STS did not answer at the start, until all are known; `keep` then writes
    the user of an entry into its head. Raises Fatal as at the start."""
    while unknown:
        await asyncio.sleep(ASK_AGAIN)
        asked, unknown = unknown, await identify(entries, again=True)
        for entry in asked:
            if entry.uid is not None:
                await keep(entry)
                log.info("uid.known", extra={"account": entry.ledger.name})
        refuse_two_budgets(entries)


def refuse_two_budgets(entries: Sequence[Entry]) -> None:
    """Raises Fatal for entries of one user, or of one key, under several budgets or of several `qps`, as far as their
    users are known: by the configuration or STS, else by their histories."""
    sharding.refuse_two_budgets(
        (
            entry.ledger.name,
            entry.ledger.settings.budget,
            entry.qps,
            users.known(entry),
            entry.claim.key if entry.claim is not None else None,
        )
        for entry in entries
    )
    users.settle(entries)


async def open_shard(
    journal: Journal, number: int, entries: Sequence[Entry], clock: Clock, away: Callable[[str | None], None]
) -> Shard:
    """Own a shard and restore its accounts; waits for a journal that is away. `away` is told why, and None at last."""
    ledgers = {entry.ledger.name: entry.ledger for entry in entries}

    def apply(key: bytes, value: bytes | None) -> None:
        ledger = ledgers.get(key.partition(b"/")[0].decode("ascii", "replace"))  # anybody's key, perhaps
        if ledger is not None:
            ledger.restore(key, value, now=clock.monotonic(), wall=clock.wall())

    while True:
        try:
            shard = await journal.open(number, apply)
            try:
                await _begin(journal, shard, entries, clock)
            except (JournalAway, JournalDoubt):
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
    heads = [await _head(journal, shard, entry, clock) for entry in entries]
    await shard.commit(
        [
            Put(STATE, key_of(entry.ledger.name), encode(head))
            for entry, head in zip(entries, heads, strict=True)
            if head != entry.ledger.head
        ]
    )
    for entry, head in zip(entries, heads, strict=True):
        entry.ownership.shard = shard
        entry.ledger.head = head
        entry.ledger.schedule(clock.wall())


def same_user(head: Head, entry: Entry) -> str | None:
    """The UID that the head of this entry keeps. Raises Fatal where the history is another user's."""
    if entry.uid is not None and head.uid not in (None, entry.uid):
        raise Fatal(
            f"account {entry.ledger.name} is the history of UID {head.uid}, the credentials are those of UID "
            f"{entry.uid}: give the other user's certificates an account name of their own"
        )
    return entry.uid or head.uid


async def _head(journal: Journal, shard: Shard, entry: Entry, clock: Clock) -> Head:
    """The head under the present configuration: restored, or of a history that begins now."""
    ledger, settings = entry.ledger, entry.ledger.settings
    ledger.check(now=clock.monotonic(), wall=clock.wall())
    if ledger.head is None:
        await _refuse_elsewhere(journal, shard, entry)
        head = begin(settings, lineage=secrets.token_hex(8))
        log.info("history.begins", extra={"account": ledger.name, "lineage": head.lineage})
    else:
        head = adopt(ledger.head, settings)
    if head.budget != settings.budget:
        raise Fatal(
            f"account {ledger.name} has the budget {head.budget!r} for ever, the configuration says "
            f"{settings.budget!r}: write budget = {head.budget!r}"
        )
    return msgspec.structs.replace(head, uid=same_user(head, entry))


async def _refuse_elsewhere(journal: Journal, shard: Shard, entry: Entry) -> None:
    """An account whose budget was changed, or whose head was lost, would begin a second history."""
    name = entry.ledger.name
    async for stored in journal.read([ACCOUNTS]):
        if stored.key == key_of(name) and stored.value is not None:
            budget = msgspec.json.decode(stored.value).get("budget", "?")
            if budget != entry.ledger.settings.budget:
                raise Fatal(
                    f"account {name} has a history already, under the budget {budget!r}: write budget = {budget!r}"
                )
            if stored.partition != shard.number:
                raise Fatal(
                    f"account {name} has its history in partition {stored.partition}, and would now write to partition "
                    f"{shard.number} of {journal.partitions}: the number of partitions was changed, which would break "
                    f"its order. `certstream journal copy` moves it to topics with another prefix and any number"
                )
            await shard.verify()  # raises Fenced where another process began it since this one opened the shard
            raise Fatal(
                f"account {name} has a history, but the topic `state` has lost its head: is it compacted, never "
                f"deleted from? Put the lost records back, or give the account a new name"
            )
