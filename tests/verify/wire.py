"""Bytes as the contract fixes them: canonical JSON, ids, partitions, and an event taken apart."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import Any

import rfc8785

from tests.verify.history import Record
from tests.verify.normal import Form, seconds

ZEROS = "0" * 64
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:certstream:event")
SCHEMA_ID = "__value_schema_id"
"""Names the schema of a record's own topic, where a registry is configured and was there."""
KINDS = ("discovered", "new", "revoked", "expiring", "expired", "changed", "deleted")


def canonical(value: Any) -> bytes:
    """RFC 8785."""
    return rfc8785.dumps(value)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def own_headers(record: Record) -> tuple[tuple[str, bytes], ...]:
    """What is the event's, and therefore the same in the topic of its kind."""
    return tuple(pair for pair in record.headers if pair[0] != SCHEMA_ID)


def event_id(lineage: str, sequence: str) -> str:
    return str(uuid.uuid5(NAMESPACE, f"{lineage}/{sequence}"))


def partition(key: bytes, partitions: int) -> int:
    """Kafka's default partitioner: murmur2, made positive, modulo the number of partitions."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(key)
    h = 0x9747B28C ^ length
    for start in range(0, length - length % 4, 4):
        k = int.from_bytes(key[start : start + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    tail = key[length - length % 4 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    h ^= h >> 15
    return (h & 0x7FFFFFFF) % partitions


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the log of record. `told`: when a reader had it, or, where none was looking, could have it at the
    earliest that it admits (seconds)."""

    record: Record
    raw: bytes
    body: dict[str, Any]
    family: str
    kind: str
    sequence: int
    time: float
    told: float

    @property
    def subject(self) -> str:
        return str(self.body["subject"])

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.body["data"]
        return data

    @property
    def certificate(self) -> Form:
        """What it shows, and the PEM it carries."""
        shown = dict(self.data.get("certificate") or {})
        pem = shown.pop("pem", None)
        return Form(shown, pem)

    @property
    def where(self) -> str:
        return f"{self.kind} #{self.sequence} of {self.subject}"


def take_apart(record: Record) -> Event:
    """Raises ValueError, with the reason, where a reader could not make sense of it."""
    if record.value is None:
        raise ValueError("a tombstone in the log of record")
    body = json.loads(record.value)
    try:
        prefix, family, kind, version = body["type"].split(".")
        if (prefix, version) != ("certstream", "v1") or family not in ("certificate", "account"):
            raise ValueError(f"unknown type {body['type']}")
        time = seconds(body["time"])
        if time is None:
            raise ValueError(f"time {body['time']!r} is not an instant in milliseconds")
        stamp = time if record.timestamp is None else record.timestamp / 1000
        if not isinstance(body["data"], dict):
            raise ValueError("data is not an object")
        told = max(time, min(stamp, time + 3600)) if record.seen is None else record.seen
        return Event(record, record.value, body, family, kind, int(body["sequence"]), time, told)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {error!r}") from error
