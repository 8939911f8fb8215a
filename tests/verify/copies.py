"""What follows from the log of record: the kind topics, the inventory, the PEM topic, digests."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.verify.history import Case, Findings, Record
from tests.verify.wire import KINDS, Event, canonical, own_headers, sha256


def check_kind_topics(case: Case, events: list[Event], findings: Findings) -> None:
    """Each kind's topic holds the same records as the log, in the same order, and nothing else."""
    by_topic: dict[str, list[Record]] = defaultdict(list)
    for record in case.records:
        by_topic[record.topic].append(record)
    for kind in KINDS:
        topic = f"certificate.{kind}"
        originals = [event for event in events if event.family == "certificate" and event.kind == kind]
        copies = by_topic[topic]
        findings.count("copies", len(copies))
        _compare(topic, originals, copies, findings)


def _compare(topic: str, originals: list[Event], copies: list[Record], findings: Findings) -> None:
    """Pair copies with events by id, so that one that is missing does not shift the blame to all that follow."""
    places = {event.body.get("id"): place for place, event in enumerate(originals)}
    order: list[int] = []
    for copy in copies:
        where = f"{topic}@{copy.offset}"
        place = _place(copy, places)
        if place is None or place in order[-1:]:
            findings.blame("copy extra", where, "no event of the log, or the same one again")
            continue
        order.append(place)
        event = originals[place]
        if copy.value != event.raw:
            findings.blame("copy differs", where, f"its bytes are not those of {event.where}")
        elif (copy.key, own_headers(copy)) != (event.record.key, own_headers(event.record)):
            findings.blame("copy differs", where, f"its key or headers are not those of {event.where}")
    seen = set(order)
    for place, event in enumerate(originals):
        if place not in seen:
            findings.blame("copy missing", topic, f"{event.where} is not there")
    if order != sorted(seen):
        findings.blame("copy order", topic, "not the order of the log, or repeats")


def _place(copy: Record, places: dict[Any, int]) -> int | None:
    """By the id in its header first: the body may be what is broken."""
    for name, value in copy.headers:
        if name == "ce_id" and value.decode() in places:
            return places[value.decode()]
    try:
        return places.get(json.loads(copy.value or b"null").get("id"))
    except (ValueError, AttributeError):
        return None


@dataclass(slots=True)
class _Fold:
    """The inventory as a function of the events alone."""

    present: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: dict[tuple[str, Any], str] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)
    pems: dict[str, str] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        identifier, data = event.subject, event.data
        shown = event.certificate
        if shown.pem is not None:
            self.pems[identifier] = shown.pem
        if event.kind == "expiring":
            self.told[identifier, shown.certificate.get("notAfter")] = data["threshold"]
        if event.kind == "deleted":
            self.values.pop(identifier, None)
            self.pems.pop(identifier, None)
            return
        row = {
            "account": data["account"],
            "identifier": identifier,
            "certificate": shown.certificate,
            "lifecycle": data.get("lifecycle"),
            "lineage": event.body.get("lineage"),
            "sequence": event.body.get("sequence"),
            "hash": sha256(event.raw),
        }
        threshold = self.told.get((identifier, shown.certificate.get("notAfter")))
        if threshold is not None:
            row["threshold"] = threshold
        self.values[identifier] = canonical(row)

    def digest(self) -> str:
        lines = sorted(
            f"{identifier} {sha256(value)}\n".encode("ascii", "replace") for identifier, value in self.values.items()
        )
        return sha256(b"".join(lines))


def check_inventory(case: Case, events: list[Event], findings: Findings) -> None:
    """Every row is the fold at the event that it names, the last rows are the present, digests rebuild."""
    fold = _Fold()
    at_sequence: dict[tuple[str, Any], bytes] = {}
    for event in events:
        if event.family == "certificate":
            fold.apply(event)
            if event.subject in fold.values:
                at_sequence[event.subject, event.body.get("sequence")] = fold.values[event.subject]
        elif event.kind in ("digest", "baselined"):
            findings.count(f"told: {event.kind}")
            if event.data.get("count") != len(fold.values):
                findings.blame("digest", event.where, f"count {event.data.get('count')!r}, it was {len(fold.values)}")
            if event.kind == "digest" and event.data.get("digest") != fold.digest():
                findings.blame("digest", event.where, "does not rebuild from the events before it")
    rows = _last(case, "inventory", findings, at_sequence)
    for identifier in sorted(rows.keys() | fold.values.keys()):
        got, expected = rows.get(identifier), fold.values.get(identifier)
        if got != expected:
            findings.blame("inventory", identifier, f"is {_short(got)}, the fold of the events is {_short(expected)}")
    pems = _last(case, "pem", findings, None)
    for identifier in sorted(pems.keys() | fold.pems.keys()):
        pem = fold.pems.get(identifier)
        if pems.get(identifier) != (None if pem is None else pem.encode()):
            findings.blame("pem", f"pem of {identifier}", "is not the PEM that its events carried last")


def _last(
    case: Case, topic: str, findings: Findings, folds: dict[tuple[str, Any], bytes] | None
) -> dict[str, bytes | None]:
    """Last value per identifier; with `folds`, each row on the way must be one of them."""
    last: dict[str, bytes | None] = {}
    wrong: set[str] = set()
    for record in case.records:
        if record.topic != topic:
            continue
        account, _, identifier = record.key.decode("utf-8", "replace").partition("/")
        if account != case.account or not identifier:
            findings.blame("inventory", f"{topic}@{record.offset}", f"key {record.key!r}")
            continue
        if record.value is None:
            last[identifier] = None
            continue
        last[identifier] = record.value
        if folds is not None:
            try:
                sequence = json.loads(record.value).get("sequence")
            except (ValueError, AttributeError):
                sequence = None
            if record.value != folds.get((identifier, sequence)):
                wrong.add(identifier)
    for identifier in sorted(wrong):
        findings.blame("inventory", identifier, "one of its rows is not the fold of the events at its sequence")
    return last


def _short(value: bytes | None) -> str:
    if value is None:
        return "absent"
    text = value.decode("utf-8", "replace")
    return text if len(text) <= 200 else f"{text[:90]}…{text[-110:]}"


def check_sides(case: Case, findings: Findings) -> None:
    """Rows, health and quarantine are valid; nothing in this run makes an account suspect or throttled; what was
    quarantined is there once."""
    quarantined: set[str] = set()
    for record in case.records:
        if record.value is None:
            continue
        if record.topic in ("inventory", "accounts", "quarantine"):
            for problem in case.valid(record.topic, record.value):
                findings.blame("invalid record", f"{record.topic}@{record.offset}", problem)
        if record.topic == "accounts":
            state = json.loads(record.value).get("state")
            findings.count(f"health: {state}")
            if state in ("suspect", "denied", "throttled", "paused"):
                findings.blame("health", f"accounts@{record.offset}", record.value.decode()[:200])
        if record.topic == "quarantine":
            digest = json.loads(record.value).get("sha256")
            findings.count("quarantined")
            if digest in quarantined:
                findings.blame("duplicate", f"quarantine@{record.offset}", f"{digest} is there already")
            quarantined.add(digest)
