"""Judges records by the files in `schemas/` and by the sentences of the contract that JSON Schema cannot say.

Independent of certstream on purpose: it imports nothing of it, so that a mistake there cannot hide itself here.
`problems(event)` picks the schema by the event's `type`; `problems_of(kind, value)` takes it by name, also for
`inventory`, `accounts` and `quarantine`. Both give one line per problem, none for a good record.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
NAMESPACE = uuid.UUID("7dc8ea08-a8dd-5b19-8732-7db4bbb84c9b")
FIRST = "0" * 64
FINDINGS = {"fingerprint", "serialNumber", "validity", "names", "unparsable"}
QUARANTINED = 256 * 1024
LIMIT = 900_000
EXACT = 2**53
RECORDS = ("accounts", "inventory", "quarantine")


def problems(event: bytes) -> list[str]:
    """What is wrong with the bytes of an event."""
    try:
        kind = orjson.loads(event)["type"]
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        return [f"not a JSON object with a type: {error!r}"]
    name = str(kind).removeprefix("certstream.").removesuffix(".v1")
    if kind != f"certstream.{name}.v1" or name in (*RECORDS, "common") or not _file(name).is_file():
        return [f"no event has the type {kind!r}"]
    return problems_of(name, event)


def problems_of(kind: str, value: bytes) -> list[str]:
    """What is wrong with the bytes of a record of this kind: `certificate.new`, `account.digest`, `inventory`, …"""
    try:
        record = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return [f"not JSON: {error}"]
    found = [
        f"{'.'.join(map(str, error.instance_path)) or 'record'}: {error.message}"
        for error in validator(kind).iter_errors(record)
    ]
    if found:
        return found
    found += _bytes_problems(value, record)
    if kind == "quarantine":
        return found + list(_quarantine_problems(record))
    if len(value) > LIMIT:
        found.append(f"{len(value)} bytes, at most {LIMIT} are allowed")
    if kind == "inventory":
        found += _certificate_problems(record["certificate"], record["identifier"], pem=False)
        found += _lifecycle_problems(record["certificate"], record["lifecycle"])
    elif kind not in RECORDS:
        found += _event_problems(kind, record)
    return found


@cache
def validator(kind: str) -> jsonschema_rs.Draft202012Validator:
    """The validator of one schema file, formats asserted."""
    schema = orjson.loads(_file(kind).read_bytes())
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True, offline=True)


def _file(name: str) -> Path:
    return SCHEMAS / f"{name}.json"


def _bytes_problems(value: bytes, record: Any) -> Iterator[str]:
    """Canonical JSON (RFC 8785), so also no doubled key; no null; no number that a reader could round."""
    yield from _value_problems(record, "record")
    if orjson.dumps(_sorted(record)) != value:
        yield "the bytes are not canonical JSON"


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        # RFC 8785 §3.2.3: by UTF-16 code units.
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda name: name.encode("utf-16-be"))}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _value_problems(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _value_problems(item, f"{place}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _value_problems(item, f"{place}.{number}")
    elif isinstance(value, float) or (isinstance(value, int) and not -EXACT <= value <= EXACT):
        yield f"{place}: {value} is no integer within ±2^53, it must be a string"
    elif value is None and not place.startswith(("record.data.certificate.extra.", "record.certificate.extra.")):
        yield f"{place}: null; what is missing is absent"


def _event_problems(kind: str, event: dict[str, Any]) -> Iterator[str]:
    data, account = event["data"], event["data"]["account"]
    if event["source"] != f"/alibabacloud/cas/{account}":
        yield f"source: not that of the account {account}"
    if event["id"] != str(uuid.uuid5(NAMESPACE, f"{event['lineage']}/{event['sequence']}")):
        yield "id: not the UUIDv5 of lineage and sequence"
    first = int(event["sequence"]) == 1
    if first != (event["prevhash"] == FIRST):
        yield "prevhash: 64 zeros for sequence 1, and only for it"
    if kind.startswith("account."):
        if event["subject"] != account:
            yield f"subject: not the account {account}"
        if event["partitionkey"] != account:
            yield f"partitionkey: not the account {account}"
        return
    if event["partitionkey"] != f"{account}/{event['subject']}":
        yield "partitionkey: not <account>/<identifier>"
    if first and event["certprevhash"] != FIRST:
        yield "certprevhash: 64 zeros for a certificate's first event"
    carries_pem = kind in ("certificate.discovered", "certificate.new") or "pem" in data.get("changes", {})
    yield from _certificate_problems(data["certificate"], event["subject"], pem=carries_pem)
    yield from _lifecycle_problems(data["certificate"], data["lifecycle"])
    yield from _data_problems(kind, event, data)


def _data_problems(kind: str, event: dict[str, Any], data: dict[str, Any]) -> Iterator[str]:
    first_sight = kind == "certificate.discovered" or (kind == "certificate.new" and not data.get("returned"))
    if first_sight and "after" in data["observed"]:
        yield "data.observed.after: absent at first sight"
    if kind in ("certificate.changed", "certificate.deleted") and "after" not in data["observed"]:
        yield "data.observed.after: only absent at first sight"
    if first_sight and event["certprevhash"] != FIRST:
        yield "certprevhash: 64 zeros for a certificate's first event"
    if kind != "certificate.discovered" and not first_sight and event["certprevhash"] == FIRST:
        yield "certprevhash: 64 zeros only for a certificate's first event"
    if kind == "certificate.new" and data.get("replaces") == event["subject"]:
        yield "data.replaces: the certificate itself"
    yield from _finding_problems(data)
    if "omitted" in data:
        yield from (
            f"data.certificate.{part}: named in omitted" for part in data["omitted"] if part in data["certificate"]
        )
    for name, change in data.get("changes", {}).items():
        if kind == "certificate.changed" and change.keys() != {"from", "to"}:
            yield f"data.changes.{name}: from and to; what appears or vanishes is not a change"
        if "from" in change and change["from"] == change.get("to"):
            yield f"data.changes.{name}: from and to are equal"
        if name == "extra" or name == "identifier":
            yield f"data.changes.{name}: never told as a change"
        elif name != "pem" and not _agrees(change, data["certificate"].get(name)):
            yield f"data.changes.{name}.to: not what the certificate says"


def _agrees(change: dict[str, Any], value: Any) -> bool:
    """Whether `to` is what the certificate says, or the sum of a long or omitted value, not here to compare."""
    told = change.get("to")
    return told == value or value is None or (isinstance(told, str) and re.fullmatch("[0-9a-f]{64}", told) is not None)


def _finding_problems(data: dict[str, Any]) -> Iterator[str]:
    for finding in data.get("findings", []):
        if finding["what"] not in FINDINGS:
            yield f"data.findings: {finding['what']!r} is not one of {sorted(FINDINGS)}"


def _certificate_problems(certificate: dict[str, Any], identifier: str, *, pem: bool) -> Iterator[str]:
    if certificate["identifier"] != identifier:
        yield "certificate.identifier: not that of the record"
    if "pem" in certificate and not pem:
        yield "certificate.pem: only in discovered, new, and changed where it is the pem that changed"
    names = [(name["type"], name["value"]) for name in certificate.get("sans", [])]
    if names != sorted(set(names)):
        yield "certificate.sans: sorted by type and value, without repeats"


def _lifecycle_problems(certificate: dict[str, Any], lifecycle: str) -> Iterator[str]:
    # A status that was there once and vanished from the API's answers says nothing new.
    if "status" in certificate and (certificate["status"] == "REVOKE") != (lifecycle == "revoked"):
        yield f"lifecycle: {lifecycle!r} with the status {certificate.get('status')!r}"


def _quarantine_problems(record: dict[str, Any]) -> Iterator[str]:
    try:
        held = base64.b64decode(record["bytes"], validate=True)
    except binascii.Error as error:
        yield f"bytes: not base64: {error}"
        return
    if len(held) != min(record["size"], QUARANTINED):
        yield f"bytes: {len(held)} bytes of {record['size']}"
    elif len(held) == record["size"] and hashlib.sha256(held).hexdigest() != record["sha256"]:
        yield "sha256: not that of the bytes"
