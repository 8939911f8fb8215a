"""The kinds of events: the attributes that all share (CloudEvents 1.0), and what each carries as `data`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from certstream.events.certificate import Certificate, Change, Finding, Lifecycle, Observed, Part


class AccountEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The attributes of every event, under their CloudEvents names."""

    specversion: Literal["1.0"]
    id: str
    """The same event always has the same id: use it to drop what you have already handled."""
    source: str
    """`/alibabacloud/cas/<account>`."""
    subject: str
    """The certificate's identifier, or the account."""
    time: datetime
    """When certstream decided."""
    datacontenttype: Literal["application/json"]
    dataschema: str
    partitionkey: str
    """The record's key: `<account>/<identifier>`, or the account."""
    lineage: str
    """Another one when an account was forgotten and begins again."""
    sequence: str
    """20 digits, from 1, without gaps within an account's lineage."""
    prevhash: str
    """SHA-256 of the value's bytes of the account's previous event; 64 zeros for the first."""


class CertificateEvent(AccountEvent, frozen=True, kw_only=True, omit_defaults=True):
    """An event about one certificate."""

    certprevhash: str
    """SHA-256 of the value's bytes of the certificate's previous event; 64 zeros for the first."""


class _Certified(Struct, frozen=True, kw_only=True, omit_defaults=True):
    account: str
    certificate: Certificate
    """As it is after this event; of a deleted one, as it was last seen."""
    lifecycle: Lifecycle
    findings: tuple[Finding, ...] = ()
    omitted: tuple[Part, ...] = ()
    """Parts that are left out of `certificate` because the event would be too large."""


class Seen(_Certified, frozen=True, kw_only=True, omit_defaults=True):
    """Data of what an answer of the API showed."""

    observed: Observed


class Passed(_Certified, frozen=True, kw_only=True, omit_defaults=True):
    """Data of what a clock may decide: then `observed` is None."""

    observed: Observed | None = None


class NewData(Seen, frozen=True, kw_only=True, omit_defaults=True):
    returned: bool = False
    """It was deleted before."""
    replaces: str | None = None
    """Identifier of the certificate that this one renews; None also where several might be meant."""


class ChangedData(Seen, frozen=True, kw_only=True, omit_defaults=True):
    changes: dict[str, Change]
    """By the field's name in the API's normal form: `status`, `commonName`, …"""


class DeletedData(Seen, frozen=True, kw_only=True, omit_defaults=True):
    reason: Literal["gone", "moved"]
    """`moved`: out of the account's resource group."""


class ExpiringData(Passed, frozen=True, kw_only=True, omit_defaults=True):
    threshold: str
    """The threshold that has passed, in the configuration's words: `30d`, `33%`."""
    baseline: bool
    """It had passed before watching began."""


class _Account(Struct, frozen=True, kw_only=True, omit_defaults=True):
    account: str


class CountData(_Account, frozen=True, kw_only=True, omit_defaults=True):
    count: int
    """Certificates in the inventory."""


class DigestData(CountData, frozen=True, kw_only=True, omit_defaults=True):
    digest: str
    """SHA-256 over the lines `identifier SP hex(SHA-256(inventory value)) LF`, sorted."""


class SuspectData(_Account, frozen=True, kw_only=True, omit_defaults=True):
    reason: str
    count: int
    """Certificates in the inventory."""
    nominated: int
    """Certificates that were not seen."""


class OperatorData(_Account, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator did: who, and why."""

    by: str
    why: str


class ForgottenData(CountData, frozen=True, kw_only=True, omit_defaults=True):
    by: str | None = None
    why: str | None = None


class CertificateDiscovered(CertificateEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A certificate that was there before the first complete sweep had ended."""

    type: Literal["certstream.certificate.discovered.v1"]
    data: Seen


class CertificateNew(CertificateEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A certificate seen for the first time after the baseline."""

    type: Literal["certstream.certificate.new.v1"]
    data: NewData


class CertificateRevoked(CertificateEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A certificate's status became REVOKE."""

    type: Literal["certstream.certificate.revoked.v1"]
    data: ChangedData


class CertificateExpiring(CertificateEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A threshold before a certificate's notAfter has passed."""

    type: Literal["certstream.certificate.expiring.v1"]
    data: ExpiringData


class CertificateExpired(CertificateEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A certificate's notAfter has passed and it was not revoked."""

    type: Literal["certstream.certificate.expired.v1"]
    data: Passed


class CertificateChanged(CertificateEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A known field of a certificate differs from what was last told."""

    type: Literal["certstream.certificate.changed.v1"]
    data: ChangedData


class CertificateDeleted(CertificateEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A look-up found a certificate no more."""

    type: Literal["certstream.certificate.deleted.v1"]
    data: DeletedData


class AccountBaselined(AccountEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The first complete sweep has ended."""

    type: Literal["certstream.account.baselined.v1"]
    data: CountData


class AccountDigest(AccountEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A digest of the account's inventory as it was before this event."""

    type: Literal["certstream.account.digest.v1"]
    data: DigestData


class AccountSuspect(AccountEvent, frozen=True, kw_only=True, omit_defaults=True):
    """So much is missing at once that the answers are not believed."""

    type: Literal["certstream.account.suspect.v1"]
    data: SuspectData


class AccountReleased(AccountEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The account is believed again."""

    type: Literal["certstream.account.released.v1"]
    data: OperatorData


class AccountPaused(AccountEvent, frozen=True, kw_only=True, omit_defaults=True):
    """An operator paused the account."""

    type: Literal["certstream.account.paused.v1"]
    data: OperatorData


class AccountResumed(AccountEvent, frozen=True, kw_only=True, omit_defaults=True):
    """An operator resumed the account."""

    type: Literal["certstream.account.resumed.v1"]
    data: OperatorData


class AccountSweepRequested(AccountEvent, frozen=True, kw_only=True, omit_defaults=True):
    """An operator asked for a sweep now."""

    type: Literal["certstream.account.sweeprequested.v1"]
    data: OperatorData


class AccountForgotten(AccountEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The account's history ends; the last event of its lineage."""

    type: Literal["certstream.account.forgotten.v1"]
    data: ForgottenData
