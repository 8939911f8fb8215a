"""Broken records must be refused: each row of the tables spoils one good example in one place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.schemas.test_files import ALL, EVENTS, canonical
from tests.schemas.validate import problems, problems_of

Spoil = Callable[[dict[str, Any]], object]
ZEROS = "0" * 64


def at(path: str, value: Any) -> Spoil:
    """Set one place, made of keys joined by `/`."""

    def spoil(record: dict[str, Any]) -> None:
        *way, last = path.split("/")
        for key in way:
            record = record[key]
        record[last] = value

    return spoil


def without(path: str) -> Spoil:
    """Remove one place."""

    def spoil(record: dict[str, Any]) -> None:
        *way, last = path.split("/")
        for key in way:
            record = record[key]
        del record[last]

    return spoil


def spoiled(kind: str, spoil: Spoil) -> bytes:
    record = copy.deepcopy(ALL[kind]["examples"][0])
    spoil(record)
    return canonical(record)


ENVELOPE: list[tuple[str, Spoil]] = [
    ("another version of CloudEvents", at("specversion", "0.3")),
    ("the type of no event", at("type", "certstream.certificate.vanished.v1")),
    ("a type without a version", lambda e: e.update(type=e["type"].removesuffix(".v1"))),
    ("a type of the next version", lambda e: e.update(type=e["type"].removesuffix("1") + "2")),
    ("the data schema of something else", at("dataschema", "urn:certstream:schema:common:1")),
    ("a data schema without its pointer", lambda e: e.update(dataschema=e["dataschema"].split("#")[0])),
    ("another content type", at("datacontenttype", "text/plain")),
    ("an id that is no UUID", at("id", "42")),
    ("an id in capitals", lambda e: e.update(id=e["id"].upper())),
    ("the id of another event", at("id", "d8b4f4a0-4f3e-5d3c-8a5e-0d6f5a1c2b3d")),
    ("a random id", at("id", "d8b4f4a0-4f3e-4d3c-8a5e-0d6f5a1c2b3d")),
    ("a source without the account", at("source", "/alibabacloud/cas/")),
    ("a source elsewhere", at("source", "/alibabacloud/kms/prod")),
    ("the source of another account", at("source", "/alibabacloud/cas/test")),
    ("a time without milliseconds", at("time", "2026-03-01T08:00:00Z")),
    ("a time with microseconds", at("time", "2026-03-01T08:00:00.123456Z")),
    ("a time with an offset", at("time", "2026-03-01T08:00:00.123+00:00")),
    ("a time with a space", at("time", "2026-03-01 08:00:00.123Z")),
    ("a day that does not exist", at("time", "2026-02-30T08:00:00.123Z")),
    ("the year 0000", at("time", "0000-03-01T08:00:00.123Z")),
    ("a time that is a number", at("time", 1772352000123)),
    ("a sequence of 19 digits", lambda e: e.update(sequence=e["sequence"][1:])),
    ("a sequence of 21 digits", lambda e: e.update(sequence="0" + e["sequence"])),
    ("a sequence that is a number", lambda e: e.update(sequence=int(e["sequence"]))),
    ("sequence 0", at("sequence", "0" * 20)),
    ("a lineage of 15 digits", at("lineage", "9f2c41d07be35a6")),
    ("a lineage in capitals", at("lineage", "9F2C41D07BE35A68")),
    ("a hash in capitals", at("prevhash", "A" * 64)),
    ("a hash of 63 digits", at("prevhash", "a" * 63)),
    ("the key of something else", at("partitionkey", "test/somebody")),
    ("an account with a capital", at("data/account", "Prod")),
    ("the data of another account", at("data/account", "test")),
    ("an identifier with a space", at("subject", "a b")),
    ("an identifier of 129 characters", at("subject", "a" * 129)),
    ("data that is text", at("data", "{}")),
    ("null for a member that is missing", at("data/note", None)),
    ("a number that is not whole", at("data/note", 1.5)),
    ("a number beyond 2^53", at("data/note", 2**53 + 1)),
]


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize(("what", "spoil"), ENVELOPE, ids=[what for what, _ in ENVELOPE])
def test_a_broken_envelope_is_refused(name: str, what: str, spoil: Spoil) -> None:
    assert problems(spoiled(name, spoil)) != []


@pytest.mark.parametrize("name", EVENTS)
def test_every_attribute_of_the_envelope_is_required(name: str) -> None:
    for attribute in ALL[name]["examples"][0]:
        assert problems(spoiled(name, without(attribute))) != [], attribute


@pytest.mark.parametrize("name", EVENTS)
def test_unknown_members_are_allowed(name: str) -> None:
    def grow(event: dict[str, Any]) -> None:
        event["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        event["data"]["later"] = {"added": [1, "two"]}

    assert problems(spoiled(name, grow)) == []


CERTIFICATE = "data/certificate"
BROKEN: list[tuple[str, str, Spoil]] = [
    ("certificate.revoked", "no certprevhash", without("certprevhash")),
    ("certificate.revoked", "no account", without("data/account")),
    ("certificate.revoked", "no observed", without("data/observed")),
    ("certificate.revoked", "no certificate", without(CERTIFICATE)),
    ("certificate.revoked", "no lifecycle", without("data/lifecycle")),
    ("certificate.revoked", "no changes", without("data/changes")),
    ("certificate.revoked", "empty changes", at("data/changes", {})),
    ("certificate.revoked", "changes without status", at("data/changes", {"commonName": {"from": "a", "to": "b"}})),
    ("certificate.revoked", "a status that is not REVOKE", at("data/changes/status/to", "ISSUE")),
    ("certificate.revoked", "a lifecycle that is not revoked", at("data/lifecycle", "valid")),
    ("certificate.revoked", "a certificate that is not revoked", at(f"{CERTIFICATE}/status", "ISSUE")),
    ("certificate.revoked", "no certificate before", at("certprevhash", ZEROS)),
    ("certificate.revoked", "a pem", at(f"{CERTIFICATE}/pem", "-----BEGIN")),
    ("certificate.new", "after at first sight", at("data/observed/after", "2026-03-20T09:00:00.000Z")),
    ("certificate.new", "observed without before", at("data/observed", {})),
    ("certificate.new", "an event before at first sight", at("certprevhash", "a" * 64)),
    ("certificate.new", "returned without an event before", at("data/returned", True)),
    ("certificate.new", "returned as text", at("data/returned", "true")),
    ("certificate.new", "replaces with a slash", at("data/replaces", "prod/abc")),
    ("certificate.new", "replaces itself", lambda e: e["data"].update(replaces=e["subject"])),
    ("certificate.new", "an unknown lifecycle", at("data/lifecycle", "fresh")),
    ("certificate.new", "findings that are empty", at("data/findings", [])),
    ("certificate.new", "findings that are text", at("data/findings", ["fingerprint"])),
    ("certificate.new", "a finding without detail", at("data/findings", [{"what": "names"}])),
    ("certificate.new", "an unknown finding", at("data/findings", [{"what": "colour", "detail": "x"}])),
    ("certificate.new", "omitted that is empty", at("data/omitted", [])),
    ("certificate.new", "an unknown part omitted", at("data/omitted", ["status"])),
    ("certificate.new", "omitted and there", at("data/omitted", ["pem"])),
    ("certificate.new", "no identifier", without(f"{CERTIFICATE}/identifier")),
    ("certificate.new", "another identifier", at(f"{CERTIFICATE}/identifier", "another")),
    ("certificate.new", "notAfter in milliseconds", at(f"{CERTIFICATE}/notAfter", 1665819958000)),
    ("certificate.new", "notBefore without milliseconds", at(f"{CERTIFICATE}/notBefore", "2026-03-20T00:00:00Z")),
    ("certificate.new", "sans in the API's text", at(f"{CERTIFICATE}/sans", '[{"Type":2,"Value":"a"}]')),
    ("certificate.new", "a san with the API's number", at(f"{CERTIFICATE}/sans", [{"type": 2, "value": "a"}])),
    ("certificate.new", "a san of no type", at(f"{CERTIFICATE}/sans", [{"type": "other", "value": "a"}])),
    ("certificate.new", "sans not sorted", lambda e: e["data"]["certificate"]["sans"].reverse()),
    (
        "certificate.new",
        "sans repeated",
        lambda e: e["data"]["certificate"].update(sans=[{"type": "dns", "value": "a"}] * 2),
    ),
    ("certificate.new", "a key size that is true", at(f"{CERTIFICATE}/keySize", True)),
    ("certificate.new", "a field that is null", at(f"{CERTIFICATE}/locality", None)),
    ("certificate.new", "extra that is text", at(f"{CERTIFICATE}/extra", "more")),
    ("certificate.new", "too large", at(f"{CERTIFICATE}/pem", "x" * 900_000)),
    ("certificate.discovered", "a text of status that is a number", at(f"{CERTIFICATE}/status", 1)),
    ("certificate.expiring", "no threshold", without("data/threshold")),
    ("certificate.expiring", "a threshold in seconds", at("data/threshold", 2592000)),
    ("certificate.expiring", "a threshold of words", at("data/threshold", "soon")),
    ("certificate.expiring", "baseline as text", at("data/baseline", "yes")),
    ("certificate.expiring", "no baseline", without("data/baseline")),
    ("certificate.expiring", "a lifecycle that is expired", at("data/lifecycle", "expired")),
    ("certificate.expired", "a lifecycle that is valid", at("data/lifecycle", "valid")),
    ("certificate.expired", "a revoked certificate", at(f"{CERTIFICATE}/status", "REVOKE")),
    ("certificate.changed", "no changes", without("data/changes")),
    ("certificate.changed", "a change that is a value", at("data/changes", {"days": 3})),
    ("certificate.changed", "a change without from", without("data/changes/resourceGroupId/from")),
    (
        "certificate.changed",
        "a change from and to the same",
        at("data/changes/resourceGroupId/from", "rg-acfmz5bh3k2xq7i"),
    ),
    ("certificate.changed", "a change to what the certificate is not", at("data/changes/resourceGroupId/to", "rg-0")),
    ("certificate.changed", "a change of extra", at("data/changes/extra", {"from": {}, "to": {"a": 1}})),
    ("certificate.changed", "pem as text", at("data/changes/pem", {"from": "-----BEGIN", "to": "a" * 64})),
    ("certificate.changed", "no after", without("data/observed/after")),
    ("certificate.deleted", "no reason", without("data/reason")),
    ("certificate.deleted", "an unknown reason", at("data/reason", "lost")),
    ("account.baselined", "a certprevhash", at("certprevhash", ZEROS)),
    ("account.baselined", "the key of a certificate", at("partitionkey", "prod/abc")),
    ("account.baselined", "no count", without("data/count")),
    ("account.baselined", "a count below zero", at("data/count", -1)),
    ("account.digest", "no digest", without("data/digest")),
    ("account.digest", "a digest in capitals", at("data/digest", "A" * 64)),
    ("account.suspect", "no reason", without("data/reason")),
    ("account.suspect", "nominated as text", at("data/nominated", "all")),
    ("account.forgotten", "who without why", without("data/why")),
    ("account.paused", "nobody", without("data/by")),
    ("account.paused", "an empty name", at("data/by", "")),
    ("account.resumed", "no why", without("data/why")),
    ("account.sweeprequested", "no why", without("data/why")),
    ("account.forgotten", "no count", without("data/count")),
    ("inventory", "no hash", without("hash")),
    ("inventory", "a pem", at("certificate/pem", "-----BEGIN")),
    ("inventory", "another identifier", at("identifier", "another")),
    ("inventory", "a sequence of 19 digits", at("sequence", "0" * 18 + "3")),
    ("inventory", "a lifecycle that is revoked", at("lifecycle", "revoked")),
    ("accounts", "an unknown state", at("state", "fine")),
    ("accounts", "since without milliseconds", at("since", "2026-03-01T08:00:02Z")),
    ("accounts", "no counts", without("counts")),
    ("accounts", "a count that is text", at("counts/certificates", "1204")),
    ("quarantine", "bytes that are not base64", at("bytes", "{}")),
    ("quarantine", "half of the bytes", lambda r: r.update(bytes=r["bytes"][: len(r["bytes"]) // 2 // 4 * 4])),
    ("quarantine", "the hash of something else", at("sha256", "a" * 64)),
    ("quarantine", "another size", at("size", 1)),
]


@pytest.mark.parametrize(("kind", "what", "spoil"), BROKEN, ids=[f"{kind}: {what}" for kind, what, _ in BROKEN])
def test_a_broken_record_is_refused(kind: str, what: str, spoil: Spoil) -> None:
    assert problems_of(kind, spoiled(kind, spoil)) != []


ALLOWED: list[tuple[str, str, Spoil]] = [
    ("certificate.new", "an unknown algorithm", at(f"{CERTIFICATE}/algorithm", "ED448")),
    ("certificate.new", "an unknown type", at(f"{CERTIFICATE}/certificateType", "ROBOT")),
    ("certificate.new", "an unknown status", at(f"{CERTIFICATE}/status", "SUSPEND")),
    ("certificate.new", "a key size beyond 2^53", at(f"{CERTIFICATE}/keySize", "9007199254740993")),
    ("certificate.new", "a san of another type", at(f"{CERTIFICATE}/sans", [{"type": "other:8", "value": "x"}])),
    ("certificate.new", "null inside extra", at(f"{CERTIFICATE}/extra", {"Usages": [None, {"A": None}]})),
    ("certificate.new", "keys beyond ASCII in extra", at(f"{CERTIFICATE}/extra", {"é": 1, "备注": "x"})),
    ("certificate.new", "a year of four digits below 1000", at(f"{CERTIFICATE}/notBefore", "0001-01-01T00:00:00.000Z")),
    ("certificate.expiring", "a part of the lifetime", at("data/threshold", "33.3%")),
    ("certificate.revoked", "a status that vanished", without(f"{CERTIFICATE}/status")),
    ("certificate.changed", "a long value by its sum", at("data/changes/resourceGroupId/to", "a" * 64)),
    ("account.forgotten", "nobody", lambda e: (e["data"].pop("by"), e["data"].pop("why"))),
    ("accounts", "a count that came later", at("counts/unreadable", 3)),
]


@pytest.mark.parametrize(("kind", "what", "spoil"), ALLOWED, ids=[f"{kind}: {what}" for kind, what, _ in ALLOWED])
def test_what_the_contract_allows_is_not_refused(kind: str, what: str, spoil: Spoil) -> None:
    assert problems_of(kind, spoiled(kind, spoil)) == []


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda good: good.replace(b'":', b'": ', 1), id="white space"),
        pytest.param(lambda good: b'{"aaa":1,' + b'"aaa":1,' + good[1:], id="a key given twice"),
        pytest.param(lambda good: b'{"zzz":1,' + good[1:], id="keys not sorted"),
        pytest.param(lambda good: good.replace(b"alice", b"\\u0061lice"), id="an escape that is not needed"),
        pytest.param(lambda good: good + b"\n", id="a line feed at the end"),
        pytest.param(lambda good: good[:-1], id="the last byte missing"),
        pytest.param(lambda good: b"[]", id="an array"),
        pytest.param(lambda good: b"", id="nothing"),
    ],
)
def test_bytes_that_are_not_canonical_json_are_refused(value: Callable[[bytes], bytes]) -> None:
    good = canonical(ALL["account.sweeprequested"]["examples"][0])
    assert problems(good) == []
    assert problems(value(good)) != []


def test_keys_are_sorted_by_utf_16_code_units() -> None:
    """RFC 8785 §3.2.3: U+1F600 (D83D DE00) comes before U+FB33, by code points it would come after."""
    row = copy.deepcopy(ALL["inventory"]["examples"][0])
    face, dalet = "\N{GRINNING FACE}", "\N{HEBREW LETTER DALET WITH DAGESH}"
    row["certificate"]["extra"] = {face: 1, dalet: 2}
    by_code_points = canonical(row)
    right = by_code_points.replace(f'"{dalet}":2,"{face}":1'.encode(), f'"{face}":1,"{dalet}":2'.encode())
    assert right != by_code_points
    assert problems_of("inventory", right) == []
    assert problems_of("inventory", by_code_points) != []
