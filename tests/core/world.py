"""One account without a service: answers go in, committed records come out, and every record is judged.

`World.commit` checks what must hold whatever happened: schemas, chains, copies, and that the inventory is the fold of
the events. So each test only says what is particular to it.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from certstream.core import account, deletion
from certstream.core.anchor import Anchor
from certstream.core.answers import Answer, Page
from certstream.core.draft import Draft
from certstream.core.ledger import Ledger, Settings, adopt, begin
from certstream.core.observe import Observed, observe
from certstream.core.restored import check
from certstream.core.times import thresholds
from certstream.core.wire import Put
from tests.schemas.validate import NAMESPACE, problems, problems_of

T = TypeVar("T")
Record = dict[str, Any]

DAY = 86_400_000
START = 1_780_000_000_000
"""Unix milliseconds at which every world begins."""
LINEAGE = "0123456789abcdef"


def record(identifier: str, **fields: Any) -> Record:
    """A record of the API; `fields` replace or add, None removes."""
    made: Record = {
        "Identifier": identifier,
        "SerialNumber": identifier,
        "SubjectDN": f"C=CN,O=阿里云,CN={identifier}.example.com",
        "CommonName": f"{identifier}.example.com",
        "Status": "ISSUE",
        "Sans": json.dumps([{"Type": 2, "Value": f"{identifier}.example.com"}]),
        "BeforeDate": START - 100 * DAY,
        "AfterDate": START + 265 * DAY,
        "Algorithm": "RSA",
        "KeySize": 2048,
        "CertificateType": "SERVER",
        "ParentIdentifier": "ca-1",
        "Days": 365,
        "X509Certificate": f"-----BEGIN {identifier}-----",
        **fields,
    }
    return {name: value for name, value in made.items() if value is not None}


def text(value: Record | bytes) -> bytes:
    """A record as it stands in an answer."""
    return value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()


@dataclass
class World:
    """A ledger, a clock of our own, and everything that was committed."""

    texts: Sequence[str] = ("30d", "7d")
    keep_pem: bool = True
    now: float = 1000.0
    """monotonic seconds"""
    skew: int = 0
    """milliseconds by which the wall clock is wrong"""
    fires: bool = True
    trip: float = 0.05
    ledger: Ledger = field(init=False)
    puts: list[Put] = field(default_factory=list)
    """of the last commit"""
    topics: dict[str, dict[bytes, bytes | None]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    told: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self._settings()
        self.ledger = Ledger(settings, Anchor(boot=0.0))
        self.ledger.head = msgspec.structs.replace(begin(settings, lineage=LINEAGE), began=self.wall)
        at_once(self.ledger.schedule(self.wall))

    def _settings(self) -> Settings:
        return Settings("prod", "prod", thresholds(list(self.texts)), keep_pem=self.keep_pem)

    @property
    def wall(self) -> int:
        """Unix milliseconds."""
        return START + round((self.now - 1000) * 1000) + self.skew

    # --- What an account does -----------------------------------------------------------------------------------

    def answer(self, *records: Record | bytes, sent: float | None = None, total: int | None = None) -> Answer:
        """An answer received now, asked a round trip ago (or at `sent`)."""
        sent = self.now - self.trip if sent is None else sent
        page = Page([text(one) for one in records], len(records) if total is None else total, None, None, None)
        ago = round((self.now - sent) * 1000)
        return Answer(page, sent, self.now, self.wall - ago, self.wall, None)

    def observe(self, answer: Answer, *, decides: str | None = None, **more: Any) -> Observed:
        """Observe one answer and commit."""
        seen = self.commit(lambda draft: observe(draft, answer, decides=decides, **more))
        self.ledger.contested.update(seen.contested)
        return seen

    def page(self, *records: Record | bytes, wait: float = 1.0, **more: Any) -> list[str]:
        """A page that comes `wait` seconds later; the kinds of the events that it made."""
        return self._kinds(lambda: self.observe(self.answer(*records), **more), wait)

    def look_up(self, identifier: str, *records: Record | bytes, wait: float = 60.0) -> list[str]:
        """A look-up that may decide; `wait` is long enough for any fact."""
        return self._kinds(lambda: self.observe(self.answer(*records), decides=identifier), wait)

    def delete(self, *identifiers: str, wait: float = 60.0) -> list[str]:
        """Look-ups that find nothing."""

        def act() -> None:
            empty = {identifier: self.answer() for identifier in identifiers}
            self.commit(lambda draft: deletion.delete(draft, empty, ()))

        return self._kinds(act, wait)

    def swept(self, *, suspicion: int | None = None) -> list[str]:
        """A complete sweep ends; `suspicion`: the one that was there when it began."""
        return self._kinds(
            lambda: self.commit(lambda draft: account.swept(draft, through=self.wall, suspicion=suspicion)), 1.0
        )

    def tick(self, days: float = 0.0) -> list[str]:
        """Days pass, and the calendar is looked at."""
        return self._kinds(self._tick, days * 86400)

    def _tick(self) -> None:
        numbers = self.ledger.calendar.pop(self.wall, 1000) if self.fires else []
        self.commit(lambda draft: account.tick(draft, numbers))
        self.ledger.plan(numbers, self.wall)

    def _kinds(self, act: Callable[[], object], wait: float) -> list[str]:
        self.now += wait
        before = len(self.events)
        act()
        return [kind_of(event) for event in self.events[before:]]

    def configure(self, *texts: str) -> None:
        """Other thresholds from now on, as after a restart."""
        self.texts = texts
        head = self.ledger.head
        assert head is not None
        settings = self._settings()
        self.ledger.settings, self.ledger.head = settings, adopt(head, settings)
        at_once(self.ledger.schedule(self.wall))

    def restored(self, *, headless: bool = False) -> Ledger:
        """A ledger made of the records of `state`, as the next process would; without its head. Raises Fatal."""
        ledger = Ledger(self._settings(), Anchor(boot=0.0))
        for key, value in self.topics.get("state", {}).items():
            ledger.restore(key, value)
        if headless:
            ledger.head = None
        at_once(check(ledger, now=self.now, wall=self.wall))
        if ledger.head is None:
            ledger.head = self.ledger.head
        at_once(ledger.schedule(self.wall))
        return ledger

    # --- The judge ----------------------------------------------------------------------------------------------

    def commit(self, act: Callable[[Draft], T]) -> T:
        """Decide and commit; judge what is written."""
        draft = Draft(self.ledger, now=self.wall, fires=self.fires)
        result = act(draft)
        self.puts = draft.puts()
        for put in self.puts:
            assert put.value is None or len(put.value) <= 900_000
            if put.topic == "events":
                assert put.value is not None
                self._event(put)
        self._copies()
        for put in self.puts:
            if put.topic in ("inventory", "quarantine", "accounts") and put.value is not None:
                assert problems_of(put.topic, put.value) == []
            self.topics.setdefault(put.topic, {})[put.key] = put.value
        self._inventory()
        draft.absorbed()
        return result

    def _event(self, put: Put) -> None:
        assert put.value is not None
        assert problems(put.value) == []
        event = json.loads(put.value)
        kind, subject = kind_of(event), event["subject"]
        assert event["sequence"] == f"{len(self.events) + 1:020d}"
        assert event["id"] == str(uuid.uuid5(NAMESPACE, f"{LINEAGE}/{event['sequence']}"))
        assert event["prevhash"] == (digest(self.values[-1]) if self.values else "0" * 64)
        if "certprevhash" in event:
            earlier = [n for n, one in enumerate(self.events) if one["subject"] == subject and "certprevhash" in one]
            assert event["certprevhash"] == (digest(self.values[earlier[-1]]) if earlier else "0" * 64)
            assert put.key == f"prod/{subject}".encode()
        headers = dict(put.headers)
        assert headers["ce_id"].decode() == event["id"]
        assert headers["ce_type"].decode() == event["type"]
        assert headers["ce_subject"].decode() == subject
        if kind == "expiring":
            self.told[subject, event["data"]["certificate"].get("notAfter")] = event["data"]["threshold"]
        self.events.append(event)
        self.values.append(put.value)

    def _copies(self) -> None:
        log = [put for put in self.puts if put.topic == "events" and b"/" in put.key]
        copies = [put for put in self.puts if put.topic.startswith("certificate.")]
        assert [put[1:] for put in log] == [put[1:] for put in copies]
        for put in copies:
            assert json.loads(put.value or b"")["type"] == f"certstream.{put.topic}.v1"

    def _inventory(self) -> None:
        """What the topic holds is the fold of the events, computed here from the events alone."""
        expected: dict[bytes, dict[str, Any] | None] = {}
        for event, value in zip(self.events, self.values, strict=True):
            if "certprevhash" not in event:
                continue
            data, subject = event["data"], event["subject"]
            certificate = {name: item for name, item in data["certificate"].items() if name != "pem"}
            made = {
                "account": "prod",
                "identifier": subject,
                "certificate": certificate,
                "lifecycle": data["lifecycle"],
                "lineage": LINEAGE,
                "sequence": event["sequence"],
                "hash": digest(value),
            }
            expected[f"prod/{subject}".encode()] = None if kind_of(event) == "deleted" else made
        for key, row in expected.items():
            held = self.topics["inventory"][key]
            if row is None:
                assert held is None
                continue
            found = json.loads(held or b"")
            threshold = found.pop("threshold", None)
            assert found == row
            if "notAfter" in row["certificate"]:
                assert threshold == self.told.get((row["identifier"], row["certificate"]["notAfter"]))

    # --- Questions ----------------------------------------------------------------------------------------------

    @property
    def last(self) -> dict[str, Any]:
        """The data of the last event."""
        data: dict[str, Any] = self.events[-1]["data"]
        return data

    def inventory(self, identifier: str) -> dict[str, Any]:
        """A row of the topic."""
        value: dict[str, Any] = json.loads(self.topics["inventory"][f"prod/{identifier}".encode()] or b"")
        return value


def watching(*records: Record | bytes, **settings: Any) -> World:
    """A world whose baseline is these records."""
    world = World(**settings)
    if records:
        world.page(*records)
    world.swept()
    return world


def at_once(steps: Iterable[None]) -> None:
    """Do all steps."""
    for _ in steps:
        pass


def kind_of(event: dict[str, Any]) -> str:
    """`new`, `digest`, …"""
    return str(event["type"]).split(".")[2]


def digest(value: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(value).hexdigest()


def names(count: int) -> Iterable[str]:
    """Identifiers."""
    return (f"c{number}" for number in range(count))
