"""Which older certificate a new one replaces (`contract`, What becomes which event)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from certstream.core.rows import Image, Row, unpack

if TYPE_CHECKING:
    from certstream.core.draft import Draft


def subject_key(certificate: dict[str, Any]) -> int:
    """40 bits over type, issuer and subject."""
    content = "\n".join(_subject(certificate))
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:5], "big")


def _subject(certificate: dict[str, Any]) -> tuple[str, str, str]:
    return (
        certificate.get("certificateType", ""),
        certificate.get("parentIdentifier", ""),
        certificate.get("subjectDN", certificate.get("commonName", "")),
    )


def replaced(draft: Draft, identifier: str, row: Row, image: Image) -> str | None:
    """The identifier of the one older certificate that `row` replaces, None where there is none or several."""
    subject = _subject(image.certificate)
    if not subject[2] or row.not_after is None:
        return None
    names = _names(image.certificate)
    found: list[str] = []
    candidates = {draft.ledger.inventory.identifier(number) for number in draft.ledger.subjects.find(row.subject)}
    candidates |= {other for other, staged in draft.rows.items() if staged.subject == row.subject}
    for other in candidates - {identifier}:
        older = draft.row(other)
        if older is None or older.gone or older.revoked or older.not_after is None or older.not_after >= row.not_after:
            continue
        if not _inside_widest(draft, older):
            continue
        certificate = unpack(older.image).certificate
        if _subject(certificate) == subject and _names(certificate) <= names:
            found.append(other)
    return found[0] if len(found) == 1 else None


def _names(certificate: dict[str, Any]) -> set[tuple[str, str]]:
    return {(name["type"], name["value"]) for name in certificate.get("sans", ())}


def _inside_widest(draft: Draft, older: Row) -> bool:
    not_before = older.not_before if older.not_before is not None else 0
    assert older.not_after is not None
    spans = [
        span
        for threshold in draft.ledger.settings.thresholds
        if (span := threshold.before(not_before, older.not_after)) is not None
    ]
    return bool(spans) and draft.now >= older.not_after - max(spans)
