"""Small histories for the judge's own tests: a truth, what answers showed, and a journal that tells it rightly.

A test then breaks one thing. `Forge` writes the wire by the contract, so a forged history without a break is clean.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.verify.history import Call, Case, Change, Record, Run
from tests.verify.judge import judge
from tests.verify.normal import form, instant
from tests.verify.wire import ZEROS, canonical, event_id, sha256

START = 1_900_000_000.0
"""When the forged service starts, and with it time: all instants of a `Forge` are seconds after it."""
LINEAGE = "00112233445566ff"
PEM = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"


def looks_valid(topic: str, raw: bytes) -> list[str]:
    """Stands for the schemas: enough to tell a broken event from a whole one."""
    if topic != "events":
        return []
    try:
        body = json.loads(raw)
    except ValueError:
        return ["not JSON"]
    return [f"{name} is missing" for name in ("specversion", "type", "data") if name not in body]


def record(identifier: str, *, lifetime: float = 1000.0, age: float = 0.0, **fields: Any) -> dict[str, Any]:
    """An API record, `age` seconds old at START."""
    born = round((START - age) * 1000)
    return {
        "Identifier": identifier,
        "X509Certificate": PEM,
        "SubjectDN": f"CN={identifier}",
        "Sans": f'[ {{"Type": 2, "Value": "{identifier}.example.com"}}, ]',
        "Status": "ISSUE",
        "BeforeDate": born,
        "AfterDate": born + round(lifetime * 1000),
        "ParentIdentifier": "ca",
        "CertificateType": "SERVER",
        "AliasName": "a",
        **fields,
    }


@dataclass
class Forge:
    """Collects a history; `case()` writes it out. `breaks` are applied to the finished records."""

    thresholds: tuple[str, ...] = ("60s", "20s")
    end: float = 300.0
    runs: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 300.0)])
    changes: list[Change] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    breaks: list[Callable[[list[Record]], list[Record]]] = field(default_factory=list)
    skip: set[int] = field(default_factory=set)
    """Sequence numbers that are jumped over."""

    def truth(self, at: float, what: str, identifier: str, **fields: Any) -> None:
        """A change; a deletion has no record. Fields are those of the version before with these on top."""
        before = [change for change in self.changes if change.identifier == identifier]
        base = before[-1].record if before and before[-1].record else None
        made = None if what == "delete" else {**base, **fields} if base else record(identifier, **fields)
        self.changes.append(Change(len(self.changes) + 1, START + at, what, identifier, len(before) + 1, made))

    def call(self, at: float, *, identifier: str | None = None, only: tuple[str, ...] = (), **other: Any) -> None:
        """An answer of this instant: the page of all (or `only` these), or a look-up."""
        present = {change.identifier: change for change in self.changes if change.at <= START + at}
        rows = tuple(
            (name, change.version)
            for name, change in present.items()
            if change.record is not None and identifier in (None, name) and (not only or name in only)
        )
        now = START + at
        made = Call(
            number=len(self.calls) + 1,
            arrival=now,
            arrival_mono=at,
            answered=now + 0.05,
            snapshot=now + 0.02,
            action="ListClientCertificate",
            identifier=identifier,
            user="1000000000000001",
            status=200,
            code=None,
            delivered=True,
            rows=rows,
        )
        self.calls.append(replace(made, **other))

    def tell(self, at: float, kind: str, identifier: str, version: int | None = None, **data: Any) -> None:
        """A certificate event that shows a version (default: the newest that has a record)."""
        shown = [c for c in self.changes if c.identifier == identifier and c.record and version in (None, c.version)]
        assert shown[-1].record
        normal = form(shown[-1].record)
        certificate = dict(normal.certificate)
        if kind in ("discovered", "new"):
            certificate["pem"] = normal.pem
        status = certificate["status"]
        expired = normal.not_after is not None and normal.not_after <= START + at
        content = {
            "account": "prod",
            "certificate": certificate,
            "lifecycle": "revoked" if status == "REVOKE" else "expired" if expired else "valid",
            **data,
        }
        if kind not in ("expiring", "expired") and "observed" not in content:
            after = {} if kind in ("discovered", "new") else {"after": instant(round((START + at - 40) * 1000))}
            content["observed"] = {**after, "before": instant(round((START + at) * 1000))}
        if kind == "deleted":
            content.setdefault("reason", "gone")
        self._body(at, f"certificate.{kind}", identifier, f"prod/{identifier}", content)

    def tell_account(self, at: float, kind: str, **data: Any) -> None:
        """An account event; a digest is filled in when it is written."""
        self._body(at, f"account.{kind}", "prod", "prod", {"account": "prod", **data})

    def _body(self, at: float, name: str, subject: str, key: str, data: dict[str, Any]) -> None:
        self.bodies.append(
            {
                "specversion": "1.0",
                "source": "/alibabacloud/cas/prod",
                "type": f"certstream.{name}.v1",
                "subject": subject,
                "time": instant(round((START + at) * 1000)),
                "datacontenttype": "application/json",
                "dataschema": f"urn:certstream:schema:{name}:1#/$defs/data",
                "partitionkey": key,
                "lineage": LINEAGE,
                "data": data,
            }
        )

    def case(self) -> Case:
        """The history with its journal, broken as told."""
        records = _Writer(self.skip).write(self.bodies)
        for change in self.breaks:
            records = change(records)
        return Case(
            changes=tuple(self.changes),
            calls=tuple(self.calls),
            records=tuple(records),
            runs=tuple(Run(START + start, START + stop) for start, stop in self.runs),
            end=START + self.end,
            thresholds=self.thresholds,
            valid=looks_valid,
        )


class _Writer:
    """Numbers, chains and copies events; keeps the inventory and the PEMs beside them."""

    def __init__(self, skip: set[int]) -> None:
        self.skip = skip
        self.records: list[Record] = []
        self.rows: dict[str, bytes] = {}
        self.told: dict[str, str] = {}
        self.ends: Counter[str] = Counter()

    def put(self, topic: str, key: str, value: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
        self.ends[topic] += 1
        self.records.append(Record(topic, 7, self.ends[topic] - 1, key.encode(), value, headers))

    def write(self, bodies: list[dict[str, Any]]) -> list[Record]:
        number, before = 0, ZEROS
        chains: dict[str, str] = {}
        for body in bodies:
            number += 1
            while number in self.skip:
                number += 1
            sequence = f"{number:020d}"
            family, kind = body["type"].split(".")[1:3]
            whole = {**body, "sequence": sequence, "id": event_id(LINEAGE, sequence), "prevhash": before}
            if kind == "digest" and "digest" not in body["data"]:
                lines = sorted(f"{name} {sha256(row)}\n".encode() for name, row in self.rows.items())
                whole["data"] = {**body["data"], "digest": sha256(b"".join(lines)), "count": len(lines)}
            if kind == "baselined":
                whole["data"] = {"count": len(self.rows), **body["data"]}
            if family == "certificate":
                whole["certprevhash"] = chains.get(body["subject"], ZEROS)
            raw = canonical(whole)
            before = sha256(raw)
            headers = (
                ("content-type", b"application/cloudevents+json; charset=UTF-8"),
                ("ce_type", body["type"].encode()),
                ("ce_id", whole["id"].encode()),
                ("ce_subject", body["subject"].encode()),
            )
            self.put("events", body["partitionkey"], raw, headers)
            if family == "certificate":
                chains[body["subject"]] = before
                self.put(f"certificate.{kind}", body["partitionkey"], raw, headers)
                self.follow(kind, body, sequence, before)
        return self.records

    def follow(self, kind: str, body: dict[str, Any], sequence: str, digest: str) -> None:
        """The inventory's row and the PEM after an event."""
        identifier, key, data = body["subject"], body["partitionkey"], body["data"]
        if kind == "deleted":
            self.rows.pop(identifier, None)
            self.put("inventory", key, None)
            self.put("pem", key, None)
            return
        certificate = dict(data["certificate"])
        pem = certificate.pop("pem", None)
        if pem is not None:
            self.put("pem", key, pem.encode())
        if kind == "expiring":
            self.told[identifier] = data["threshold"]
        row = {
            "account": "prod",
            "identifier": identifier,
            "certificate": certificate,
            "lifecycle": data["lifecycle"],
            "lineage": LINEAGE,
            "sequence": sequence,
            "hash": digest,
        }
        if identifier in self.told:
            row["threshold"] = self.told[identifier]
        self.rows[identifier] = canonical(row)
        self.put("inventory", key, self.rows[identifier])


def sample(**options: Any) -> Forge:
    """Three certificates discovered, the baseline ended, one deleted, one revoked, one issued, one that expires."""
    made = Forge(**options)
    made.truth(-1, "initial", "a")
    made.truth(-1, "initial", "b")
    made.truth(-1, "initial", "c", lifetime=1000, age=880)
    made.call(1)
    for name in "abc":
        made.tell(1.1, "discovered", name)
    made.tell_account(1.2, "baselined")
    made.tell_account(1.2, "digest")
    made.truth(20, "edit", "a", AliasName="b")
    made.truth(25, "revoke", "b", Status="REVOKE")
    made.truth(26, "issue", "d", AfterDate=round((START + 900) * 1000))
    made.call(30)
    made.tell(30.1, "changed", "a", changes={"aliasName": {"from": "a", "to": "b"}})
    made.tell(30.1, "revoked", "b", changes={"status": {"from": "ISSUE", "to": "REVOKE"}})
    made.tell(30.1, "new", "d")
    made.tell(60.1, "expiring", "c", threshold="60s")
    made.truth(85, "delete", "a")
    made.call(90)
    made.tell(100.1, "expiring", "c", threshold="20s")
    made.call(101, identifier="a")
    made.tell(101.1, "deleted", "a")
    made.tell(120.1, "expired", "c")
    return made


def drop(made: Forge, kind: str, subject: str) -> Forge:
    """Without that event."""
    made.bodies = [
        body for body in made.bodies if not (body["type"].split(".")[2] == kind and body["subject"] == subject)
    ]
    return made


def edit(made: Forge, topic: str, place: int, change: Callable[[Record], Record | None]) -> Forge:
    """With one finished record of a topic changed, or gone."""

    def broken(records: list[Record]) -> list[Record]:
        chosen = [entry for entry in records if entry.topic == topic][place]
        changed = change(chosen)
        return [kept for entry in records if (kept := changed if entry is chosen else entry) is not None]

    made.breaks.append(broken)
    return made


def found(made: Forge) -> set[str]:
    """Kinds of violation that the judge finds in it."""
    return judge(made.case()).kinds()
