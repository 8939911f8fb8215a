"""What a journal stores: records of named topics. Topic names here are without the prefix ("events", "state", …)."""

from __future__ import annotations

from typing import NamedTuple

EVENTS = "events"
INVENTORY = "inventory"
PEM = "pem"
ACCOUNTS = "accounts"
QUARANTINE = "quarantine"
STATE = "state"


def kind_topic(kind: str) -> str:
    """The topic of one kind of certificate event: `new` → `certificate.new`."""
    return f"certificate.{kind}"


Headers = tuple[tuple[str, bytes], ...]


class Put(NamedTuple):
    """One record to be written. `value=None` is a tombstone. The partition is the shard's number, always."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers = ()


class Stored(NamedTuple):
    """One committed record as it was read back. `timestamp` is in Unix milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: Headers
