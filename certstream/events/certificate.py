"""A certificate in normal form, and what events say about it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, field

Lifecycle = Literal["valid", "expired", "revoked"]
Part = Literal["pem", "sans", "extra"]
"""What is left out of a certificate that would make its event too large."""


class San(Struct, frozen=True):
    """One subject alternative name."""

    type: str
    """`dns`, `email`, `uri`, `ip`, or `other:` and what the API calls it."""
    value: str


class Certificate(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The fields of the API in normal form. None: the API did not give it, or it is not in this kind of event.

    `status`, `algorithm` and `certificate_type` are the API's words: one that you do not know is data, not an error.
    `key_size`, `days` and `id` are texts where the API sent what is no integer within ±2^53.
    """

    identifier: str
    serial_number: str | None = None
    subject_dn: str | None = field(default=None, name="subjectDN")
    common_name: str | None = None
    organization: str | None = None
    """Of the issuing subordinate CA, as the four that follow."""
    organization_unit: str | None = None
    locality: str | None = None
    state: str | None = None
    country_code: str | None = None
    sans: tuple[San, ...] | None = None
    status: str | None = None
    """`ISSUE` or `REVOKE`."""
    not_before: datetime | None = None
    not_after: datetime | None = None
    algorithm: str | None = None
    key_size: int | str | None = None
    """In bits."""
    sign_algorithm: str | None = None
    certificate_type: str | None = None
    """`CLIENT` or `SERVER`."""
    parent_identifier: str | None = None
    """Of the issuing subordinate CA's certificate."""
    sha2: str | None = None
    """SHA-256 fingerprint as the API says it."""
    md5: str | None = None
    days: int | str | None = None
    resource_group_id: str | None = None
    alias_name: str | None = None
    custom_identifier: str | None = None
    id: int | str | None = None
    pem: str | None = None
    """Only in discovered and new, and in changed when it is the content that changed."""
    extra: dict[str, Any] | None = None
    """Fields that this version of certstream does not know, under the API's names, as they came."""


class Observed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The change happened between these two answers of the API."""

    before: datetime
    """The answer that showed it."""
    after: datetime | None = None
    """The last answer that did not; None at first sight."""


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one field was and is, in normal form. Of `pem`, and of long values, the SHA-256 sums."""

    from_: Any = field(default=None, name="from")
    """None in a `revoked` that follows a `new` at once."""
    to: Any = None


class Finding(Struct, frozen=True):
    """Where the API's words and the certificate's content disagree."""

    what: str
    """`fingerprint`, `serialNumber`, `validity`, `names`, `unparsable`, or one that a later version adds."""
    detail: str
