"""`certstream forget`: what is left of an account is read from its open shard, its history closed, and all deleted.

It may be killed anywhere: the head, closed with the event, goes last, and says until then that the rest is to go.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from certstream.core import forgetting
from certstream.core.errors import Fatal
from certstream.core.events import key_of
from certstream.core.rows import Head, decode_head, decode_row
from certstream.core.wire import ACCOUNTS, STATE, Put
from certstream.ports import Held, Journal, JournalAway, JournalDoubt
from certstream.service.group import Group
from certstream.service.opening import PAUSE, newest

log = logging.getLogger("certstream")

BATCH = 500
"""Rows whose tombstones go into one commit: the others' commits wait for no more than that."""

LISTEN = 6.0
"""Seconds in which an owner of a shard writes something for certain: it proves every two that it is one."""


class Unknown(Exception):
    """There is no history of such an account."""


class Watched(Exception):
    """The account is watched: its history goes on."""


async def shard_with(journal: Journal, account: str) -> int:
    """The shard that an account's history is in. Raises Unknown, JournalAway."""
    for topic in (ACCOUNTS, STATE):  # the small one first: the other is a row for each certificate
        if (found := await newest(journal, topic, account)) is not None:
            return found.partition
    raise Unknown(f"there is no history of an account {account} in this journal")


async def refuse_beside(journal: Journal, number: int) -> None:
    """Before a shard is opened only to forget: that would end an owner, who may even watch the account. Raises Held."""
    before = (await journal.ends([STATE]))[STATE, number]
    await asyncio.sleep(LISTEN)
    if (await journal.ends([STATE]))[STATE, number] != before:
        raise Held(
            "another service writes to its part of this journal, and does not answer on http.listen of this "
            "configuration: stop it; or take the account out of its configuration, send it SIGHUP, and run forget on "
            "its host with that configuration"
        )


async def forget(group: Group, account: str, by: str, why: str) -> int:
    """End a history that nobody writes to any more; gives how many certificates it had. Its writer runs. Where an
    earlier call was interrupted this one ends it, and the event stays as it was. Raises Unknown, Fatal, Fenced."""
    while True:
        left = _Left(account)
        try:
            await group.writer.turn(group.shard.verify)
            await group.shard.reread(left.apply)
            return await _end(group, left, by, why)
        except (JournalAway, JournalDoubt) as error:
            log.warning("journal.away", extra={"reason": str(error), "shard": group.shard.number})
            await asyncio.sleep(PAUSE)


@dataclass(slots=True)
class _Left:
    """What `state` holds of one account."""

    account: str
    head: Head | None = None
    rows: dict[bytes, bool] = field(default_factory=dict)
    """key → whether the certificate is there"""

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take one record of `state` in."""
        head = key_of(self.account)
        if key == head:
            self.head = decode_head(value) if value is not None else None
        elif key.startswith(head + b"/"):
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = not key.startswith(head + b"//") and not decode_row(value).gone


async def _end(group: Group, left: _Left, by: str, why: str) -> int:
    head = left.head
    if head is None:
        if left.rows:
            raise Fatal(f"account {left.account} has rows in the topic `state`, which has lost its head: put it back")
        raise Unknown(f"there is no history of an account {left.account} in this journal")
    if not head.forgotten:
        now = max(group.clock.wall(), head.time)
        await _commit(group, forgetting.close(head, left.account, by=by, why=why, now=now))
    live = {key for key, there in left.rows.items() if there}
    for some in _batches(left.rows):
        await _commit(group, forgetting.bury(some, live))
    await _commit(group, forgetting.end(left.account))
    log.warning("account.forgotten", extra={"account": left.account, "by": by, "why": why, "certificates": head.live})
    return head.live


def _batches(rows: dict[bytes, bool]) -> Iterator[tuple[bytes, ...]]:
    keys = iter(rows)
    while some := tuple(itertools.islice(keys, BATCH)):
        yield some


async def _commit(group: Group, puts: Sequence[Put]) -> None:
    await group.writer.turn(lambda: group.shard.commit(puts))
