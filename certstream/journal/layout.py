"""The topics of a journal, by logical name (contract: "Topics"), and which of them keep the newest record per key."""

from __future__ import annotations

from certstream.core.wire import ACCOUNTS, EVENTS, INVENTORY, PEM, QUARANTINE, STATE, kind_topic

KINDS = ("discovered", "new", "revoked", "expiring", "expired", "changed", "deleted")
"""Kinds of certificate events: each has a topic of its own, for subscribers of one kind."""

COMPACTED = frozenset({INVENTORY, PEM, ACCOUNTS, STATE})
"""Topics that keep only the newest record of a key; a record without a value deletes the key."""

TOPICS = (EVENTS, *map(kind_topic, KINDS), INVENTORY, PEM, ACCOUNTS, QUARANTINE, STATE)
"""Every topic; all have the same number of partitions."""
