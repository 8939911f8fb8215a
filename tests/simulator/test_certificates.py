"""The certificates are real, and the API's words about them are true."""

from __future__ import annotations

import json
import re
from hashlib import md5, sha256
from random import Random
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certstream.simulator import SimulatorConfig
from certstream.simulator.blueprint import draw, lifetime
from certstream.simulator.ca import Authority
from certstream.simulator.population import Population

REFERENCE = {
    "X509Certificate", "Identifier", "SerialNumber", "SubjectDN", "CommonName", "OrganizationUnit", "Organization",
    "Locality", "State", "CountryCode", "Sans", "Status", "BeforeDate", "AfterDate", "Algorithm", "KeySize",
    "SignAlgorithm", "CertificateType", "ParentIdentifier", "Sha2", "Md5", "Days", "ResourceGroupId",
}  # fmt: skip
NEWER = {"Id", "AliasName", "CustomIdentifier"}


@pytest.fixture(scope="module")
def population() -> Population:
    population = Population(SimulatorConfig(certificates=300))
    population.settle()
    return population


@pytest.fixture(scope="module")
def records(population: Population) -> list[dict[str, Any]]:
    return [orjson.loads(population.encoded(row)) for row in population]


def parsed(record: dict[str, Any]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(record["X509Certificate"].encode())


def test_every_field_of_the_reference_page_is_there(records: list[dict[str, Any]]) -> None:
    assert all(REFERENCE <= set(record) <= REFERENCE | NEWER for record in records)
    for name in NEWER:
        assert any(name in record for record in records)


def test_sums_serial_and_validity_are_those_of_the_certificate(records: list[dict[str, Any]]) -> None:
    for record in records:
        certificate = parsed(record)
        der = certificate.public_bytes(Encoding.DER)
        assert record["Sha2"] == sha256(der).hexdigest()
        assert record["Md5"] == md5(der).hexdigest()
        assert re.fullmatch(r"[0-9a-f]{32}", record["SerialNumber"])
        assert int(record["SerialNumber"], 16) == certificate.serial_number
        assert record["BeforeDate"] == certificate.not_valid_before_utc.timestamp() * 1000
        assert record["AfterDate"] == certificate.not_valid_after_utc.timestamp() * 1000


def test_names_type_and_algorithm_are_those_of_the_certificate(records: list[dict[str, Any]]) -> None:
    kinds = {
        "SERVER": ExtendedKeyUsageOID.SERVER_AUTH,
        "CLIENT": ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    for record in records:
        certificate = parsed(record)
        (common_name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert record["CommonName"] == common_name.value
        assert record["SubjectDN"].startswith("C=CN,O=阿里云计算有限公司,OU=")
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [kinds[record["CertificateType"]]]
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        assert record["Algorithm"] == ("RSA" if isinstance(key, rsa.RSAPublicKey) else "ECC")
        assert key.key_size == record["KeySize"]
    assert {record["CertificateType"] for record in records} == set(kinds)
    assert {record["Algorithm"] for record in records} == {"RSA", "ECC"}


def test_sans_are_those_of_the_certificate_and_some_have_the_trailing_comma(records: list[dict[str, Any]]) -> None:
    readers = {1: x509.RFC822Name, 2: x509.DNSName, 6: x509.UniformResourceIdentifier, 7: x509.IPAddress}
    seen: set[int] = set()
    commas = 0
    for record in records:
        text = record["Sans"]
        commas += text.endswith(", ]")
        sans = json.loads(re.sub(r",\s*]$", "]", text))
        names = parsed(record).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [san["Value"] for san in sans] == [str(name.value) for name in names]
        assert [readers[san["Type"]] for san in sans] == [type(name) for name in names]
        seen |= {san["Type"] for san in sans}
    assert seen == {1, 2, 6, 7}
    assert 0 < commas < len(records)


def test_the_chain_verifies_to_the_root(population: Population, records: list[dict[str, Any]]) -> None:
    issuers = {issuer.identifier: issuer for issuer in population.authority.issuers}
    for record in records:
        issuer = issuers[record["ParentIdentifier"]]
        parsed(record).verify_directly_issued_by(issuer.certificate)
        issuer.certificate.verify_directly_issued_by(population.authority.root)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others() -> None:
    def der(seed: int) -> bytes:
        blueprint = draw(Random(seed), number=1, not_before=1_700_000_000, not_after=1_800_000_000, days=365)
        return Authority(seed).issue(blueprint).public_bytes(Encoding.DER)

    assert der(1) == der(1) != der(2)


def test_initial_ages_are_spread_over_the_lifetimes(population: Population) -> None:
    parts = sorted((row.blueprint.not_after - row.blueprint.not_before, row.blueprint.days) for row in population)
    assert {days for _, days in parts} == {30, 90, 365}
    assert all(seconds == days * 86400 for seconds, days in parts)
    born = [row.blueprint.not_before for row in population]
    assert born == sorted(born), "the newest is the last made"
    assert len(set(born)) > 290


def test_speed_shrinks_lifetimes_to_whole_seconds_but_not_the_days() -> None:
    assert lifetime(30, 86400) == 30
    assert lifetime(0.001, 86400) == 1
    population = Population(SimulatorConfig(certificates=50, speed=86400, lifetimes=(30, 90)))
    population.settle()
    record = orjson.loads(population.record(population.issue(days=90)))
    assert record["AfterDate"] - record["BeforeDate"] == 90_000
    assert record["Days"] == 90
    assert all(row.blueprint.not_after - row.blueprint.not_before in (30, 90) for row in population)
