"""A certificate as the API shows it: the JSON object of one row, as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import md5, sha256

import orjson
from cryptography.hazmat.primitives.serialization import Encoding

from certstream.simulator.blueprint import Blueprint
from certstream.simulator.ca import Authority, pem

ISSUED = "ISSUE"
REVOKED = "REVOKE"

_LEFT_OUT_OF_REVOKED = ("X509Certificate", "Days", "ResourceGroupId", "Id", "AliasName")


def render(blueprint: Blueprint, authority: Authority, *, group: str, extra: Mapping[str, object]) -> bytes:
    """Builds and signs the certificate, and gives its row. `extra` wins over every field; None leaves one out."""
    der = authority.issue(blueprint).public_bytes(Encoding.DER)
    issuer = authority.issuers[blueprint.issuer]
    record: dict[str, object] = {
        "X509Certificate": pem(der),
        "Identifier": blueprint.identifier,
        "SerialNumber": f"{blueprint.serial:x}",
        "SubjectDN": issuer.distinguished_name(blueprint.common_name),
        "CommonName": blueprint.common_name,
        "OrganizationUnit": issuer.unit,
        "Organization": issuer.organization,
        "Locality": issuer.locality,
        "State": issuer.state,
        "CountryCode": issuer.country,
        "Sans": blueprint.sans_text,
        "Status": ISSUED,
        "BeforeDate": blueprint.not_before * 1000,
        "AfterDate": blueprint.not_after * 1000,
        "Algorithm": blueprint.algorithm,
        "KeySize": 2048 if blueprint.algorithm == "RSA" else 256,
        "SignAlgorithm": "SHA256WITHECDSA",
        "CertificateType": blueprint.kind,
        "ParentIdentifier": issuer.identifier,
        "Sha2": sha256(der).hexdigest(),
        "Md5": md5(der, usedforsecurity=False).hexdigest(),
        "Days": max(1, round(blueprint.days)),
        "ResourceGroupId": group,
        "Id": 1_000_000 + blueprint.number,
    }
    if blueprint.alias is not None:
        record["AliasName"] = blueprint.alias
    if blueprint.custom is not None:
        record["CustomIdentifier"] = blueprint.custom
    return _dump(record, extra)


def edited(encoded: bytes, fields: Mapping[str, object]) -> bytes:
    """The row with other values; None takes a field away."""
    return _dump(orjson.loads(encoded), fields)


def revocation(encoded: bytes, revoked_at: float) -> bytes:
    """The row of ListRevokeCertificate: fewer fields, and dates as text (`2021-12-31T00:00Z`, the SDK's description).

    `revoked_at` is in Unix seconds.
    """
    record: dict[str, object] = orjson.loads(encoded)
    for name in _LEFT_OUT_OF_REVOKED:
        record.pop(name, None)
    for name in ("BeforeDate", "AfterDate"):
        value = record.get(name)
        if isinstance(value, int):
            record[name] = _day(value / 1000)
    record["RevokeDate"] = _day(revoked_at)
    return orjson.dumps(record)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT00:00Z")


def _dump(record: dict[str, object], fields: Mapping[str, object]) -> bytes:
    record.update(fields)
    return orjson.dumps({name: value for name, value in record.items() if value is not None})
