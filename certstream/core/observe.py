"""Observing an answer: what it shows, compared with what is known, becomes events in a draft (`design`, Observing).

Nearly all of a page is unchanged, and its records are told by their hash alone. Only a record whose bytes differ is
decoded, normalised and compared field by field.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

from certstream.core.answers import Answer
from certstream.core.changes import REVOKED, changed, differences, first_sight, renewed
from certstream.core.draft import Draft
from certstream.core.findings import findings
from certstream.core.ledger import Fact, Ledger
from certstream.core.ledger import fact as fact_of
from certstream.core.normal import Normal, Unreadable, read
from certstream.core.rows import Image, Row, unpack


@dataclass(slots=True)
class Observed:
    """What an answer showed, beside the events in the draft.

    `unchanged`: row numbers. `identifiers`: those that had to be decoded, unreadable ones included. `records`: how
    many the answer holds. `look_up`: identifiers that only a look-up can decide → seconds to wait before it.
    `contested`: those of them of which the list shows two copies that differ.
    `held`: first sights were not believed, because the answer shows no certificate that was known before it was asked.
    """

    unchanged: list[int] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)
    records: int = 0
    look_up: dict[str, float] = field(default_factory=dict)
    contested: list[str] = field(default_factory=list)
    held: bool = False
    shows_known: bool = False
    quarantined: int = 0


def observe(
    draft: Draft, answer: Answer, *, decides: str | None = None, believed: bool = False, seen: bytearray | None = None
) -> Observed:
    """Compare one answer with what is known. The draft gets the events.

    `decides`: the answer is the look-up of this identifier, which may decide what a page may not. `believed`: a
    later answer vouched for this one. `seen`: the rows that this sweep has seen already (a second, differing copy
    of one needs a look-up).
    """
    found = Observed(records=len(answer.page.records))
    different = _split(draft, answer, found)
    draft.shows.append((answer.sent_at, found.unchanged))
    found.shows_known = _shows_known(draft, answer, found, different)
    if not (believed or decides is not None or found.shows_known) and _needs_proof(draft):
        found.held = any(isinstance(normal, Normal) for _, normal in different)
        if found.held:
            return found
    copies = _copies(draft, found, different)
    if decides in copies:
        different = _one_copy(draft, found, different, decides)
    for raw, normal in different:
        if isinstance(normal, Unreadable):
            found.quarantined += draft.quarantine(raw.text, normal)
            if normal.identifier is not None:
                found.identifiers.append(normal.identifier)
        elif decides is None or normal.identifier == decides:
            found.identifiers.append(normal.identifier)
            if draft.head.suspect is not None:
                _hold(draft, answer, normal.identifier)
            else:
                doubtful = (
                    normal.identifier in copies
                    or normal.identifier in draft.ledger.contested
                    or _seen_already(draft, normal.identifier, seen)
                    or _replaced(draft, normal.identifier, raw.digest)
                )
                wait = _take(draft, answer, normal, raw.digest, decides=decides is not None, doubtful=doubtful)
                if wait is not None and doubtful:
                    found.contested.append(normal.identifier)
                if wait is not None:
                    found.look_up[normal.identifier] = wait
    return found


class _Raw(NamedTuple):
    """A record's JSON text and the first 16 bytes of its SHA-256."""

    digest: bytes
    text: bytes


_Different = list[tuple[_Raw, Normal | Unreadable]]


def _split(draft: Draft, answer: Answer, found: Observed) -> _Different:
    """Sort out the unchanged records by their hash, read the others."""
    different: _Different = []
    found.unchanged, others = draft.ledger.inventory.recognise(answer.page.records, draft.rows)
    for record, digest in others:
        raw = _Raw(digest, bytes(record))
        try:
            different.append((raw, read(raw.text)))
        except Unreadable as problem:
            different.append((raw, problem))
    return different


def _shows_known(draft: Draft, answer: Answer, found: Observed, different: _Different) -> bool:
    """Does the answer show a certificate that was committed before it was asked for?"""
    inventory = draft.ledger.inventory
    shown = (inventory.identifier(number) for number in found.unchanged)
    read = (normal.identifier for _, normal in different if normal.identifier is not None)
    return any(_was_known(draft.ledger, identifier, answer) for identifier in itertools.chain(shown, read))


def _was_known(ledger: Ledger, identifier: str, answer: Answer) -> bool:
    row, fact = ledger.inventory.get(identifier), ledger.facts.get(identifier)
    if row is None or row.gone:
        return False
    return fact is None or fact.received < answer.sent or row.first < answer.sent_at


def _needs_proof(draft: Draft) -> bool:
    """A wrong answer must not flood a known account; where nothing is known there is nothing to show."""
    return draft.head.baselined is not None and draft.ledger.live() > 0


def _copies(draft: Draft, found: Observed, different: _Different) -> set[str]:
    """Identifiers of which this answer shows two copies that differ."""
    if not different:
        return set()
    met = {draft.ledger.inventory.identifier(number): b"" for number in found.unchanged}
    return {
        normal.identifier
        for raw, normal in different
        if isinstance(normal, Normal) and met.setdefault(normal.identifier, raw.digest) != raw.digest
    }


def _one_copy(draft: Draft, found: Observed, different: _Different, decides: str | None) -> _Different:
    """A look-up that itself shows copies that differ: what is known already counts, else the one with the smallest
    hash, so that two copies that stay there do not become events for ever."""
    number = draft.ledger.inventory.number(decides) if decides is not None else None
    hashes = [raw.digest for raw, normal in different if isinstance(normal, Normal) and normal.identifier == decides]
    kept = None if number in found.unchanged else min(hashes)
    return [(raw, normal) for raw, normal in different if normal.identifier != decides or raw.digest == kept]


def _seen_already(draft: Draft, identifier: str, seen: bytearray | None) -> bool:
    number = draft.ledger.inventory.number(identifier) if seen is not None else None
    return seen is not None and number is not None and number < len(seen) and bool(seen[number])


def _replaced(draft: Draft, identifier: str, digest: bytes) -> bool:
    """Is it as before a change a moment ago? Two pages show two copies, a replica lags, or it changed back."""
    fact = draft.fact(identifier)
    return fact is not None and fact.before == digest


def _take(draft: Draft, answer: Answer, normal: Normal, raw: bytes, *, decides: bool, doubtful: bool) -> float | None:
    """Decide about one record that differs; seconds until a look-up has to decide instead, or None."""
    identifier = normal.identifier
    row, fact = draft.row(identifier), draft.fact(identifier)
    if row is None or row.gone:
        wait = _wait(draft, answer, fact) if row is not None else None
        if not decides and (doubtful or row is not None):
            return wait or 0.0
        if wait is None:
            first_sight(draft, answer, normal, raw, row)
        return wait
    before = unpack(row.image)
    found = findings(normal.certificate, normal.pem) if normal.pem is not None else before.findings
    after = Image.of(normal, found)
    changes = differences(row, before, after)
    late = fact is not None and answer.sent <= fact.received
    if not changes and (late or after == before):
        if not late:
            _alias(draft, identifier, raw)
        return None
    back = row.revoked and after.certificate.get("status", REVOKED) != REVOKED
    if late or (not decides and (doubtful or back)):
        return 0.0
    if back and (wait := _wait(draft, answer, fact)) is not None:
        return wait
    if changes:
        changed(draft, answer, normal, raw, row, after, changes)
    else:
        _keep(draft, answer, normal, raw, row, after)
    return None


def _keep(draft: Draft, answer: Answer, normal: Normal, raw: bytes, row: Row, image: Image) -> None:
    """Remember what changed silently."""
    fact = draft.fact(normal.identifier)
    draft.keep(normal.identifier, renewed(draft, answer, normal, raw, row, image))
    draft.facts[normal.identifier] = fact_of(answer.received, fact.grave if fact is not None else None)


def _hold(draft: Draft, answer: Answer, identifier: str) -> None:
    """What a suspect account shows changed is not told, but it is there: no look-up that was asked before says else."""
    row, fact = draft.row(identifier), draft.fact(identifier)
    if row is not None and not row.gone:
        draft.facts[identifier] = fact_of(answer.received, fact.grave if fact is not None else None)


def _alias(draft: Draft, identifier: str, raw: bytes) -> None:
    """The same in other JSON text: know it by that from now on."""
    number = draft.ledger.inventory.number(identifier)
    if number is not None and identifier not in draft.rows:
        draft.ledger.inventory.alias(raw, number)


def _wait(draft: Draft, answer: Answer, fact: Fact | None) -> float | None:
    """Seconds until a look-up may undo a grave fact; None if this answer was asked late enough."""
    if fact is None or fact.grave is None:
        return None
    remaining = fact.grave + draft.ledger.settings.staleness - answer.sent
    return remaining if remaining > 0 else None
