"""What became of a certificate: first sights, changes and passed thresholds become events (`contract`, the table)."""

from __future__ import annotations

from typing import Any

import msgspec

from certstream.core.answers import Answer
from certstream.core.draft import Draft
from certstream.core.expiry import due, lifecycle
from certstream.core.findings import findings
from certstream.core.ledger import fact as fact_of
from certstream.core.normal import Normal, field_sum
from certstream.core.replaces import replaced, subject_key
from certstream.core.rows import FORM, Image, Row, Told
from certstream.core.times import rfc3339

REVOKED = "REVOKE"
PAST = 8
"""Earlier notAfters of a certificate whose thresholds are remembered."""

Changes = dict[str, dict[str, Any]]
"""field → {from, to}"""


def differences(row: Row, before: Image, after: Image) -> Changes:
    """Known fields that are there on both sides and differ.

    What appears or vanishes is no change (the API rolls fields out), nor is anything in `extra`. Only a status cannot
    turn to or from REVOKE unnoticed because it was missing in between.
    """
    changes: Changes = {}
    for name, value in after.certificate.items():
        if name != "extra" and name in before.certificate and before.certificate[name] != value:
            changes[name] = {"from": before.certificate[name], "to": value}
    if before.pem is not None and after.pem is not None and before.pem != after.pem:
        changes["pem"] = {"from": before.pem, "to": after.pem}
    if "sans" in before.omitted or "sans" in after.omitted:
        was, now = _sum(before, "sans"), _sum(after, "sans")
        if was is not None and now is not None and was != now:
            changes["sans"] = {"from": was, "to": now}
    status = after.certificate.get("status")
    if "status" not in before.certificate and status is not None and row.revoked != (status == REVOKED):
        changes["status"] = {"from": REVOKED, "to": status} if row.revoked else {"to": status}
    return changes


def _sum(image: Image, name: str) -> str | None:
    if name in image.omitted:
        return image.omitted[name]
    return field_sum(image.certificate[name]) if name in image.certificate else None


def first_sight(draft: Draft, answer: Answer, normal: Normal, raw: bytes, gone: Row | None) -> None:
    """Tell a certificate that was not there; `gone` is the row of its earlier life."""
    identifier = normal.identifier
    baseline = (
        gone is None
        and draft.head.baselined is None
        and not (normal.not_before is not None and 0 <= draft.head.began < normal.not_before)
    )
    image = Image.of(normal, findings(normal.certificate, normal.pem))
    row = Row(
        form=FORM,
        raw=raw,
        sequence=gone.sequence if gone is not None else 0,
        hash=gone.hash if gone is not None else b"",
        inventory=b"",
        first=draft.now,
        at=answer.received_at,
        asked=answer.sent_at,
        known=draft.now,
        not_before=normal.not_before,
        not_after=normal.not_after,
        told=_told(gone, normal.not_after),
        past=_past(gone, normal.not_after),
        revoked=normal.certificate.get("status") == REVOKED,
        baseline=baseline,
        subject=subject_key(normal.certificate),
        lineage=draft.head.mark,
        image=image.pack(),
    )
    observed = {"before": rfc3339(answer.received_at)}
    data: dict[str, Any] = {"lifecycle": lifecycle(row, draft.now), "observed": observed}
    if gone is not None:
        data["returned"] = True
        observed["after"] = rfc3339(min(gone.asked, answer.received_at))
    if not baseline and (older := replaced(draft, identifier, row, image)) is not None:
        data["replaces"] = older
    row = draft.tell("discovered" if baseline else "new", identifier, row, image, pem=normal.pem, **data)
    draft.facts[identifier] = fact_of(answer.received, answer.received)
    draft.head.live += 1
    draft.moves += not baseline  # what the baseline finds was there before: the list has not moved
    if gone is not None:
        draft.count_lost(-1, gone.at)
    if row.revoked and not baseline:
        changes = {"status": {"to": REVOKED}}
        row = draft.tell("revoked", identifier, row, image, lifecycle="revoked", changes=changes, observed=observed)
    tell_due(draft, identifier, row, image)


def _told(row: Row | None, not_after: int | None) -> Told | None:
    """What was told before about this notAfter: deletion, return and a notAfter that comes back included."""
    known = () if row is None else (*row.past, *((row.told,) if row.told is not None else ()))
    return next((told for told in known if told.not_after == not_after), None)


def _past(row: Row | None, not_after: int | None) -> tuple[Told, ...]:
    known = () if row is None else (*row.past, *((row.told,) if row.told is not None else ()))
    return tuple(told for told in known if told.not_after != not_after)[-PAST:]


def renewed(draft: Draft, answer: Answer, normal: Normal, raw: bytes, row: Row, image: Image) -> Row:
    """The row with what was just observed; a notAfter that vanished is kept, thresholds must not stop for it."""
    not_after = normal.not_after if normal.not_after is not None else row.not_after
    moved = not_after != row.not_after
    return msgspec.structs.replace(
        row,
        raw=raw,
        at=answer.received_at,
        asked=answer.sent_at,
        known=draft.now if moved else row.known,
        not_before=normal.not_before if normal.not_before is not None else row.not_before,
        not_after=not_after,
        told=_told(row, not_after) if moved else row.told,
        past=_past(row, not_after) if moved else row.past,
        revoked=image.certificate.get("status", REVOKED if row.revoked else None) == REVOKED,
        subject=subject_key(image.certificate),
        image=image.pack(),
    )


def changed(draft: Draft, answer: Answer, normal: Normal, raw: bytes, row: Row, image: Image, changes: Changes) -> None:
    """Tell what differs; `image` is the certificate as it is now."""
    identifier = normal.identifier
    revoked = changes.get("status", {}).get("to") == REVOKED
    after = renewed(draft, answer, normal, raw, row, image)
    after = draft.tell(
        "revoked" if revoked else "changed",
        identifier,
        after,
        image,
        pem=normal.pem if "pem" in changes and not revoked else None,
        lifecycle=lifecycle(after, draft.now),
        changes=changes,
        observed=observed_between(draft, identifier, row, answer),
    )
    fact = draft.fact(identifier)
    grave = answer.received if revoked else fact.grave if fact is not None else None
    draft.facts[identifier] = fact_of(answer.received, grave, row.raw)
    tell_due(draft, identifier, after, image)


def observed_between(draft: Draft, identifier: str, row: Row, answer: Answer) -> dict[str, str]:
    """From when the last answer that showed the row as it was had been asked for, until `answer` came.

    Asked for, not received: the change may have happened while that answer was on its way. What lies in the future was
    noted by a clock that was ahead, and says nothing.
    """
    number = draft.ledger.inventory.number(identifier)
    noted = (draft.ledger.shown[number] if number is not None else 0, row.asked)
    return {
        "after": rfc3339(max((at for at in noted if at <= answer.received_at), default=0)),
        "before": rfc3339(answer.received_at),
    }


def tell_due(draft: Draft, identifier: str, row: Row, image: Image) -> bool:
    """Tell what has passed for this certificate, if the clock may be trusted; whether there was something.

    What had passed when the baseline saw it first is told as such, and `expired` not at all. (When it was first seen
    counts only as far as it is not in the future: the clock may have been wrong then.)
    """
    found = due(row, draft.ledger.settings.thresholds, draft.head.thresholds, draft.now) if draft.fires else None
    if found is None:
        return False
    row = msgspec.structs.replace(row, told=found.told)
    baseline = row.baseline and found.moment <= row.first <= draft.now
    if found.threshold is not None:
        draft.tell(
            "expiring", identifier, row, image, lifecycle="valid", threshold=found.threshold.text, baseline=baseline
        )
    elif baseline:
        draft.keep(identifier, row)
    else:
        draft.tell("expired", identifier, row, image, lifecycle="expired")
    return True
