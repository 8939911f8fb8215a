"""Building the event of a change: a CloudEvent in canonical bytes, chained to the one before (`contract`, Event)."""

from __future__ import annotations

import uuid
from typing import Any

from certstream.core.canonical import canonical
from certstream.core.rows import Head
from certstream.core.times import rfc3339
from certstream.core.wire import Headers

NAMESPACE = uuid.UUID("7dc8ea08-a8dd-5b19-8732-7db4bbb84c9b")
"""UUIDv5 of the URL namespace and `urn:certstream:event`."""
CONTENT_TYPE = b"application/cloudevents+json; charset=UTF-8"
ZEROS = bytes(32)


def event(
    head: Head, kind: str, *, account: str, subject: str, certprevhash: bytes | None, time: int, data: dict[str, Any]
) -> tuple[bytes, Headers]:
    """The value and headers of the next event of an account; `head.sequence` is the last one's.

    `kind` is `certificate.new` or `account.digest`; `certprevhash` is None for account events, `time` in Unix
    milliseconds. Raises ValueError for data that canonical JSON cannot say.
    """
    sequence = f"{head.sequence + 1:020d}"
    identity = str(uuid.uuid5(NAMESPACE, f"{head.lineage}/{sequence}"))
    value: dict[str, Any] = {
        "specversion": "1.0",
        "id": identity,
        "source": f"/alibabacloud/cas/{account}",
        "type": f"certstream.{kind}.v1",
        "subject": subject,
        "time": rfc3339(time),
        "datacontenttype": "application/json",
        "dataschema": f"urn:certstream:schema:{kind}:1#/$defs/data",
        "partitionkey": key_of(account, subject if certprevhash is not None else None).decode(),
        "lineage": head.lineage,
        "sequence": sequence,
        "prevhash": head.hash.hex(),
        "data": data,
    }
    if certprevhash is not None:
        value["certprevhash"] = certprevhash.hex()
    headers = (
        ("content-type", CONTENT_TYPE),
        ("ce_type", value["type"].encode()),
        ("ce_id", identity.encode()),
        ("ce_subject", subject.encode()),
    )
    return canonical(value), headers


def key_of(account: str, identifier: str | None = None) -> bytes:
    """The key of every record about a certificate, or about the whole account."""
    return (account if identifier is None else f"{account}/{identifier}").encode()


def inventory_value(
    *,
    account: str,
    certificate: dict[str, Any],
    lifecycle: str,
    threshold: str | None,
    lineage: str,
    sequence: int,
    hash: bytes,
) -> bytes:
    """The record of `inventory` after an event: a function of the events alone."""
    value: dict[str, Any] = {
        "account": account,
        "identifier": certificate["identifier"],
        "certificate": certificate,
        "lifecycle": lifecycle,
        "lineage": lineage,
        "sequence": f"{sequence:020d}",
        "hash": hash.hex(),
    }
    if threshold is not None:
        value["threshold"] = threshold
    return canonical(value)
