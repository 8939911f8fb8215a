"""What must hold of a journal whatever happened: `faults` names every breach in the records read back, `pace` in the
simulator's answer log. Pure, and independent of `certstream.core`, so that a mistake there cannot hide itself here."""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import rfc8785

from certstream.core.wire import Headers, Stored
from tests.schemas.validate import FIRST, LIMIT, NAMESPACE, problems, problems_of

PREFIX = "certstream."
TOPICS = (
    "events",
    *(f"certificate.{kind}" for kind in ("discovered", "new", "revoked", "expiring", "expired", "changed", "deleted")),
    "inventory",
    "pem",
    "accounts",
    "quarantine",
    "state",
)


@dataclass(slots=True)
class _History:
    """One account as its events tell it."""

    lineage: str | None = None
    sequence: int = 0
    hash: str = FIRST
    last: dict[str, str] = field(default_factory=dict)
    """subject → hash of its last event"""
    told: dict[tuple[str, str], str] = field(default_factory=dict)
    """(subject, notAfter) → threshold"""
    ends: dict[str, str] = field(default_factory=dict)
    """subject → notAfter, which stays when the API leaves it out"""
    inventory: dict[str, bytes] = field(default_factory=dict)
    pem: dict[str, bytes] = field(default_factory=dict)
    expired: set[tuple[str, str]] = field(default_factory=set)
    expiring: set[tuple[str, str, str]] = field(default_factory=set)


def faults(records: Sequence[Stored], *, secrets: Collection[str] = ()) -> list[str]:
    """One line per breach of the contract in all records of all topics, in the order that each topic gave them."""
    topics: dict[str, list[Stored]] = defaultdict(list)
    for record in records:
        topics[record.topic].append(record)
    found = list(_secret(records, secrets))
    histories: dict[str, _History] = defaultdict(_History)
    for record in topics["events"]:
        found += _event(record, histories)
    found += _copies(topics)
    found += _present(topics["inventory"], "inventory", {a: h.inventory for a, h in histories.items()})
    found += _present(topics["pem"], "pem", {a: h.pem for a, h in histories.items()})
    found += _others(topics)
    partitions: dict[bytes, set[int]] = defaultdict(set)
    for record in records:
        if not record.key.startswith(b"~"):
            partitions[record.key.partition(b"/")[0]].add(record.partition)
    found += [f"{key.decode()}: in the partitions {sorted(n)}" for key, n in partitions.items() if len(n) > 1]
    return found


def _secret(records: Sequence[Stored], secrets: Collection[str]) -> Iterator[str]:
    for record in records:
        for secret in secrets:
            if secret.encode() in b"|".join((record.key, record.value or b"", repr(record.headers).encode())):
                yield f"{record.topic} {record.offset}: a secret"


def _event(record: Stored, histories: dict[str, _History]) -> Iterator[str]:
    assert record.value is not None, "an event is never a tombstone"
    event: dict[str, Any] = orjson.loads(record.value)
    where = f"event {event.get('sequence')} {event.get('type')} {event.get('subject')}"
    yield from (f"{where}: {problem}" for problem in problems(record.value))
    history = histories[event["data"]["account"]]
    digest = hashlib.sha256(record.value).hexdigest()
    if event["lineage"] != (history.lineage or event["lineage"]):
        yield f"{where}: another lineage"
    if event["sequence"] != f"{history.sequence + 1:020d}":
        yield f"{where}: follows sequence {history.sequence}"
    if event["prevhash"] != history.hash:
        yield f"{where}: prevhash is not that of the event before"
    if event["id"] != str(uuid.uuid5(NAMESPACE, f"{event['lineage']}/{event['sequence']}")):
        yield f"{where}: id"
    headers = dict(_own(record.headers))
    if headers != {
        "content-type": b"application/cloudevents+json; charset=UTF-8",
        "ce_type": event["type"].encode(),
        "ce_id": event["id"].encode(),
        "ce_subject": event["subject"].encode(),
    }:
        yield f"{where}: headers {headers}"
    if record.key.decode() != event["partitionkey"]:
        yield f"{where}: key {record.key!r}"
    if event["type"].startswith(f"{PREFIX}certificate."):
        yield from _certificate(where, event, digest, history)
    else:
        yield from _account(where, event, history)
    history.lineage, history.sequence, history.hash = event["lineage"], history.sequence + 1, digest
    if event["type"] == f"{PREFIX}account.forgotten.v1":
        histories[event["data"]["account"]] = _History()


def _certificate(where: str, event: dict[str, Any], digest: str, history: _History) -> Iterator[str]:
    subject, data, kind = event["subject"], event["data"], event["type"].split(".")[2]
    if event["certprevhash"] != history.last.get(subject, FIRST):
        yield f"{where}: certprevhash is not that of the certificate's event before"
    known = subject in history.inventory
    if (kind in ("discovered", "new")) == known:
        yield f"{where}: of a certificate that was {'there' if known else 'not there'}"
    if kind == "new" and bool(data.get("returned")) != (subject in history.last):
        yield f"{where}: returned is wrong"
    history.last[subject] = digest
    certificate = {name: value for name, value in data["certificate"].items() if name != "pem"}
    end = history.ends[subject] = certificate.get("notAfter", history.ends.get(subject, ""))
    if kind == "expiring":
        mark = (subject, end, data["threshold"])
        if mark in history.expiring:
            yield f"{where}: the threshold was told before"
        history.expiring.add(mark)
        history.told[subject, end] = data["threshold"]
    if kind == "expired":
        if (subject, end) in history.expired:
            yield f"{where}: expired was told before"
        history.expired.add((subject, end))
    if "pem" in data["certificate"]:
        history.pem[subject] = data["certificate"]["pem"].encode()
    if kind == "deleted":
        history.inventory.pop(subject, None)
        history.pem.pop(subject, None)
        return
    value = {
        "account": data["account"],
        "identifier": subject,
        "certificate": certificate,
        "lifecycle": data["lifecycle"],
        "lineage": event["lineage"],
        "sequence": event["sequence"],
        "hash": digest,
    }
    if (subject, end) in history.told:
        value["threshold"] = history.told[subject, end]
    history.inventory[subject] = rfc8785.dumps(value)


def _account(where: str, event: dict[str, Any], history: _History) -> Iterator[str]:
    data = event["data"]
    if "count" in data and data["count"] != len(history.inventory):
        yield f"{where}: count {data['count']}, the events say {len(history.inventory)}"
    if "digest" in data:
        lines = sorted(
            f"{identifier} {hashlib.sha256(value).hexdigest()}\n" for identifier, value in history.inventory.items()
        )
        if hashlib.sha256("".join(lines).encode()).hexdigest() != data["digest"]:
            yield f"{where}: the digest is not that of the inventory before it"


def _own(headers: Headers) -> Headers:
    """Without what a schema registry adds: it names a schema, and each topic has its own."""
    return tuple(one for one in headers if one[0] != "__value_schema_id")


def _copies(topics: dict[str, list[Stored]]) -> Iterator[str]:
    told: dict[str, list[tuple[int, bytes, bytes | None, object]]] = defaultdict(list)
    for record in topics["events"]:
        kind = orjson.loads(record.value or b"{}")["type"].removeprefix(PREFIX).removesuffix(".v1")
        if kind.startswith("certificate."):
            told[kind].append((record.partition, record.key, record.value, _own(record.headers)))
    for topic in TOPICS[1:8]:
        copies = [(record.partition, record.key, record.value, _own(record.headers)) for record in topics[topic]]
        if sorted(copies, key=repr) != sorted(told[topic], key=repr):
            yield f"{topic}: {len(copies)} records are not the copies of {len(told[topic])} events"


def _present(records: Sequence[Stored], topic: str, folds: dict[str, dict[str, bytes]]) -> Iterator[str]:
    """The last record of each key must be what the events fold to."""
    expected = {f"{account}/{one}".encode(): value for account, fold in folds.items() for one, value in fold.items()}
    last = {record.key: record.value for record in records}
    for key, value in last.items():
        if value != expected.get(key):
            yield f"{topic} {key.decode()}: is {value!r:.2000}, the events say {expected.get(key)!r:.2000}"
    yield from (f"{topic} {key.decode()}: missing" for key in expected.keys() - last.keys())


def _others(topics: dict[str, list[Stored]]) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for topic in ("accounts", "inventory", "quarantine"):
        for record in topics[topic]:
            if record.value is not None:
                yield from (f"{topic} {record.key!r}: {problem}" for problem in problems_of(topic, record.value))
    for record in topics["quarantine"]:
        value = orjson.loads(record.value or b"")
        mark = (value["account"], value["sha256"])
        if mark in seen:
            yield f"quarantine {mark}: twice"
        seen.add(mark)
    for topic, records in topics.items():
        for record in records:
            if topic != "quarantine" and len(record.value or b"") > LIMIT:
                yield f"{topic} {record.key!r}: {len(record.value or b'')} bytes"


def pace(calls: Sequence[dict[str, Any]], *, qps: int = 10) -> list[str]:
    """Every second with more than `qps` arrivals of one user, out of the lines of an answer log. STS is not counted."""
    found = []
    arrivals: dict[str, list[float]] = defaultdict(list)
    for call in calls:
        if call["action"] == "ListClientCertificate":
            arrivals[str(call["user"])].append(call["arrival_mono"])
    for user, moments in arrivals.items():
        moments.sort()
        for first, eleventh in zip(moments, moments[qps:], strict=False):
            if eleventh - first < 1.0:
                found.append(f"user {user}: {qps + 1} arrivals within {eleventh - first:.3f} s")
    return found
