"""The ownership row: who polls a shard's accounts now (journal rule 5).

One row per shard in `state`, key `~shard/<n>`. It is the barrier that a restore reads up to, the proof of ownership,
and what tells the next owner whether it has to wait. Keys that begin with `~` are the journal's own.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass
from typing import Self

import msgspec

from certstream.core.wire import STATE, Put

OWNED_SECONDS = 5.0
"""How long after the start of the last successful check calls are allowed (design: Pacing)."""


def boot_time() -> float:
    """Seconds since the machine started, running through a suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def own(key: bytes) -> bool:
    """Whether a key of `state` is the journal's own: such rows are never given to `apply`."""
    return key.startswith(b"~")


class Row(msgspec.Struct, frozen=True):
    """The value of an ownership row. `since` is in Unix milliseconds. An unreadable row belongs to nobody we know."""

    owner: str
    nonce: str
    since: int
    released: bool

    @classmethod
    def read(cls, value: bytes) -> Self:
        """Decode a stored value; one that cannot be read counts as a stranger's, not released."""
        try:
            return msgspec.json.decode(value, type=cls)
        except msgspec.DecodeError:
            return cls(owner="unknown", nonce="", since=0, released=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """One opening of a shard by this process. `nonce` tells it from every other opening, also of the same process."""

    shard: int
    owner: str
    nonce: str
    since: int

    @classmethod
    def make(cls, shard: int, owner: str | None = None) -> Self:
        """A new claim. `owner` names it for people: by default host and process id."""
        name = owner or f"{socket.gethostname()}:{os.getpid()}"
        return cls(shard=shard, owner=name, nonce=secrets.token_hex(8), since=time.time_ns() // 1_000_000)

    @property
    def key(self) -> bytes:
        """Key of the shard's ownership row in `state`."""
        return b"~shard/%d" % self.shard

    def put(self, *, released: bool = False) -> Put:
        """The row to commit. `released` says that every slot is back, so that the successor need not wait."""
        row = Row(owner=self.owner, nonce=self.nonce, since=self.since, released=released)
        return Put(STATE, self.key, msgspec.json.encode(row, order="sorted"))
