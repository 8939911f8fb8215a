"""The values of the topics that hold no events: inventory, accounts, quarantine. (`pem` holds the PEM text itself.)"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from certstream.events.certificate import Certificate, Lifecycle


class InventoryRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one certificate now. A tombstone, a record without value, says that it was deleted."""

    account: str
    identifier: str
    certificate: Certificate
    lifecycle: Lifecycle
    lineage: str
    sequence: str
    """Of its last event."""
    hash: str
    """SHA-256 of its last event's bytes."""
    threshold: str | None = None
    """The last that was told for this `not_after`."""


class AccountHealth(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the watching of one account goes; on every change and every 5 minutes."""

    account: str
    state: Literal["healthy", "baseline", "denied", "throttled", "blind", "suspect", "paused"]
    since: datetime
    counts: dict[str, int]
    reason: str | None = None
    observedthrough: datetime | None = None
    """No change older than this is unseen."""
    lastcompletesweep: datetime | None = None
    uid: str | None = None
    budget: str | None = None


class QuarantinedRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record of an answer that could not be read."""

    account: str
    reason: str
    sha256: str
    """Of all its bytes."""
    size: int
    """In bytes."""
    bytes: str
    """Base64 of at most the first 256 KiB."""
    identifier: str | None = None
