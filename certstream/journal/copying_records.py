"""What a copy knows of records: whose they are, what a topic holds, and the row that calls a copy incomplete."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass

import msgspec

from certstream.core.errors import Fatal
from certstream.core.wire import STATE, Put, Stored
from certstream.journal.layout import COMPACTED


class Mark(msgspec.Struct, frozen=True):
    """The value of `~copy/<shard>` in `state`. `source` names the journal that was copied."""

    complete: bool
    source: str

    @staticmethod
    def key(shard: int) -> bytes:
        """Of one shard."""
        return b"~copy/%d" % shard

    def put(self, shard: int) -> Put:
        """The row to commit."""
        return Put(STATE, self.key(shard), msgspec.json.encode(self))


def refuse_incomplete(key: bytes, value: bytes | None) -> None:
    """Raises Fatal for the newest row of a shard that calls the journal an incomplete copy; others pass."""
    if not key.startswith(b"~copy/") or value is None:
        return
    try:
        mark = msgspec.json.decode(value, type=Mark)
    except msgspec.DecodeError:
        mark = Mark(complete=False, source="something unknown")
    if not mark.complete:
        raise Fatal(
            f"this journal is an incomplete copy of {mark.source}: remove it (the file, or the topics) and start"
            " `certstream journal copy` again"
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """One topic. `records`: all, or in a compacted topic the newest of each key. `sha256`: over the accounts'."""

    records: int
    sha256: str


class Digest:
    """What one topic holds, account by account; partitions and offsets do not matter. Holds 32 bytes and a dict's entry
    for each key of a compacted topic (200 MB for a million), else a hash for each account."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._records = 0
        self._running: dict[bytes, hashlib._Hash] = defaultdict(hashlib.sha256)
        self._newest: dict[bytes, dict[bytes, bytes]] = defaultdict(dict)

    def add(self, record: Stored) -> None:
        """The next record of the topic, in the order of its partition."""
        account = account_of(record)
        content = msgspec.msgpack.encode((record.key, record.value, record.headers))
        if self._topic not in COMPACTED:
            self._records += 1
            self._running[account].update(hashlib.sha256(content).digest())
            return
        # A head has no order with its account's rows: here it comes after them.
        newest = self._newest[account + b"/" if self._topic == STATE and record.key == account else account]
        key = hashlib.blake2b(record.key, digest_size=16).digest()
        newest.pop(key, None)
        newest[key] = hashlib.blake2b(content, digest_size=16).digest()

    def result(self) -> Counted:
        """Of all that was added."""
        accounts = {account: running.digest() for account, running in self._running.items()}
        for account, newest in self._newest.items():
            content = hashlib.sha256()
            for one in newest.values():
                content.update(one)
            accounts[account] = content.digest()
        whole = hashlib.sha256(msgspec.msgpack.encode(sorted(accounts.items())))
        return Counted(self._records + sum(map(len, self._newest.values())), whole.hexdigest())


def account_of(record: Stored) -> bytes:
    """Whose record it is. Raises Fatal for one that is not certstream's."""
    account = record.key.partition(b"/")[0]
    if not account or not account.isascii():
        raise Fatal(
            f"{record.topic}, partition {record.partition}, offset {record.offset}: the key {record.key[:64]!r} is not"
            " certstream's; a history with foreign records cannot be copied"
        )
    return account
