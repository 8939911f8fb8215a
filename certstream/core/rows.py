"""The rows of the private topic `state`: certstream's own memory, one per certificate and one head per account.

Keys: `<account>/<identifier>` a certificate, `<account>` its head, `<account>//<hex>` a quarantined record's hash,
`~shard/<n>` an ownership row (the journal's own). Values are MessagePack arrays that begin with the version of their
form; the previous version stays readable.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from certstream.core.canonical import canonical
from certstream.core.errors import Fatal
from certstream.core.normal import Normal
from certstream.core.times import parse_rfc3339, rfc3339

FORM = 1

# Frozen with FORM: a normal form in its order, with the values of the API's reference page and other common ones.
_DICTIONARY = (
    '"findings":[{"detail":"","what":"fingerprint"},{"what":"validity"},{"what":"names"},{"what":"serialNumber"}],'
    '"omitted":{"pem":"","sans":""},"extra":{},"customIdentifier":"","days":30,"days":90,"days":398,"keySize":384,'
    '"status":"REVOKE","algorithm":"SM2","signAlgorithm":"SM3WITHSM2","keySize":4096,"type":"email","value":"@",'
    '{"type":"ip","value":"10.0.0.1"},{"type":"uri","value":"https://spiffe://"}],"organizationUnit":"Devices",'
    '{"certificate":{"algorithm":"RSA","aliasName":"","certificateType":"CLIENT","commonName":"","countryCode":"CN",'
    '"days":365,"id":1,"keySize":2048,"locality":"Hangzhou","organization":"","organizationUnit":"",'
    '"resourceGroupId":"rg-acfm","sans":[{"type":"dns","value":".com"},{"type":"uri","value":"spiffe://"}],'
    '"signAlgorithm":"SHA256WITHRSA","state":"Zhejiang","status":"ISSUE","subjectDN":"CN=,OU=,O=,L=,ST=,C=CN"},'
    '{"certificate":{"algorithm":"ECC","aliasName":"","certificateType":"SERVER","commonName":"www.aliyundoc.com",'
    '"countryCode":"CN","days":365,"id":1,"keySize":256,"locality":"Hangzhou",'
    '"organization":"阿里云计算有限公司","organizationUnit":"Security","resourceGroupId":"rg-acfm",'
    '"sans":[{"type":"dns","value":".com"},{"type":"dns","value":"www."}],"signAlgorithm":"SHA256WITHECDSA",'
    '"state":"Zhejiang","status":"ISSUE",'
    '"subjectDN":"C=CN,O=阿里云计算有限公司,OU=Security,L=Hangzhou,ST=Zhejiang,CN="},"pem":"sha2"}'
).encode()


class Told(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was told about one notAfter: the nearest threshold (milliseconds before it; None: none yet), its text in
    the configuration then, and whether `expired` was."""

    not_after: int
    threshold: int | None = None
    text: str | None = None
    expired: bool = False


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
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
    lineage: int
    """the first 32 bits of its history's lineage: rows of two histories must not become one memory"""
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
        """The form's binary: hexadecimal fields and instants as their bytes, the rest compressed; about 240 bytes.

        Hexadecimal digits are random, so that compression spends nearly a byte on each.
        """
        rest = dict(self.certificate)
        value: dict[str, Any] = {"certificate": rest}
        packed = bytearray()
        for name in (*_HEXADECIMAL, *_INSTANTS):
            raw = _binary(name, rest.get(name))
            packed.append(len(raw))
            packed += raw
            if raw:
                del rest[name]
        if self.pem is not None:
            value["pem"] = _SAME if self.pem == self.certificate.get("sha2") else self.pem
        if self.omitted:
            value["omitted"] = self.omitted
        if self.findings:
            value["findings"] = self.findings
        packer = zlib.compressobj(6, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
        return bytes(packed) + packer.compress(canonical(value)) + packer.flush()


_HEXADECIMAL = ("identifier", "serialNumber", "parentIdentifier", "sha2", "md5")
_INSTANTS = ("notBefore", "notAfter")
_HEX = re.compile(r"(?:[0-9a-f]{2}){4,64}")
_SAME = "sha2"


def _binary(name: str, text: Any) -> bytes:
    if not isinstance(text, str):
        return b""
    if name in _INSTANTS:
        return parse_rfc3339(text).to_bytes(7, "big", signed=True)
    return bytes.fromhex(text) if _HEX.fullmatch(text) else b""


def unpack(image: bytes) -> Image:
    """The inverse of `Image.pack`."""
    binary: dict[str, str] = {}
    at = 0
    for name in (*_HEXADECIMAL, *_INSTANTS):
        raw = image[at + 1 : at + 1 + image[at]]
        at += 1 + len(raw)
        if raw:
            binary[name] = rfc3339(int.from_bytes(raw, "big", signed=True)) if name in _INSTANTS else raw.hex()
    unpacker = zlib.decompressobj(-15, _DICTIONARY)
    value = orjson.loads(unpacker.decompress(image[at:]) + unpacker.flush())
    certificate = value["certificate"] | binary
    pem = value.get("pem")
    return Image(
        certificate,
        certificate["sha2"] if pem == _SAME else pem,
        value.get("omitted", {}),
        value.get("findings", []),
    )


class Head(msgspec.Struct, array_like=True):
    """An account's history: where its chain stands. Times are Unix milliseconds."""

    form: int
    lineage: str
    """16 hex digits, drawn when the history began"""
    budget: str
    uid: str | None
    began: int
    """-1: no clock could be trusted yet"""
    sequence: int = 0
    hash: bytes = bytes(32)
    time: int = 0
    """of the newest event"""
    baselined: int | None = None
    live: int = 0
    """certificates that are there"""
    thresholds: dict[str, int] = {}
    """each threshold of the configuration and since when; 0: since the history began, -1: not in force yet"""
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
    succeeds: bool = False
    """a history of the same name was forgotten before this one began"""
    forgotten: int = 0
    """when `account.forgotten` closed it; what is left of its rows is being deleted. 0: it goes on"""

    @property
    def mark(self) -> int:
        """What its rows carry as `lineage`."""
        return int(self.lineage[:8], 16)


_rows = msgspec.msgpack.Decoder(Row)
_heads = msgspec.msgpack.Decoder(Head)
encode = msgspec.msgpack.Encoder().encode


RAW = slice(6, 22)
"""Where `Row.raw` lies in the bytes of a row that is not gone (MessagePack: array16, form, bin8; a test holds it)."""


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


def decode_rows(values: Sequence[bytes]) -> list[Row]:
    """Many at once. Raises Fatal as `decode_row`."""
    try:
        rows = [_rows.decode(value) for value in values]
        if max([row.form for row in rows], default=0) <= FORM:
            return rows
    except msgspec.MsgspecError:
        pass
    return [decode_row(value) for value in values]


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
