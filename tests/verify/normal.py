"""An API record in the contract's normal form, written from the contract alone."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.verify.history import JSON

FIELDS = {
    "Identifier": "identifier",
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
    "KeySize": "keySize",
    "SignAlgorithm": "signAlgorithm",
    "CertificateType": "certificateType",
    "ParentIdentifier": "parentIdentifier",
    "Sha2": "sha2",
    "Md5": "md5",
    "Days": "days",
    "ResourceGroupId": "resourceGroupId",
    "AliasName": "aliasName",
    "CustomIdentifier": "customIdentifier",
    "Id": "id",
}
SAN_TYPES = {1: "email", 2: "dns", 6: "uri", 7: "ip"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s(.*?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Form:
    """A certificate as events show it (without PEM), and its PEM."""

    certificate: dict[str, Any]
    pem: str | None

    @property
    def revoked(self) -> bool:
        return self.certificate.get("status") == "REVOKE"

    @property
    def not_after(self) -> float | None:
        return seconds(self.certificate.get("notAfter"))

    @property
    def not_before(self) -> float | None:
        return seconds(self.certificate.get("notBefore"))


def instant(milliseconds: int) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ`."""
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z".zfill(24)


def seconds(text: Any) -> float | None:
    """The Unix seconds of an instant as events write it; None for anything else."""
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text):
        return None
    return (datetime.fromisoformat(text) - EPOCH) / timedelta(seconds=1)


def sans(text: str) -> list[dict[str, str]]:
    """The API's string of a JSON array (a trailing comma before `]` is tolerated), sorted, without repeats."""
    entries = json.loads(re.sub(r",\s*\]\s*$", "]", text))
    pairs = {(SAN_TYPES.get(entry["Type"], f"other:{entry['Type']}"), str(entry["Value"])) for entry in entries}
    return [{"type": kind, "value": value} for kind, value in sorted(pairs)]


def form(record: JSON) -> Form:
    """Normal form of a readable API record."""
    certificate: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in record.items():
        if value is None or name == "X509Certificate":
            continue
        if name == "Sans":
            if value.strip():
                certificate["sans"] = sans(value)
        elif name == "BeforeDate":
            certificate["notBefore"] = instant(value)
        elif name == "AfterDate":
            certificate["notAfter"] = instant(value)
        elif name in FIELDS:
            certificate[FIELDS[name]] = value
        else:
            extra[name] = value
    if extra:
        certificate["extra"] = extra
    return Form(certificate, record.get("X509Certificate"))


def pem_sum(pem: str) -> str:
    """Lower-case hex SHA-256 of the DER; of the text where it cannot be parsed."""
    found = PEM.search(pem)
    content = pem.encode()
    if found:
        try:
            content = base64.b64decode("".join(found[1].split()), validate=True)
        except binascii.Error:
            content = pem.encode()
    return hashlib.sha256(content).hexdigest()


def audible(before: Form, after: Form) -> dict[str, dict[str, Any]]:
    """What the contract calls a change: known fields present on both sides that differ, as `changes` tells it."""
    told = {
        name: {"from": was, "to": after.certificate[name]}
        for name, was in before.certificate.items()
        if name != "extra" and name in after.certificate and after.certificate[name] != was
    }
    if before.pem is not None and after.pem is not None:
        sums = pem_sum(before.pem), pem_sum(after.pem)
        if sums[0] != sums[1]:
            told["pem"] = {"from": sums[0], "to": sums[1]}
    return told


def threshold_seconds(text: str, lifetime: float) -> float:
    """A configured threshold (`30d`, `12h`, `60s`, `33%` of the lifetime) in seconds before `notAfter`."""
    number, unit = float(text[:-1]), text[-1]
    if unit == "%":
        return lifetime * number / 100
    return number * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
