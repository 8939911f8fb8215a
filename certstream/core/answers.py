"""Decoding an answer of ListClientCertificate: bytes in, a page or a typed error out (reference: `api-facts`).

A page keeps each record as its raw JSON slice: equal bytes cannot hide a change, so an unchanged record is
never decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

Slice = msgspec.Raw | bytes
"""The JSON text of one record of a page, as it came."""


@dataclass(frozen=True, slots=True)
class Page:
    """A decoded answer. Counts are None where the server sent none, or not a number that makes sense."""

    records: Sequence[Slice]
    total: int | None
    number: int | None
    size: int | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A page and when it was asked and answered.

    `sent`, `received`: monotonic seconds that enclose the arrival at the server. `sent_at`, `received_at`: the same
    as Unix milliseconds of this host's clock. `date`: the server's `Date` header in Unix milliseconds, or None.
    """

    page: Page
    sent: float
    received: float
    sent_at: int
    received_at: int
    date: int | None
