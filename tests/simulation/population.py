"""The certificates of the simulated account, and its truth log: what happened to each of them, when."""

from __future__ import annotations

import hashlib
from bisect import bisect_right, insort
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, NamedTuple

import msgspec
import orjson

from tests.simulation.loop import EPOCH, Loop
from tests.verify.history import Change

Order = Literal["newest", "oldest", "identifier"]


MOVED = 1_000_000
"""What is moved comes after all that were ever issued, or before them."""


class Deed(msgspec.Struct, frozen=True):
    """Something that happens to the list of the `account` at `at`: `what` to the certificate that `pick` (0 to 1)
    points to. "delete" never deletes so many that the account would be suspect, "drop" does."""

    at: float
    what: str
    pick: float
    account: int = 0


class Shown(NamedTuple):
    """A row as an answer shows it. `version` is None for a record that nobody can read."""

    identifier: str
    version: int | None
    record: bytes


Listing = list[tuple[Any, Shown]]
"""In the order of the list: place, row."""


@dataclass(slots=True)
class Certificate:
    version: int
    fields: dict[str, Any]
    since: float = -1000.0


class Population:
    """An ordered list of certificates. `lives`: shortest and longest lifetime in seconds."""

    def __init__(self, loop: Loop, *, order: Order, dice: Random, lives: tuple[float, float]) -> None:
        self._loop, self._order, self._dice, self._lives = loop, order, dice, lives
        self.changes: list[Change] = []
        self.present: dict[str, Certificate] = {}
        self._deleted = 0
        self._returned: set[str] = set()
        self._gone: dict[str, Certificate] = {}
        self._born: dict[str, int] = {}
        self._moved = 0
        self._listing: Listing = []
        self._times = [-1e9]
        self._listings: list[Listing] = [[]]

    def settle(self, certificates: int, sick: int) -> None:
        """The first certificates, and records that cannot be read."""
        for _ in range(certificates):
            age = self._dice.random()
            self._issue("initial", age=age)
        for number in range(sick):
            identifier = f"sick{number}"
            text = (b'{"Identifier":"%s","Status":7}' if number % 2 else b'{"Identifier":"%s",}') % identifier.encode()
            self._enter(Shown(identifier, None, text))
        self._keep()

    def now(self) -> float:
        """Seconds since the beginning."""
        return self._loop.now

    def at(self, when: float) -> Listing:
        """The list as it was."""
        return self._listings[bisect_right(self._times, max(when, 0.0)) - 1]

    def happen(self, deed: Deed) -> None:
        """Make a deed true now; nothing where there is no certificate for it."""
        if deed.what == "issue":
            self._issue("issue")
        elif deed.what == "return":
            if self._gone:
                identifier = self._picked(self._gone, deed.pick)
                old = self._gone.pop(identifier)
                self._returned.add(identifier)
                fields = {**old.fields, "Status": "ISSUE"}
                fields.pop("Whatever", None)
                self._place(identifier, Certificate(old.version + 1, fields), "issue")
        elif self.present:
            identifier = self._picked(self.present, deed.pick)
            self._change(deed.what, identifier, self.present[identifier])
        self._keep()

    def _picked(self, among: dict[str, Certificate], pick: float) -> str:
        return sorted(among)[int(pick * len(among))]

    def _change(self, what: str, identifier: str, old: Certificate) -> None:
        fields = dict(old.fields)
        if what == "delete":
            if identifier in self._returned or not self._may_delete():
                return
            self._deleted += 1
            what = "drop"
        if what == "drop":
            del self.present[identifier]
            self._gone[identifier] = Certificate(old.version + 1, fields)
            self._tell("delete", identifier, old.version + 1, None)
            self._listing = [one for one in self._listing if one[1].identifier != identifier]
            return
        if what == "move":
            self._moved += 1
            self._listing = [one for one in self._listing if one[1].identifier != identifier]
            self._born[identifier] = MOVED + self._moved
            self._enter(Shown(identifier, old.version, orjson.dumps(fields)))
            return
        if what == "renew":
            self._issue("renew", {name: fields[name] for name in ("SubjectDN", "CommonName", "Sans")})
            return
        if what == "revoke":
            if fields["Status"] == "REVOKE":
                return
            fields["Status"] = "REVOKE"
        elif what == "edit":
            fields["AliasName"] = f"alias {self._dice.randrange(10**6)}"
        elif what == "prolong":
            fields["AfterDate"] += self._dice.randrange(30_000, 200_000)
        elif what == "silent":
            if identifier in self._returned:
                return
            fields["Whatever"] = self._dice.randrange(10**6)
        elif what == "pem":
            if "X509Certificate" not in fields:
                return
            fields["X509Certificate"] = _pem(self._dice)
            fields["Sha2"] = f"{self._dice.getrandbits(256):064x}"
        self._listing = [one for one in self._listing if one[1].identifier != identifier]
        self._place(identifier, Certificate(old.version + 1, fields), "revoke" if what == "revoke" else "edit")

    def _may_delete(self) -> bool:
        """Never so many that the account would be suspect (design: Mass disappearance)."""
        settled = sum(1 for one in self.present.values() if one.since < 0)
        return self._deleted < 10 and settled - 2 >= 2 * (self._deleted + 1)

    def _issue(self, what: str, fields: dict[str, Any] | None = None, age: float = 0.0) -> None:
        number = len(self._born) + 1
        digest = hashlib.sha256(b"%d" % number).hexdigest()
        identifier = digest[:10]
        life = self._dice.uniform(*self._lives)
        now = (EPOCH + self._loop.now) * 1000
        after = int(now + (1 - age) * life * 1000)
        record: dict[str, Any] = {
            "Identifier": identifier,
            "SerialNumber": digest[10:26],
            "SubjectDN": f"CN=host{number}",
            "CommonName": f"host{number}",
            "Sans": f'[{{"Type":2,"Value":"host{number}.example.com"}},]',
            "Status": "ISSUE",
            "BeforeDate": after - int(life * 1000),
            "AfterDate": after,
            "CertificateType": "SERVER",
            "ParentIdentifier": "ca",
            "AliasName": "",
            "X509Certificate": _pem(self._dice),
            **(fields or {}),
        }
        if number % 4:
            del record["X509Certificate"]
        self._place(identifier, Certificate(1, record), what)

    def _place(self, identifier: str, certificate: Certificate, what: str) -> None:
        record = orjson.dumps(certificate.fields)
        if what in ("issue", "renew"):
            certificate.since = self._loop.now
        self.present[identifier] = certificate
        self._tell(what, identifier, certificate.version, certificate.fields)
        self._enter(Shown(identifier, certificate.version, record))

    def _enter(self, shown: Shown) -> None:
        born = self._born.setdefault(shown.identifier, len(self._born) + 1)
        place = {"newest": -born, "oldest": born, "identifier": shown.identifier}[self._order]
        self._listing = list(self._listing)
        insort(self._listing, (place, shown))

    def _tell(self, what: str, identifier: str, version: int, record: dict[str, Any] | None) -> None:
        number = len(self.changes) + 1
        at = EPOCH + self._loop.now
        kept = None if record is None else dict(record)
        self.changes.append(Change(number, at, what, identifier, version, kept))

    def _keep(self) -> None:
        self._times.append(self._loop.now)
        self._listings.append(self._listing)


def _pem(dice: Random) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{dice.randrange(10**9):012d}\n-----END CERTIFICATE-----\n"
