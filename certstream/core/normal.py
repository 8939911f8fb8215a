"""The normal form: what one record of a page says about a certificate (`contract`, Event).

A record is hostile input. What cannot be read raises `Unreadable`, with the identifier where that much could be read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from certstream.core.canonical import canonical
from certstream.core.errors import Rejected
from certstream.core.times import rfc3339

LIMIT = 900_000
"""Bytes: no record that certstream writes is larger (`contract`: Too large)."""
_ENVELOPE = 20_000
"""Bytes kept free for everything in an event beside the certificate."""

DEPTH = 60
"""Of nesting in a record: with what an event puts around it 64 at most, where strict JSON parsers stop."""

OMITTABLE = ("pem", "sans", "extra")
"""What is left out of a certificate that is too large, in this order."""

IDENTIFIER = re.compile(r"[!-.0-~]{1,128}")
"""Printable ASCII without space and `/`."""

_TEXTS = {
    "SerialNumber": "serialNumber",
    "SubjectDN": "subjectDN",
    "CommonName": "commonName",
    "Organization": "organization",
    "OrganizationUnit": "organizationUnit",
    "Locality": "locality",
    "State": "state",
    "CountryCode": "countryCode",
    "Status": "status",
    "Algorithm": "algorithm",
    "SignAlgorithm": "signAlgorithm",
    "CertificateType": "certificateType",
    "ParentIdentifier": "parentIdentifier",
    "Sha2": "sha2",
    "Md5": "md5",
    "ResourceGroupId": "resourceGroupId",
    "AliasName": "aliasName",
    "CustomIdentifier": "customIdentifier",
}
_NUMBERS = {"KeySize": "keySize", "Days": "days", "Id": "id"}
_INSTANTS = {"BeforeDate": "notBefore", "AfterDate": "notAfter"}
_SAN_TYPES = {1: "email", 2: "dns", 6: "uri", 7: "ip"}


class Unreadable(Rejected):
    """A record that goes to `quarantine`. `identifier` is None where not even that could be read."""

    def __init__(self, reason: str, identifier: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.identifier = identifier


@dataclass(frozen=True, slots=True)
class Normal:
    """One certificate as the API describes it. `certificate` is the normal form, without the PEM.

    `omitted`: what was too large and left out, as field → hex SHA-256 of its canonical JSON (of the PEM: its sum).
    Instants are Unix milliseconds.
    """

    identifier: str
    certificate: dict[str, Any]
    pem: str | None
    pem_sum: str | None
    omitted: Mapping[str, str]
    not_before: int | None
    not_after: int | None


class _BigNumber(str):
    """A JSON number outside ±2^53 (I-JSON's safe integers, RFC 7493 §2.2), or no integer: its source text."""

    __slots__ = ()


def read(raw: bytes) -> Normal:
    """Decode and normalise one record. Raises Unreadable."""
    fields = _parse(raw)
    identifier = _identifier(fields)
    try:
        return _normalise(identifier, fields)
    except ValueError as error:
        raise Unreadable(str(error), identifier) from error


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        value = parse_json(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Unreadable(f"not readable as JSON: {reason}", _scraped_identifier(raw)) from error
    if not _shallow(value, DEPTH):
        raise Unreadable("nested too deeply", _scraped_identifier(raw))
    if not isinstance(value, dict):
        raise Unreadable(f"a record is a JSON object, not {_type_name(value)}")
    return value


def parse_json(text: str) -> Any:
    """JSON with numbers kept as they were written, without doubled keys and NaN. Raises ValueError."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            seen: set[str] = set()
            doubled = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise ValueError(f"the key {doubled[:64]!r} is given twice")
        return made

    return json.loads(
        text, object_pairs_hook=pairs, parse_int=_integer, parse_float=_BigNumber, parse_constant=_no_constant
    )


def _shallow(value: Any, depth: int) -> bool:
    """Whether objects and arrays are nested at most `depth` deep."""
    if not isinstance(value, (dict, list)):
        return True
    items = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_shallow(item, depth - 1) for item in items)


def _integer(text: str) -> int | _BigNumber:
    return int(text) if len(text) < 18 and -(2**53) < int(text) < 2**53 else _BigNumber(text)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


class _Identified(msgspec.Struct):
    Identifier: str


_identified = msgspec.json.Decoder(_Identified)


def identifier_of(record: bytes | msgspec.Raw) -> str | None:
    """The identifier of a record, in a microsecond; None where nothing tells it."""
    try:
        return _identified.decode(record).Identifier
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return _scraped_identifier(bytes(record))


_IDENTIFIER_FIELD = re.compile(rb'"Identifier"\s*:\s*"([!#-.0-~]{1,128})"')


def _scraped_identifier(raw: bytes) -> str | None:
    """The identifier of a record that cannot be parsed, where exactly one place looks like it."""
    found = {match for match in _IDENTIFIER_FIELD.findall(raw) if b"\\" not in match}
    return found.pop().decode() if len(found) == 1 else None


def _identifier(fields: dict[str, Any]) -> str:
    identifier = fields.get("Identifier")
    if not isinstance(identifier, str) or IDENTIFIER.fullmatch(identifier) is None:
        raise Unreadable("Identifier is not 1 to 128 characters of printable ASCII without space and '/'")
    return identifier


def _normalise(identifier: str, fields: dict[str, Any]) -> Normal:
    certificate: dict[str, Any] = {"identifier": identifier}
    extra: dict[str, Any] = {}
    instants: dict[str, int] = {}
    pem: str | None = None
    for name, value in fields.items():
        if value is None or name == "Identifier":
            continue
        if name in _TEXTS:
            certificate[_TEXTS[name]] = _expect(name, value, str)
        elif name in _NUMBERS:
            certificate[_NUMBERS[name]] = str(value) if isinstance(value, _BigNumber) else _expect(name, value, int)
        elif name in _INSTANTS:
            instants[_INSTANTS[name]] = _expect(name, value, int)
            certificate[_INSTANTS[name]] = rfc3339(value)
        elif name == "Sans":
            certificate["sans"] = sans(_expect(name, value, str))
        elif name == "X509Certificate":
            pem = _expect(name, value, str)
        else:
            extra[name] = value
    if extra:
        certificate["extra"] = extra
    certificate, kept, omitted = _fit(certificate, pem)
    return Normal(
        identifier=identifier,
        certificate=certificate,
        pem=kept,
        pem_sum=pem_sum(pem) if pem is not None else None,
        omitted=omitted,
        not_before=instants.get("notBefore"),
        not_after=instants.get("notAfter"),
    )


def _expect(name: str, value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{name} is {_type_name(value)}, expected {'text' if kind is str else 'a whole number'}")
    return value


def _type_name(value: Any) -> str:
    names: dict[type, str] = {dict: "an object", list: "an array", str: "text", bool: "a boolean", int: "a number"}
    return names.get(type(value), "null" if value is None else "a number")


_TRAILING_COMMA = re.compile(r",\s*\]\s*\Z")


def sans(text: str) -> list[dict[str, str]]:
    """The API's `Sans` (a JSON array inside a string, sometimes with a comma before `]`), sorted, without repeats.

    Raises ValueError.
    """
    if not text.strip():
        return []
    try:
        items = parse_json(_TRAILING_COMMA.sub("]", text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Sans is not a JSON array: {error}") from error
    if not isinstance(items, list):
        raise ValueError("Sans is not a JSON array")
    found: set[tuple[str, str]] = set()
    for item in items:
        kind, value = (item.get("Type"), item.get("Value")) if isinstance(item, dict) else (None, None)
        if type(kind) is not int or not isinstance(value, str):
            raise ValueError("an element of Sans is not {Type: number, Value: text}")
        found.add((_SAN_TYPES.get(kind, f"other:{kind}"), value))
    return [{"type": kind, "value": value} for kind, value in sorted(found)]


_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


def der(pem: str) -> bytes | None:
    """The DER of the first certificate of a PEM text, None where there is none."""
    match = _PEM.search(pem)
    if match is None:
        return None
    try:
        return base64.b64decode("".join(match[1].split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def pem_sum(pem: str) -> str:
    """Hex SHA-256 of the DER; of the text where that cannot be read."""
    content = der(pem)
    return hashlib.sha256(content if content is not None else pem.encode("utf-8", "surrogatepass")).hexdigest()


def _fit(certificate: dict[str, Any], pem: str | None) -> tuple[dict[str, Any], str | None, dict[str, str]]:
    """Leave out what is too large, in the order of OMITTABLE. Raises ValueError where that does not help."""
    omitted: dict[str, str] = {}
    size = len(canonical(certificate)) + (len(canonical({"pem": pem})) if pem is not None else 0)
    steps: Mapping[str, Callable[[], str]] = {
        "pem": lambda: pem_sum(pem) if pem is not None else "",
        "sans": lambda: field_sum(certificate["sans"]),
        "extra": lambda: field_sum(certificate["extra"]),
    }
    for name in OMITTABLE:
        if size <= LIMIT - _ENVELOPE:
            break
        if (name == "pem" and pem is None) or (name != "pem" and name not in certificate):
            continue
        omitted[name] = steps[name]()
        if name == "pem":
            pem = None
        else:
            certificate = {key: value for key, value in certificate.items() if key != name}
        size = len(canonical(certificate)) + (len(canonical({"pem": pem})) if pem is not None else 0)
    if size > LIMIT - _ENVELOPE:
        raise ValueError(f"too large: {size} bytes without pem, sans and extra")
    return certificate, pem, omitted


def field_sum(value: Any) -> str:
    """Hex SHA-256 of a field's canonical JSON: how an omitted field is compared."""
    return hashlib.sha256(canonical({"": value})).hexdigest()
