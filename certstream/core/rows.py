"""The rows of the private topic `state`: certstream's own memory, one per certificate and one head per account.

Keys: `<account>/<identifier>` a certificate, `<account>` its head, `<account>//<hex>` a quarantined record's hash,
`~shard/<n>` an ownership row (the journal's own). Values are MessagePack arrays that begin with the version of their
form; the previous version stays readable.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import orjson

from certstream.core.canonical import canonical
from certstream.core.errors import Fatal
from certstream.core.normal import Normal

FORM = 1

# Frozen with FORM: what a normal form usually contains, the commonest last (zlib's window favours the end).
_DICTIONARY = (
    b'"aliasName":"","customIdentifier":"","extra":{},"omitted":{},"findings":[{"detail":"","what":"'
    b'"serialNumber":"fingerprintvaliditynamesunparsable"}],"id":'
    b'"uri","value":"https://"},{"type":"email","value":"@"},{"type":"ip","value":"10.0.0.'
    b'"algorithm":"SM2","algorithm":"ECC","keySize":256,"keySize":384,"signAlgorithm":"SHA256WITHECDSA",'
    b'"status":"REVOKE","certificateType":"CLIENT","days":30,"days":90,"days":398,'
    b'{"certificate":{"aliasName":"","algorithm":"RSA","certificateType":"SERVER","commonName":".com","countryCode":"CN",'
    b'"days":365,"identifier":"","keySize":2048,"locality":"Hangzhou","md5":"","notAfter":"2027-01-01T00:00:00.000Z",'
    b'"notBefore":"2026-01-01T00:00:00.000Z","organization":"","organizationUnit":"","parentIdentifier":"",'
    b'"resourceGroupId":"rg-ac","sans":[{"type":"dns","value":"www."},{"type":"dns","value":""}],"serialNumber":"",'
    b'"sha2":"","signAlgorithm":"SHA256WITHRSA","state":"Zhejiang","status":"ISSUE","subjectDN":"C=CN,O=,OU=,L=,ST=,CN="},'
    b'"pem":"'
)


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What was told about one notAfter: the nearest threshold (milliseconds before it; None: none yet), its text in
    the configuration then, and whether `expired` was."""

    not_after: int
    threshold: int | None = None
    text: str | None = None
    expired: bool = False


class Row(msgspec.Struct, frozen=True, array_like=True):
    """What the next decision about one certificate needs. Hashes are bytes; instants Unix milliseconds."""

    form: int
    raw: bytes
    """first 16 bytes of the SHA-256 of the record's JSON text; empty when gone"""
    sequence: int
    """of its last event"""
    hash: bytes
    """SHA-256 of its last event's value"""
    inventory: bytes
    """SHA-256 of its inventory value; empty when gone"""
    first: int
    """when it was first told"""
    at: int
    """when the answer that last set it was received"""
    asked: int
    """when that answer had been asked for: what it shows may have ended soon after"""
    known: int
    """when its present notAfter became known"""
    not_before: int | None
    not_after: int | None
    told: Told | None
    """about the present notAfter"""
    past: tuple[Told, ...]
    """about earlier ones, newest last"""
    revoked: bool
    baseline: bool
    """first told as `discovered`"""
    subject: int
    """40 bits of a hash over type, issuer and subject: where `replaces` looks"""
    image: bytes
    """the normal form, compressed; empty when gone"""

    @property
    def gone(self) -> bool:
        """Deleted: only the chain and what was told is kept."""
        return not self.image


class Image(msgspec.Struct, frozen=True):
    """A certificate as it was last observed: what differences are taken against."""

    certificate: dict[str, Any]
    pem: str | None = None
    """hex sum of the PEM"""
    omitted: dict[str, str] = {}
    findings: list[dict[str, str]] = []

    @classmethod
    def of(cls, normal: Normal, findings: list[dict[str, str]]) -> Image:
        """The image of what was just observed."""
        return cls(normal.certificate, normal.pem_sum, dict(normal.omitted), findings)

    def pack(self) -> bytes:
        """Canonical JSON, compressed with the form's dictionary: about 330 bytes."""
        value: dict[str, Any] = {"certificate": self.certificate}
        if self.pem is not None:
            value["pem"] = self.pem
        if self.omitted:
            value["omitted"] = self.omitted
        if self.findings:
            value["findings"] = self.findings
        packer = zlib.compressobj(6, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
        return packer.compress(canonical(value)) + packer.flush()


def unpack(image: bytes) -> Image:
    """The inverse of `Image.pack`."""
    unpacker = zlib.decompressobj(-15, _DICTIONARY)
    value = orjson.loads(unpacker.decompress(image) + unpacker.flush())
    return Image(value["certificate"], value.get("pem"), value.get("omitted", {}), value.get("findings", []))


class Head(msgspec.Struct, array_like=True):
    """An account's history: where its chain stands. Times are Unix milliseconds."""

    form: int
    lineage: str
    """16 hex digits, drawn when the history began"""
    budget: str
    uid: str | None
    began: int
    sequence: int = 0
    hash: bytes = bytes(32)
    time: int = 0
    """of the newest event"""
    baselined: int | None = None
    live: int = 0
    """certificates that are there"""
    thresholds: dict[str, int] = {}
    """each threshold of the configuration and since when it is in it; 0: since the history began"""
    lost: list[tuple[int, int]] = []
    """deletions of the last day: (hour, how many)"""
    suspect: str | None = None
    """why deletions and news are held back"""
    suspected: int = 0
    """since when"""
    digested: int = 0
    swept: int | None = None
    """when the last complete sweep ended"""
    observed: int | None = None
    """no change older than this is unseen"""


_rows = msgspec.msgpack.Decoder(Row)
_heads = msgspec.msgpack.Decoder(Head)
encode = msgspec.msgpack.Encoder().encode


def decode_row(value: bytes) -> Row:
    """Raises Fatal for a row that this version cannot read."""
    try:
        row = _rows.decode(value)
    except msgspec.MsgspecError as error:
        raise Fatal(f"a row of the topic `state` cannot be read ({error}); it was written by something else") from error
    if row.form > FORM:
        raise Fatal(
            f"a row of the topic `state` has form {row.form}, this version reads up to {FORM}: upgrade certstream"
        )
    return row


def decode_head(value: bytes) -> Head:
    """Raises Fatal for a head that this version cannot read."""
    try:
        head = _heads.decode(value)
    except msgspec.MsgspecError as error:
        raise Fatal(
            f"a head in the topic `state` cannot be read ({error}); it was written by something else"
        ) from error
    if head.form > FORM:
        raise Fatal(
            f"a head in the topic `state` has form {head.form}; this version reads up to {FORM}: upgrade certstream"
        )
    return head
