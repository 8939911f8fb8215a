"""Which older certificate a new one replaces (`contract`, What becomes which event)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from certstream.core.expiry import spans
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
        if older is None or older.gone or older.revoked or not _older(older, row) or not _inside_widest(draft, older):
            continue
        shown = unpack(older.image)
        if "sans" in shown.omitted:
            continue  # whether its names are a subset cannot be told
        if _subject(shown.certificate) == subject and _names(shown.certificate) <= names:
            found.append(other)
    return found[0] if len(found) == 1 else None


def _names(certificate: dict[str, Any]) -> set[tuple[str, str]]:
    return {(name["type"], name["value"]) for name in certificate.get("sans", ())}


def _older(older: Row, row: Row) -> bool:
    """Issued no later, and expiring earlier."""
    if older.not_after is None or row.not_after is None or older.not_after >= row.not_after:
        return False
    return older.not_before is None or row.not_before is None or older.not_before <= row.not_before


def _inside_widest(draft: Draft, older: Row) -> bool:
    widest = max((span for _, span in spans(older, draft.ledger.settings.thresholds)), default=None)
    return widest is not None and older.not_after is not None and draft.now >= older.not_after - widest
