"""Where the API's words and the X.509 content disagree. Pure, 50–100 µs: only for content that is new."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

from cryptography import x509

from certstream.core.normal import der
from certstream.core.times import parse_rfc3339

Finding = dict[str, str]


def findings(certificate: dict[str, Any], pem: str | None) -> list[Finding]:
    """Compare a normal form with its PEM; no PEM, no findings."""
    if pem is None:
        return []
    content = der(pem)
    if content is None:
        return [{"what": "unparsable", "detail": "X509Certificate is not a PEM certificate"}]
    found = _fingerprints(certificate, content)
    try:
        parsed = x509.load_der_x509_certificate(content)
        found += _serial(certificate, parsed) + _validity(certificate, parsed) + _names(certificate, parsed)
    except Exception as error:
        # cryptography raises many kinds (ValueError, UnsupportedAlgorithm, its own) for content that a CA never
        # should have signed, and for SM2 in some builds: all of it is a finding, none of it may stop the record.
        found.append({"what": "unparsable", "detail": f"X.509 content: {type(error).__name__}"})
    return found


def _fingerprints(certificate: dict[str, Any], content: bytes) -> list[Finding]:
    found: list[Finding] = []
    for field, digest in (("sha2", hashlib.sha256(content)), ("md5", hashlib.md5(content, usedforsecurity=False))):
        said = certificate.get(field)
        if said is not None and said.replace(":", "").lower() != digest.hexdigest():
            found.append({"what": "fingerprint", "detail": f"{field} is not that of the content"})
    return found


def _serial(certificate: dict[str, Any], parsed: x509.Certificate) -> list[Finding]:
    said = certificate.get("serialNumber")
    if said is None or said.replace(":", "").lower().lstrip("0") == f"{parsed.serial_number:x}":
        return []
    return [{"what": "serialNumber", "detail": "serialNumber is not that of the content"}]


def _validity(certificate: dict[str, Any], parsed: x509.Certificate) -> list[Finding]:
    found: list[Finding] = []
    for field, moment in (("notBefore", parsed.not_valid_before_utc), ("notAfter", parsed.not_valid_after_utc)):
        said = certificate.get(field)
        if said is not None and parse_rfc3339(said) // 1000 != int(moment.timestamp()):
            found.append({"what": "validity", "detail": f"{field} is not that of the content"})
    return found


def _names(certificate: dict[str, Any], parsed: x509.Certificate) -> list[Finding]:
    said = certificate.get("sans")
    if said is None:
        return []
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        held: set[tuple[str, str]] = set()
    else:
        held = {
            *(("dns", name) for name in names.get_values_for_type(x509.DNSName)),
            *(("email", name) for name in names.get_values_for_type(x509.RFC822Name)),
            *(("uri", name) for name in names.get_values_for_type(x509.UniformResourceIdentifier)),
            *(("ip", str(name)) for name in names.get_values_for_type(x509.IPAddress)),
        }
    claimed = {(name["type"], _address(name["value"]) if name["type"] == "ip" else name["value"]) for name in said}
    if {name for name in claimed if not name[0].startswith("other:")} == held:
        return []
    return [{"what": "names", "detail": "sans are not those of the content"}]


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text
