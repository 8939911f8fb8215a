"""One account's committed memory: the fold of its rows of `state`, and what can be derived from them.

Memory advances only by what was committed (`absorb`) or read back (`restore`). What is about to be committed lives in
a `Draft` (`core.draft`) until the journal has it.
"""

from __future__ import annotations

import itertools
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from certstream.core.anchor import Anchor
from certstream.core.calendar import Calendar
from certstream.core.deadlines import Deadlines
from certstream.core.errors import Fatal
from certstream.core.expiry import due, next_due
from certstream.core.inventory import STEP, Inventory, own_size
from certstream.core.packed import Subjects
from certstream.core.rows import Head, Row, decode_head, decode_row, encode
from certstream.core.times import Threshold

UNSET = -1
"""A moment of the head that waits for a clock that can be trusted."""
RECENT = 120.0
"""Seconds for which the moment of a fact is remembered; older facts need none (`design`: replicas lag)."""
REVOKED = 1000


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says about an account, as far as decisions go. `staleness` in seconds."""

    account: str
    budget: str
    thresholds: tuple[Threshold, ...]
    keep_pem: bool = True
    staleness: float = 30.0
    grouped: bool = False
    """the account is one resource group of a user"""


@dataclass(frozen=True, slots=True)
class Fact:
    """When the answer that last set a row was received, monotonic seconds; `grave`: the last first sight, deletion
    or revocation, which only a look-up sent `staleness` later may undo. `before`: the hash of the record that a change
    replaced; where a page shows that one again, a look-up decides."""

    received: float
    grave: float | None
    before: bytes = b""


@lru_cache(256)
def fact(received: float, grave: float | None, before: bytes = b"") -> Fact:
    """A Fact; those of one answer are one object, for a baseline sets a hundred rows at a time."""
    return Fact(received, grave, before)


@dataclass(slots=True)
class Ledger:
    """Everything that is known of one account."""

    settings: Settings
    anchor: Anchor
    """what this account's answers say about the time"""
    head: Head | None = None
    inventory: Inventory = field(default_factory=Inventory)
    calendar: Calendar = field(default_factory=Calendar)
    deadlines: Deadlines = field(default_factory=Deadlines)
    subjects: Subjects = field(default_factory=Subjects)
    facts: dict[str, Fact] = field(default_factory=dict)
    quarantined: set[bytes] = field(default_factory=set)
    contested: set[str] = field(default_factory=set)
    """identifiers of which the list showed two copies that differ: only a look-up decides about them from then on, or
    the copies would be told as changes of each other, sweep after sweep"""
    moves: int = 0
    """certificates that came or went by our own events since the process began, those of the baseline left out"""
    revoked: deque[str] = field(default_factory=lambda: deque(maxlen=REVOKED))
    """certificates that were told as revoked, until somebody takes them out; of too many the last ones"""
    newest: int = 0
    """time of the newest event when the history was restored, Unix milliseconds"""
    scheduled: bool = False
    """the calendar is kept: what was restored is known"""
    cut: str = ""
    """the key of a tombstone that was read: a history of this name was forgotten, or something else wrote it"""
    shown: array[int] = field(default_factory=lambda: array("Q"))
    """per row: when the last call that showed it was sent, Unix milliseconds; 0: not since the process began"""
    _coming: Calendar | None = None
    """the calendar that is being built anew"""

    @property
    def name(self) -> str:
        """The account's name."""
        return self.settings.account

    def shown_at(self, identifier: str) -> int:
        """When the last call that showed a certificate was sent, Unix milliseconds; 0: not since the process began."""
        number = self.inventory.number(identifier)
        return self.shown[number] if number is not None and number < len(self.shown) else 0

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take one record of `state` back, of a history that is read from its beginning; `core.restored` ends it.

        Raises Fatal for a key or a head that was not written by certstream, or by a newer one, and for a tombstone in
        a history that goes on: only `forget` writes them, after it closed the history.
        """
        _, slash, identifier = _text(key).partition("/")
        if value is None:
            self._cut(_text(key))
        elif not slash:
            self.head = decode_head(value)
        elif identifier.startswith("/"):
            self.quarantined.add(_mark(identifier[1:]))
        else:
            self.inventory.put(identifier, value)  # the last one of each is looked into when all are there

    def catch_up(self, key: bytes, value: bytes | None, *, now: float, wall: int) -> None:
        """Take one record back of a history that is known: what became of it is read after a doubt. `now` is monotonic
        seconds and `wall` Unix milliseconds of this moment. Raises as `restore`, and Fatal for such a row."""
        _, slash, identifier = _text(key).partition("/")
        if value is None or not slash or identifier.startswith("/"):
            self.restore(key, value)
            return
        row = decode_row(value)
        self._plan(self._put(identifier, row, value), row, wall)
        self.recall(identifier, row, now, wall)

    def _cut(self, key: str) -> None:
        self.cut = key
        if self.head is not None and not self.head.forgotten:
            self.refuse_tombstone()
        if "/" not in key:
            self.clear()

    def clear(self) -> None:
        """Know nothing again: the history was forgotten, or is read once more from the beginning."""
        blank = Ledger(self.settings, self.anchor)
        self.head, self.inventory, self.calendar, self.subjects = None, blank.inventory, blank.calendar, blank.subjects
        self.deadlines, self._coming = blank.deadlines, None
        self.facts, self.quarantined, self.contested = blank.facts, blank.quarantined, blank.contested
        self.moves = self.newest = 0
        self.revoked.clear()
        self.scheduled, self.shown = False, blank.shown

    def refuse_tombstone(self) -> None:
        """Raises Fatal."""
        raise Fatal(
            f"the topic `state` has a tombstone for {self.cut[:80]}, and its history goes on: something else deleted "
            f"it. Put the record back, or give account {self.name} a new name"
        )

    def recall(self, identifier: str, row: Row, now: float, wall: int) -> None:
        """What was established a moment before this process began may still be contradicted by a replica that lags."""
        age = max(0.0, (wall - row.at) / 1000)
        if age < RECENT:
            self.facts[identifier] = Fact(now - age, now - age)

    def _put(self, identifier: str, row: Row, value: bytes) -> int:
        number = self.inventory.put(identifier, value)
        if number == len(self.shown):
            self.shown.append(0)
        self.deadlines.note(number, row)
        if not row.gone:
            self.subjects.add(row.subject, number)
        return number

    def schedule(self, now: int) -> Iterator[None]:
        """Build the calendar anew, in steps: after a restore, when thresholds changed, when the clock was set back.
        The one before is kept until it is done. `now` in Unix milliseconds."""
        if not self.scheduled and self.head is not None:
            self.newest = self.head.time or max(self.head.began, 0) or now
        coming = self._coming = Calendar()
        thresholds, end = self.settings.thresholds, len(self.inventory)  # rows that come meanwhile are entered in both
        for first in range(0, end, STEP):
            seconds, unsure = self.deadlines.due(first, min(first + STEP, end), thresholds, now)
            coming.fill(first, seconds)
            for number in unsure:
                coming.enter(number, self._moment(self.inventory.row(number), now))
            yield
            if self._coming is not coming:
                return  # it is built anew once more
        self.calendar, self._coming = coming, None
        self.scheduled = True

    def _plan(self, number: int, row: Row, now: int) -> None:
        when = self._moment(row, now)
        self.calendar.enter(number, when)
        if self._coming is not None:
            self._coming.enter(number, when)

    def _moment(self, row: Row, now: int) -> int | None:
        """When something about a row is to be told next, Unix milliseconds."""
        if row.gone or self.head is None:
            return None
        thresholds = self.settings.thresholds
        untold = due(row, thresholds, self.head.thresholds, now)
        # By when it passed, not by `now`: a clock that is wrong now must not hide it when it is right again.
        return untold.moment if untold is not None else next_due(row, thresholds, now)

    def plan(self, numbers: Sequence[int], now: int) -> None:
        """Enter rows into the calendar again, whose entries were taken out. `now` in Unix milliseconds."""
        for number in numbers:
            self._plan(number, self.inventory.row(number), now)

    def absorb(self, head: Head, rows: Mapping[str, Row], facts: Mapping[str, Fact], *, now: int, moves: int) -> None:
        """The journal has it: take a committed draft over. `now` in Unix milliseconds."""
        self.head = head
        for identifier, row in rows.items():
            self._plan(self._put(identifier, row, own_size(encode(row))), row, now)
        self.facts.update(facts)
        self.moves += moves

    def mark_shown(self, numbers: Sequence[int], sent_at: int, now: int) -> None:
        """These rows were shown, unchanged, by a call that was sent at `sent_at`; Unix milliseconds, as `now`. What was
        noted while the clock was ahead gives way."""
        shown = self.shown
        for number in numbers:
            if shown[number] < sent_at or shown[number] > now:
                shown[number] = sent_at

    def forget_facts(self, before: float) -> None:
        """Drop the moments of facts that no call in flight can contradict any more."""
        self.facts = {key: fact for key, fact in self.facts.items() if fact.received >= before}

    def controls(self, since_at: int, limit: int, skip: frozenset[str]) -> list[str]:
        """Up to `limit` live certificates that a call sent after `since_at` (Unix milliseconds) has shown."""
        found: list[str] = []
        for number in range(len(self.shown) - 1, -1, -1):
            if self.shown[number] >= since_at and self.shown[number]:
                identifier = self.inventory.identifier(number)
                if identifier not in skip and not self.inventory.row(number).gone:
                    found.append(identifier)
                    if len(found) == limit:
                        break
        return found

    def some(self, limit: int) -> list[str]:
        """Up to `limit` live certificates."""
        found = (identifier for _, identifier, _ in self.inventory.live())
        return list(itertools.islice(found, limit))

    def live(self) -> int:
        """How many certificates are there."""
        return self.head.live if self.head is not None else 0


def _text(key: bytes) -> str:
    try:
        return key.decode("ascii")
    except UnicodeDecodeError as error:
        raise Fatal(f"a key of the topic `state` is {key[:64]!r}; it was written by something else") from error


def _mark(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Fatal(f"a key of the topic `state` ends in {text[:64]!r}; it was written by something else") from error


def begin(settings: Settings, *, lineage: str, succeeds: bool = False) -> Head:
    """The head of a history that begins now; when that is, the first draft says whose clock can be trusted.
    `succeeds`: one of the same name was forgotten before."""
    since = {threshold.text: 0 for threshold in settings.thresholds}
    head = Head(form=1, lineage=lineage, budget=settings.budget, uid=None, began=UNSET, thresholds=since)
    head.succeeds = succeeds
    return head


def adopt(head: Head, settings: Settings) -> Head:
    """The head under the present configuration: thresholds that came later count from when a clock can be trusted."""
    since = {threshold.text: head.thresholds.get(threshold.text, UNSET) for threshold in settings.thresholds}
    return msgspec.structs.replace(head, thresholds=since)
