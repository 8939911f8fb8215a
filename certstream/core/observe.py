"""Observing an answer: what it shows, compared with what is known, becomes events in a draft (`design`, Observing).

Nearly all of a page is unchanged, and its records are told by their hash alone. Only a record whose bytes differ is
decoded, normalised and compared field by field.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from certstream.core.answers import Answer
from certstream.core.draft import Draft
from certstream.core.expiry import due, lifecycle
from certstream.core.findings import findings
from certstream.core.ledger import Fact
from certstream.core.normal import Normal, Unreadable, field_sum, read
from certstream.core.replaces import replaced, subject_key
from certstream.core.rows import FORM, Image, Row, Told, unpack
from certstream.core.times import rfc3339

REVOKED = "REVOKE"


@dataclass(slots=True)
class Observed:
    """What an answer showed, beside the events in the draft.

    `unchanged`: row numbers. `identifiers`: those that had to be decoded, unreadable ones included. `records`: how
    many the answer holds. `look_up`: identifiers that only a look-up can decide → seconds to wait before it.
    `held`: nothing was believed, because the answer shows no certificate that was known before it was asked.
    """

    unchanged: list[int] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)
    records: int = 0
    look_up: dict[str, float] = field(default_factory=dict)
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
    found.shows_known = _shows_known(draft, answer, found, different)
    if not (believed or decides is not None or found.shows_known) and _needs_proof(draft):
        found.held = bool(different)
        return found
    copies = _copies(draft, found, different)
    for raw, normal in different:
        if isinstance(normal, Unreadable):
            found.quarantined += draft.quarantine(raw.text, normal)
            if normal.identifier is not None:
                found.identifiers.append(normal.identifier)
        elif decides is None or normal.identifier == decides:
            found.identifiers.append(normal.identifier)
            if draft.head.suspect is None:
                doubtful = normal.identifier in copies or _seen_already(draft, normal.identifier, seen)
                wait = _take(draft, answer, normal, raw.digest, decides=decides is not None, doubtful=doubtful)
                if wait is not None:
                    found.look_up[normal.identifier] = wait
    return found


class _Raw(NamedTuple):
    """A record's JSON text and the first 16 bytes of its SHA-256."""

    digest: bytes
    text: bytes


_Different = list[tuple[_Raw, Normal | Unreadable]]


def _split(draft: Draft, answer: Answer, found: Observed) -> _Different:
    """Sort out the unchanged records by their hash, read the others. This is the hot loop."""
    inventory, rows = draft.ledger.inventory, draft.rows
    different: _Different = []
    for record in answer.page.records:
        digest = hashlib.sha256(record).digest()[:16]
        number = inventory.unchanged(digest)
        if number is not None and not (rows and inventory.identifier(number) in rows):
            found.unchanged.append(number)
            continue
        raw = _Raw(digest, bytes(record))
        try:
            different.append((raw, read(raw.text)))
        except Unreadable as problem:
            different.append((raw, problem))
    return different


def _shows_known(draft: Draft, answer: Answer, found: Observed, different: _Different) -> bool:
    """Does the answer show a certificate that was committed before it was asked for?"""
    inventory, facts = draft.ledger.inventory, draft.ledger.facts
    for number in found.unchanged:
        fact = facts.get(inventory.identifier(number))
        if fact is None or fact.received < answer.sent:
            return True
    for _, normal in different:
        if isinstance(normal, Normal):
            row, fact = inventory.get(normal.identifier), facts.get(normal.identifier)
            if row is not None and not row.gone and (fact is None or fact.received < answer.sent):
                return True
    return False


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


def _seen_already(draft: Draft, identifier: str, seen: bytearray | None) -> bool:
    number = draft.ledger.inventory.number(identifier) if seen is not None else None
    return seen is not None and number is not None and number < len(seen) and bool(seen[number])


def _take(draft: Draft, answer: Answer, normal: Normal, raw: bytes, *, decides: bool, doubtful: bool) -> float | None:
    """Decide about one record that differs; seconds until a look-up has to decide instead, or None."""
    identifier = normal.identifier
    row, fact = draft.row(identifier), draft.fact(identifier)
    if row is None:
        if doubtful:
            return 0.0
        _first_sight(draft, answer, normal, raw, None)
        return None
    if row.gone:
        wait = _wait(draft, answer, fact)
        if not decides or wait is not None:
            return wait or 0.0
        _first_sight(draft, answer, normal, raw, row)
        return None
    before = unpack(row.image)
    after = Image.of(normal, before.findings)
    changes = differences(before, after)
    late = fact is not None and answer.sent <= fact.received
    if not changes:
        if not late and (before.certificate, before.pem, before.omitted) != (
            after.certificate,
            after.pem,
            after.omitted,
        ):
            draft.keep(identifier, _renewed(row, raw, after, answer, draft.now, normal))
        elif not late and identifier not in draft.rows:
            number = draft.ledger.inventory.number(identifier)
            assert number is not None
            draft.ledger.inventory.alias(raw, number)
        return None
    back = row.revoked and after.certificate.get("status") != REVOKED
    if late or (not decides and (doubtful or back)):
        return 0.0
    if back and (wait := _wait(draft, answer, fact)) is not None:
        return wait
    _changed(draft, answer, normal, raw, row, before, changes)
    return None


def _wait(draft: Draft, answer: Answer, fact: Fact | None) -> float | None:
    """Seconds until a look-up may undo a grave fact; None if this answer was asked late enough."""
    if fact is None or fact.grave is None:
        return None
    remaining = fact.grave + draft.ledger.settings.staleness - answer.sent
    return remaining if remaining > 0 else None


def differences(before: Image, after: Image) -> dict[str, dict[str, Any]]:
    """Known fields that are there on both sides and differ, as `{field: {from, to}}`.

    What appears or vanishes is no change (the API rolls fields out), nor is anything in `extra`.
    """
    changes: dict[str, dict[str, Any]] = {}
    for name, value in after.certificate.items():
        if name != "extra" and name in before.certificate and before.certificate[name] != value:
            changes[name] = {"from": before.certificate[name], "to": value}
    if before.pem is not None and after.pem is not None and before.pem != after.pem:
        changes["pem"] = {"from": before.pem, "to": after.pem}
    if "sans" in before.omitted or "sans" in after.omitted:
        was, now = _sum(before, "sans"), _sum(after, "sans")
        if was is not None and now is not None and was != now:
            changes["sans"] = {"from": was, "to": now}
    return changes


def _sum(image: Image, name: str) -> str | None:
    if name in image.omitted:
        return image.omitted[name]
    return field_sum(image.certificate[name]) if name in image.certificate else None


def _first_sight(draft: Draft, answer: Answer, normal: Normal, raw: bytes, gone: Row | None) -> None:
    identifier = normal.identifier
    began = draft.head.began
    baseline = (
        gone is None
        and draft.head.baselined is None
        and not (normal.not_before is not None and normal.not_before > began)
    )
    image = Image.of(normal, findings(normal.certificate, normal.pem))
    row = Row(
        form=FORM,
        raw=raw,
        sequence=gone.sequence if gone is not None else 0,
        hash=gone.hash if gone is not None else b"",
        inventory=b"",
        first=answer.received_at,
        at=answer.received_at,
        known=draft.now,
        not_before=normal.not_before,
        not_after=normal.not_after,
        told=_told(gone, normal.not_after),
        past=_past(gone, normal.not_after),
        revoked=normal.certificate.get("status") == REVOKED,
        subject=subject_key(normal.certificate),
        image=image.pack(),
    )
    state = lifecycle(row, draft.now)
    if baseline and state == "expired" and row.not_after is not None:
        row = msgspec.structs.replace(row, told=Told(row.not_after, expired=True))
    data: dict[str, Any] = {"lifecycle": state, "observed": {"before": rfc3339(answer.received_at)}}
    if gone is not None:
        data["returned"] = True
        data["observed"]["after"] = rfc3339(gone.at)
    if not baseline and (older := replaced(draft, identifier, row, image)) is not None:
        data["replaces"] = older
    row = draft.tell("discovered" if baseline else "new", identifier, row, image, pem=normal.pem, **data)
    draft.facts[identifier] = Fact(answer.received, answer.received)
    draft.head.live += 1
    draft.moves += 1
    if gone is not None:
        draft.count_lost(-1)
    if row.revoked and not baseline:
        changes = {"status": {"to": REVOKED}}
        row = draft.tell(
            "revoked", identifier, row, image, lifecycle="revoked", changes=changes, observed=data["observed"]
        )
    tell_due(draft, identifier, row, image, baseline=baseline)


def _told(row: Row | None, not_after: int | None) -> Told | None:
    """What was told before about this notAfter: deletion, return and a notAfter that comes back included."""
    known = () if row is None else (*row.past, *((row.told,) if row.told is not None else ()))
    return next((told for told in known if told.not_after == not_after), None)


def _past(row: Row | None, not_after: int | None) -> tuple[Told, ...]:
    known = () if row is None else (*row.past, *((row.told,) if row.told is not None else ()))
    return tuple(told for told in known if told.not_after != not_after)[-8:]


def _renewed(row: Row, raw: bytes, image: Image, answer: Answer, now: int, normal: Normal) -> Row:
    """The row with what was just observed; a notAfter that vanished is kept, thresholds must not stop for it."""
    not_after = normal.not_after if normal.not_after is not None else row.not_after
    moved = not_after != row.not_after
    return msgspec.structs.replace(
        row,
        raw=raw,
        at=answer.received_at,
        known=now if moved else row.known,
        not_before=normal.not_before if normal.not_before is not None else row.not_before,
        not_after=not_after,
        told=_told(row, not_after) if moved else row.told,
        past=_past(row, not_after) if moved else row.past,
        revoked=image.certificate.get("status", REVOKED if row.revoked else None) == REVOKED,
        subject=subject_key(image.certificate),
        image=image.pack(),
    )


def _changed(
    draft: Draft,
    answer: Answer,
    normal: Normal,
    raw: bytes,
    row: Row,
    before: Image,
    changes: dict[str, dict[str, Any]],
) -> None:
    identifier = normal.identifier
    if normal.pem is not None:
        image = Image.of(normal, findings(normal.certificate, normal.pem))
    else:
        image = Image.of(normal, before.findings)
    revoked = "status" in changes and changes["status"]["to"] == REVOKED
    after = _renewed(row, raw, image, answer, draft.now, normal)
    shown_at = _shown_at(draft, identifier, row)
    after = draft.tell(
        "revoked" if revoked else "changed",
        identifier,
        after,
        image,
        pem=normal.pem if "pem" in changes and not revoked else None,
        lifecycle=lifecycle(after, draft.now),
        changes=changes,
        observed={"after": rfc3339(min(shown_at, answer.received_at)), "before": rfc3339(answer.received_at)},
    )
    fact = draft.fact(identifier)
    grave = answer.received if revoked else fact.grave if fact is not None else None
    draft.facts[identifier] = Fact(answer.received, grave)
    tell_due(draft, identifier, after, image, baseline=False)


def _shown_at(draft: Draft, identifier: str, row: Row) -> int:
    """When the last answer that showed the row as it was had been asked for, Unix milliseconds."""
    number = draft.ledger.inventory.number(identifier)
    shown = draft.ledger.shown[number] if number is not None else 0
    return max(shown, row.at)


def tell_due(draft: Draft, identifier: str, row: Row, image: Image, *, baseline: bool) -> bool:
    """Tell what has passed for this certificate, if the clock may be trusted; whether there was something."""
    found = due(row, draft.ledger.settings.thresholds, draft.head.thresholds, draft.now) if draft.fires else None
    if found is None:
        return False
    row = msgspec.structs.replace(row, told=found.told)
    if found.threshold is None:
        draft.tell("expired", identifier, row, image, lifecycle="expired")
    else:
        draft.tell(
            "expiring", identifier, row, image, lifecycle="valid", threshold=found.threshold.text, baseline=baseline
        )
    return True
