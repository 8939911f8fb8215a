"""A small CA: a root, two subordinates, and real X.509 certificates that say what a blueprint says.

Keys follow from the seed and ECDSA signatures are deterministic (RFC 6979), so a blueprint always gives the same bytes.
A certificate takes some 0.15 ms, because the subordinates sign with P-256 and the subjects share a handful of keys.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certstream.simulator.blueprint import DNS, EMAIL, IP, URI, Blueprint
from certstream.simulator.rsa_moduli import MODULI

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of P-256 (FIPS 186-5): a private key is a number below it."""

_FROM = datetime(2020, 1, 1, tzinfo=UTC)
_TO = datetime(2045, 1, 1, tzinfo=UTC)

_USAGE = {"SERVER": ExtendedKeyUsageOID.SERVER_AUTH, "CLIENT": ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclass(frozen=True, slots=True)
class Issuer:
    """A subordinate CA: what the API calls the parent, and the organisation that its certificates carry."""

    identifier: str
    unit: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    name: x509.Name
    known_by: x509.AuthorityKeyIdentifier

    organization = "阿里云计算有限公司"
    locality = "Hangzhou"
    state = "Zhejiang"
    country = "CN"

    def distinguished_name(self, common_name: str) -> str:
        """`SubjectDN` of what it issues, in the order of the reference page; escaped as in RFC 4514 §2.4."""
        name = _attribute(NameOID.COMMON_NAME, common_name).rfc4514_string()
        return f"{_organization_text(self.unit)},{name}"


class Authority:
    """Signs blueprints. `root` and `issuers` are for whoever wants to build a chain."""

    def __init__(self, seed: int) -> None:
        rng = Random(f"{seed}/ca")
        root_key = _ec_key(rng)
        name = _name("Simulator Root", "Root")
        self.root = _ca(name, root_key, name, root_key, rng, path_length=1)
        self.issuers = tuple(self._subordinate(unit, root_key, rng) for unit in ("Security", "Devices"))
        ecc = [_ec_key(rng).public_key() for _ in range(4)]
        moduli = [rsa.RSAPublicNumbers(65537, n).public_key() for n in MODULI]
        self._keys: dict[str, list[tuple[rsa.RSAPublicKey | ec.EllipticCurvePublicKey, x509.SubjectKeyIdentifier]]] = {
            "ECC": [(key, x509.SubjectKeyIdentifier.from_public_key(key)) for key in ecc],
            "RSA": [(key, x509.SubjectKeyIdentifier.from_public_key(key)) for key in moduli],
        }

    def issue(self, blueprint: Blueprint) -> x509.Certificate:
        """The certificate, signed."""
        issuer = self.issuers[blueprint.issuer]
        keys = self._keys[blueprint.algorithm]
        key, known_by = keys[blueprint.serial % len(keys)]
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(blueprint.common_name, issuer.unit))
            .issuer_name(issuer.name)
            .public_key(key)
            .serial_number(blueprint.serial)
            .not_valid_before(datetime.fromtimestamp(blueprint.not_before, UTC))
            .not_valid_after(datetime.fromtimestamp(blueprint.not_after, UTC))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_USAGE[blueprint.kind]]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general(*san) for san in blueprint.sans]), critical=False)
            .add_extension(known_by, critical=False)
            .add_extension(issuer.known_by, critical=False)
        )
        return builder.sign(issuer.key, SHA256(), ecdsa_deterministic=True)

    def _subordinate(self, unit: str, root_key: ec.EllipticCurvePrivateKey, rng: Random) -> Issuer:
        key = _ec_key(rng)
        name = _name(f"Simulator {unit} CA", unit)
        certificate = _ca(name, key, self.root.subject, root_key, rng, path_length=0)
        identifier = sha256(certificate.public_bytes(Encoding.DER)).hexdigest()[:32]
        known_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        return Issuer(identifier, unit, key, certificate, name, known_by)


def pem(der: bytes) -> str:
    """PEM text (RFC 7468), ending with a newline."""
    return ssl.DER_cert_to_PEM_cert(der)


@cache
def _organization(unit: str) -> tuple[x509.NameAttribute[str], ...]:
    """The attributes that all certificates of a unit share, made once: making them is slow."""
    return (
        _attribute(NameOID.COUNTRY_NAME, Issuer.country),
        _attribute(NameOID.ORGANIZATION_NAME, Issuer.organization),
        _attribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        _attribute(NameOID.LOCALITY_NAME, Issuer.locality),
        _attribute(NameOID.STATE_OR_PROVINCE_NAME, Issuer.state),
    )


@cache
def _organization_text(unit: str) -> str:
    return ",".join(attribute.rfc4514_string() for attribute in _organization(unit))


def _attribute(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(oid, value)


def _name(common_name: str, unit: str) -> x509.Name:
    return x509.Name([*_organization(unit), _attribute(NameOID.COMMON_NAME, common_name)])


def _general(kind: int, value: str) -> x509.GeneralName:
    if kind == EMAIL:
        return x509.RFC822Name(value)
    if kind == URI:
        return x509.UniformResourceIdentifier(value)
    if kind == IP:
        return x509.IPAddress(ipaddress.ip_address(value))
    assert kind == DNS
    return x509.DNSName(value)


def _ec_key(rng: Random) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(rng.randrange(1, _ORDER), ec.SECP256R1())


def _ca(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    rng: Random,
    *,
    path_length: int,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(rng.getrandbits(126) | 1 << 126)
        .not_valid_before(_FROM)
        .not_valid_after(_TO)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return builder.sign(signer, SHA256(), ecdsa_deterministic=True)
