"""What is about to be committed for one account: events, their copies, and the rows that follow from them.

A draft reads through to the ledger and changes nothing there. If the commit fails it is thrown away, and the same
observations are made again against whatever the journal turned out to hold.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from certstream.core.canonical import canonical, sha256
from certstream.core.events import ZEROS, event, inventory_value, key_of
from certstream.core.ledger import UNSET, Fact, Ledger
from certstream.core.normal import LIMIT, Unreadable, field_sum
from certstream.core.rows import Head, Image, Row, encode
from certstream.core.wire import ACCOUNTS, EVENTS, INVENTORY, PEM, QUARANTINE, STATE, Headers, Put, kind_topic

BYTES_KEPT = 256 * 1024
"""Of an unreadable record."""
HOUR = 3_600_000


class Draft:
    """One account's part of a commit. `now` is the moment of decision, Unix milliseconds; `fires` says whether the
    clock may be trusted for what cannot be taken back (thresholds)."""

    def __init__(self, ledger: Ledger, *, now: int, fires: bool) -> None:
        assert ledger.head is not None, "a history begins before anything is observed"
        self.ledger = ledger
        self.now = now
        self.fires = fires
        self.head: Head = msgspec.structs.replace(ledger.head)
        if fires:
            self._date_head()
        self.rows: dict[str, Row] = {}
        self.facts: dict[str, Fact] = {}
        self.shows: list[tuple[int, list[int]]] = []
        """of each answer of this draft: when it was asked for (Unix milliseconds), which rows it showed unchanged"""
        self.moves = 0
        self.revoked: list[str] = []
        """certificates whose revocation is told"""
        self.kinds: list[str] = []
        """of the events, for metrics and logs"""
        self._quarantined: set[bytes] = set()
        self._log: list[Put] = []
        self._present: dict[tuple[str, bytes], Put] = {}

    def _date_head(self) -> None:
        """What waited for a clock that can be trusted: when the history began, since when thresholds count."""
        if self.head.began == UNSET:
            self.head.began = self.now
        if UNSET in self.head.thresholds.values():
            since = self.head.thresholds.items()
            self.head.thresholds = {text: self.now if then == UNSET else then for text, then in since}

    def row(self, identifier: str) -> Row | None:
        """A certificate's row as this draft leaves it."""
        return self.rows.get(identifier) or self.ledger.inventory.get(identifier)

    def fact(self, identifier: str) -> Fact | None:
        """When the row was last set."""
        return self.facts.get(identifier) or self.ledger.facts.get(identifier)

    def shown(self, number: int) -> int:
        """When the newest answer that showed this row was asked for, Unix milliseconds; 0: none did."""
        return max([self.ledger.shown[number], *(sent_at for sent_at, numbers in self.shows if number in numbers)])

    def keep(self, identifier: str, row: Row) -> None:
        """Remember without telling."""
        self.rows[identifier] = row

    def tell(self, kind: str, identifier: str, row: Row, image: Image, *, pem: str | None = None, **data: Any) -> Row:
        """Make the event `certificate.<kind>` and the rows that follow from it; the row with its new chain.

        `row` is the row as it will be otherwise; `image` the certificate to show. `data` adds to the event's data;
        `lifecycle` is in it.
        """
        account = self.ledger.name
        pem = pem if self.ledger.settings.keep_pem else None
        certificate = image.certificate if pem is None else image.certificate | {"pem": pem}
        content: dict[str, Any] = {"account": account, "certificate": certificate, **data}
        if image.findings:
            content["findings"] = image.findings
        if image.omitted:
            content["omitted"] = sorted(image.omitted)
        value = self._event(f"certificate.{kind}", identifier, row.hash or ZEROS, content)
        key = key_of(account, identifier)
        told = row.told
        if kind == "deleted":
            inventory = None
            self._present[(PEM, key)] = Put(PEM, key, None)
        else:
            inventory = inventory_value(
                account=account,
                certificate=image.certificate,
                lifecycle=data["lifecycle"],
                threshold=told.text if told is not None else None,
                lineage=self.head.lineage,
                sequence=self.head.sequence,
                hash=self.head.hash,
            )
            if pem is not None:
                self._present[(PEM, key)] = Put(PEM, key, pem.encode())
        self._present[(INVENTORY, key)] = Put(INVENTORY, key, inventory)
        row = msgspec.structs.replace(
            row,
            sequence=self.head.sequence,
            hash=sha256(value),
            inventory=sha256(inventory) if inventory is not None else b"",
        )
        self.rows[identifier] = row
        if kind == "revoked":
            self.revoked.append(identifier)
        return row

    def tell_account(self, kind: str, **data: Any) -> None:
        """Make the event `account.<kind>`, about the whole account."""
        self._event(f"account.{kind}", self.ledger.name, None, {"account": self.ledger.name, **data})

    def _event(self, kind: str, subject: str, certprevhash: bytes | None, data: dict[str, Any]) -> bytes:
        value, headers = self._sized(kind, subject, certprevhash, data)
        key = key_of(self.ledger.name, subject if certprevhash is not None else None)
        self._log.append(Put(EVENTS, key, value, headers))
        if certprevhash is not None:
            self._log.append(Put(kind_topic(kind.removeprefix("certificate.")), key, value, headers))
        self.head.sequence += 1
        self.head.hash = sha256(value)
        self.head.time = self.now
        self.kinds.append(kind)
        return value

    def _sized(
        self, kind: str, subject: str, certprevhash: bytes | None, data: dict[str, Any]
    ) -> tuple[bytes, Headers]:
        """The event; large changed values are told by their sums where it would grow beyond the limit."""
        for shortened in (False, True):
            if shortened:
                changes = {
                    name: {side: _short(value) for side, value in change.items()}
                    for name, change in data.get("changes", {}).items()
                }
                data = {**data, "changes": changes} if changes else data
            made = event(
                self.head,
                kind,
                account=self.ledger.name,
                subject=subject,
                certprevhash=certprevhash,
                time=self.now,
                data=data,
            )
            if len(made[0]) <= LIMIT:
                break
        return made

    def quarantine(self, raw: bytes, problem: Unreadable) -> bool:
        """Keep a record that cannot be read, once per content; False where it was kept before."""
        digest = hashlib.sha256(raw).digest()
        mark = digest[:16]
        if mark in self.ledger.quarantined or mark in self._quarantined:
            return False
        self._quarantined.add(mark)
        value: dict[str, Any] = {
            "account": self.ledger.name,
            "reason": problem.reason[:1024],
            "sha256": digest.hex(),
            "size": len(raw),
            "bytes": base64.b64encode(raw[:BYTES_KEPT]).decode(),
        }
        if problem.identifier is not None:
            value["identifier"] = problem.identifier
        self._log.append(Put(QUARANTINE, key_of(self.ledger.name, problem.identifier), canonical(value)))
        self._log.append(Put(STATE, f"{self.ledger.name}//{mark.hex()}".encode(), b"\x01"))
        return True

    def health(self, value: dict[str, Any]) -> None:
        """Write the account's record of `accounts`."""
        key = key_of(self.ledger.name)
        self._present[(ACCOUNTS, key)] = Put(ACCOUNTS, key, canonical(value))

    def lost(self) -> int:
        """Deletions of the last 24 hours, less what returned; while the account is suspect, of those before it was."""
        return sum(count for hour, count in self.head.lost if hour >= self._lost_since())

    def _lost_since(self) -> int:
        """An hour: suspicion must not end because time passes."""
        return (self.now if self.head.suspect is None else self.head.suspected) // HOUR - 24

    def count_lost(self, count: int, at: int) -> None:
        """Count a deletion at `at` (Unix milliseconds): positive when deleted, negative when that one returned. Never
        below none: what an operator expected to go was not counted, and may return too."""
        recent = {hour: lost for hour, lost in self.head.lost if hour >= self._lost_since()}
        hour = at // HOUR
        recent[hour] = max(recent.get(hour, 0) + count, 0)
        self.head.lost = sorted(recent.items())

    def live(self) -> Iterator[tuple[str, Row]]:
        """Every certificate that is there as this draft leaves it."""
        for _, identifier, row in self.ledger.inventory.live():
            if identifier not in self.rows:
                yield identifier, row
        for identifier, row in self.rows.items():
            if not row.gone:
                yield identifier, row

    def puts(self) -> list[Put]:
        """Everything to be committed, events first; empty when nothing changed."""
        puts = [*self._log, *self._present.values()]
        account = self.ledger.name
        puts += [Put(STATE, key_of(account, identifier), encode(row)) for identifier, row in self.rows.items()]
        if self.head != self.ledger.head:
            puts.append(Put(STATE, key_of(account), encode(self.head)))
        return puts

    def absorbed(self) -> None:
        """The journal has it: hand everything to the ledger."""
        self.ledger.quarantined |= self._quarantined
        self.ledger.revoked.extend(self.revoked)
        self.ledger.absorb(self.head, self.rows, self.facts, now=self.now, moves=self.moves)
        for sent_at, numbers in self.shows:
            self.ledger.mark_shown(numbers, sent_at, self.now)


def _short(value: Any) -> Any:
    return field_sum(value) if len(canonical({"": value})) > 100 else value
