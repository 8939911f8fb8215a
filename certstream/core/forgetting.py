"""The end of a history on an operator's word: an event that closes it, then tombstones for everything that it left.

The event comes first, so that no reader sees the inventory change without one. The head, closed by the same
transaction, goes last: until then it says that the rest is still to be deleted (`contract`: `forgotten`).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from certstream.core.canonical import sha256
from certstream.core.events import event, key_of
from certstream.core.rows import Head, encode
from certstream.core.wire import ACCOUNTS, EVENTS, INVENTORY, PEM, STATE, Put


def close(head: Head, account: str, *, by: str, why: str, now: int) -> list[Put]:
    """The last event of a history, and the head that says so. `now` in Unix milliseconds."""
    value, headers = event(
        head,
        "account.forgotten",
        account=account,
        subject=account,
        certprevhash=None,
        time=now,
        data={"account": account, "by": by, "count": max(head.live, 0), "why": why},
    )
    closed = msgspec.structs.replace(head, sequence=head.sequence + 1, hash=sha256(value), time=now, forgotten=now)
    return [Put(EVENTS, key_of(account), value, headers), Put(STATE, key_of(account), encode(closed))]


def bury(keys: Iterable[bytes], live: frozenset[bytes] | set[bytes]) -> list[Put]:
    """Tombstones for some rows of `state`, and for what those in `live` have in `inventory` and `pem`."""
    return [Put(topic, key, None) for key in keys for topic in ((INVENTORY, PEM, STATE) if key in live else (STATE,))]


def end(account: str) -> list[Put]:
    """The last tombstones: after them nothing says that there was such an account, but its events."""
    return [Put(ACCOUNTS, key_of(account), None), Put(STATE, key_of(account), None)]
