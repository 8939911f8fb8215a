"""Reading hostile records, canonical JSON, what is too large, and findings."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from certstream.core.canonical import canonical
from certstream.core.findings import findings
from certstream.core.normal import DEPTH, Normal, Unreadable, der, field_sum, parse_json, pem_sum, read, sans
from certstream.core.times import FIRST_MS, LAST_MS, parse_rfc3339, rfc3339
from tests.core.world import Record, record, text, watching
from tests.real.pki import issue

SAFE = 2**53 - 1
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)
_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


# --- Canonical JSON ---------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.dictionaries(_texts, _values, max_size=6))
def test_canonical_bytes_are_those_of_rfc_8785(value: dict[str, Any]) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_keys_are_sorted_by_utf_16_units_not_by_code_points() -> None:
    assert canonical({"\ufb33": 1, "😀": 2, "€": 3, "a": {"z": 1, "é": 0}}) == (
        '{"a":{"z":1,"é":0},"€":3,"😀":2,"\ufb33":1}'.encode()
    )


@given(st.dictionaries(_texts, st.lists(_numbers, max_size=3), max_size=3))
def test_numbers_are_whole_and_exact_or_their_source_text_anywhere(value: dict[str, Any]) -> None:
    source = json.dumps(value)

    def check(was: Any, now: Any) -> None:
        if isinstance(was, int) and abs(was) <= SAFE:
            assert now == was
        else:
            assert isinstance(now, str)
            assert now in source

    read_back = parse_json(source)
    assert read_back.keys() == value.keys()
    for key, items in value.items():
        for was, now in zip(items, read_back[key], strict=True):
            check(was, now)
    assert json.loads(canonical(read_back)) == read_back


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("9007199254740991", SAFE),
        ("9007199254740992", "9007199254740992"),
        ("-9007199254740991", -SAFE),
        ("-0", 0),
        ("1.0", "1.0"),
        ("1E400", "1E400"),
        ("1" * 5000, "1" * 5000),
    ],
)
def test_a_number_that_a_reader_could_round_is_a_string(number: str, kept: object) -> None:
    assert parse_json(f'{{"é":{number}}}') == {"é": kept}
    canonical(parse_json(f'{{"é":{number}}}'))


# --- Hostile records --------------------------------------------------------------------------------------------------

_hostile = st.sampled_from(
    [
        b"\x00", b'"', b"{", b"[", b"}", b"]", b",", b":", b"\\", b"\\ud800", b"\\u0000", b"NaN", b"Infinity", b"-",
        b"1e999", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"null", b"true", b'"Identifier":"a"', b'"Sans"', b" ",
    ]
)  # fmt: skip
_names = st.sampled_from([*record("a", Id=1, New=1), "Md5", "", "ключ"])


def tried(raw: bytes) -> Normal | None:
    """What `read` makes of it, None where it is unreadable; what it says fits into the quarantine."""
    try:
        return read(raw)
    except Unreadable as problem:
        canonical({"reason": problem.reason[:1024], "identifier": problem.identifier})
        return None


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.lists(_hostile, max_size=30).map(b"".join))
def test_whatever_the_bytes_nothing_but_unreadable_is_raised(raw: bytes) -> None:
    tried(raw)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_names, _values | _numbers | st.text(max_size=9), max_size=6), st.booleans())
def test_whatever_the_json_it_becomes_valid_events_or_goes_to_quarantine(fields: Record, escaped: bool) -> None:
    raw = json.dumps({"Identifier": "a", **fields}, ensure_ascii=True).encode()
    if not escaped:
        raw = json.dumps({"Identifier": "a", **fields}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    world = watching(record("z"))
    kinds = world.page(record("z"), raw)
    assert (kinds == []) == (tried(raw) is None)
    world.page(record("z"), record("a"))
    world.tick(days=1000)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"a"',
        b'{"Identifier":null}',
        b'{"Identifier":1}',
        b'{"Identifier":""}',
        b'{"Identifier":"a b"}',
        b'{"Identifier":"a/b"}',
        '{"Identifier":"é"}'.encode(),
        b'{"Identifier":"a\\u0000"}',
        b'{"Identifier":"' + b"x" * 129 + b'"}',
        text(record("a", New=float("nan"))),
        text(record("a", Days=True)),
        text(record("a", Days="1")),
        text(record("a", KeySize=[2048])),
        text(record("a", CommonName=7)),
        text(record("a", Status={})),
        text(record("a", AfterDate="2026")),
        text(record("a", AfterDate=LAST_MS + 1)),
        text(record("a", BeforeDate=FIRST_MS - 1)),
        text(record("a", AfterDate=10**30)),
        text(record("a", Sans=[])),
        text(record("a", Sans="{}")),
        text(record("a", Sans='[{"Type":"2","Value":"x"}]')),
        text(record("a", Sans='[{"Type":2}]')),
        text(record("a", Sans='[{"Type":2,"Value":"x"},,]')),
        text(record("a", Sans='[{"Type":2,"Type":2,"Value":"x"}]')),
        text(record("a"))[:-1] + b',"Days":365}',
        text(record("a"))[:-1] + b',"New":{"x":1,"x":1}}',
        text(record("a"))[:-1] + b',"New":"\\ud800"}',
        text(record("a"))[:-1] + b',"\\ud800":1}',
        text(record("a"))[:-1] + b',"New":"\x01"}',
        text(record("a"))[:-1] + b',"New":01}',
        text(record("a"))[:-1] + b',"New":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        text(record("a"))[:-1] + b',"New":' + b"[" * DEPTH + b"]" * DEPTH + b"}",
        text(record("a"))[:-1] + b',"New":' + b'{"k":' * DEPTH + b"1" + b"}" * DEPTH + b"}",
        text(record("a")) + b"x",
        b"\xef\xbb\xbf" + text(record("a")),
        b"\xff" + text(record("a")),
    ],
)
def test_what_cannot_be_read_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        read(raw)


def test_the_deepest_record_that_can_be_read_becomes_valid_events() -> None:
    world = watching(record("z"))
    for key in (b'{"k":', '{"é":'.encode()):
        deep = key * (DEPTH - 1) + b"1" + b"}" * (DEPTH - 1)
        name = b"a" if key == b'{"k":' else b"b"
        raw = text(record(name.decode()))[:-1] + b',"New":' + deep + b"}"
        assert world.page(record("z"), raw) == ["new"]


@pytest.mark.parametrize(
    ("raw", "identifier"),
    [
        (b'{"Identifier":"a","x":NaN}', "a"),
        (b'{"Identifier" : "a","Identifier":"a"}', "a"),
        (b'{"Identifier":"a","Identifier":"b"}', None),
        (b'{"Identifier":"a\\"b","x":NaN}', None),
        (b'{"Identifier":"a b","x":NaN}', None),
        (b'{"Identifier":""x"","x":NaN}', None),
        (b'{"x":NaN}', None),
        (b'{"Identifier":"a","Days":"x"}', "a"),
    ],
)
def test_the_identifier_of_an_unreadable_record_is_known_where_exactly_one_place_says_it(
    raw: bytes, identifier: str | None
) -> None:
    with pytest.raises(Unreadable) as caught:
        read(raw)
    assert caught.value.identifier == identifier


def test_null_counts_as_missing() -> None:
    raw = json.dumps({**record("a", Sans=None, Days=None), "Days": None, "Sans": None, "New": None}).encode()
    assert read(raw).certificate == read(text(record("a", Sans=None, Days=None))).certificate
    assert None not in read(raw).certificate.values()


def test_every_field_has_its_name_and_what_is_unknown_is_extra() -> None:
    found = read(text(record("a", Id=7, AliasName="x", CustomIdentifier="y", Md5="m", New=[1], Newer=1.5)))
    assert found.certificate["extra"] == {"New": [1], "Newer": "1.5"}
    assert (found.certificate["id"], found.certificate["aliasName"]) == (7, "x")
    assert found.certificate["notAfter"] == rfc3339(record("a")["AfterDate"])
    assert "pem" not in found.certificate


@given(st.integers(FIRST_MS, LAST_MS))
def test_instants_survive_the_round_trip(ms: int) -> None:
    assert parse_rfc3339(rfc3339(ms)) == ms
    assert len(rfc3339(ms)) == 24


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["[]", "", "  ", "[ ]", "[,]"])
def test_no_names_are_an_empty_list(source: str) -> None:
    assert sans(source) == []


def test_names_are_sorted_without_repeats_and_a_trailing_comma_is_forgiven() -> None:
    source = '[{"Type":7,"Value":"::1"},{"Type":2,"Value":"b"},{"Value":"b","Type":2},{"Type":1,"Value":"x"},'
    source += '{"Type":6,"Value":"u"},{"Type":99,"Value":"o"} , \n ] '
    assert [(name["type"], name["value"]) for name in sans(source)] == [
        ("dns", "b"),
        ("email", "x"),
        ("ip", "::1"),
        ("other:99", "o"),
        ("uri", "u"),
    ]


def many(count: int, size: int = 30) -> str:
    """`Sans` with so many names."""
    return json.dumps([{"Type": 2, "Value": f"{number:0{size}d}"} for number in range(count)])


# --- Too large --------------------------------------------------------------------------------------------------------


def test_a_large_record_is_kept_whole() -> None:
    world = watching()
    assert world.page(record("a", Sans=many(5000), CommonName="x" * 65536, X509Certificate="p" * 300_000)) == ["new"]
    assert "omitted" not in world.last
    assert len(world.last["certificate"]["sans"]) == 5000


@pytest.mark.parametrize(
    ("fields", "omitted"),
    [
        ({"X509Certificate": "p" * 900_000}, ["pem"]),
        ({"X509Certificate": "p" * 900, "Sans": many(20_000)}, ["pem", "sans"]),
        ({"X509Certificate": None, "Sans": many(20_000)}, ["sans"]),
        ({"Sans": many(20_000), "New": "x" * 900_000}, ["extra", "pem", "sans"]),
        ({"X509Certificate": None, "Sans": None, "New": "x" * 900_000}, ["extra"]),
    ],
)
def test_pem_then_sans_then_extra_are_left_out_of_everything_and_named(fields: Record, omitted: list[str]) -> None:
    world = watching(record("z"))
    assert world.page(record("z"), record("a", **fields)) == ["new"]
    assert world.last["omitted"] == omitted
    assert not set(omitted) & world.last["certificate"].keys()
    assert not set(omitted) & world.inventory("a")["certificate"].keys()
    assert ("pem" in omitted or "X509Certificate" not in record("a", **fields)) == (
        b"prod/a" not in world.topics["pem"]
    )
    world.page(record("z"), record("a", **fields))
    assert world.puts == []


def test_what_is_omitted_is_compared_by_its_sum() -> None:
    world = watching(record("a", Sans=many(20_000), X509Certificate="p" * 900_000))
    assert world.page(record("a", Sans=many(20_001), X509Certificate="q" * 900_000)) == ["changed"]
    changes = world.last["changes"]
    assert changes["pem"] == {"from": digest("p" * 900_000), "to": digest("q" * 900_000)}
    assert changes["sans"] == {"from": field_sum(sans(many(20_000))), "to": field_sum(sans(many(20_001)))}
    assert world.page(record("a", Sans=many(3), X509Certificate="q" * 900_000)) == ["changed"]
    assert set(world.last["changes"]) == {"sans"}
    assert world.look_up("a", record("a", Sans=many(20_001), X509Certificate="q" * 900_000)) == ["changed"]


def digest(content: str) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(content.encode()).hexdigest()


def test_large_values_on_both_sides_of_a_change_are_told_by_their_sums() -> None:
    texts = ["CommonName", "Organization", "OrganizationUnit", "Locality", "State", "CountryCode", "SubjectDN"]
    world = watching(record("a", **dict.fromkeys(texts, "x" * 120000)))
    assert world.page(record("a", **dict.fromkeys(texts, "y" * 120000))) == ["changed"]
    assert len(world.last["changes"]["commonName"]["to"]) == 64


def test_what_is_still_too_large_goes_to_quarantine() -> None:
    world = watching(record("z"))
    assert world.page(record("z"), record("a", CommonName="x" * 900_000, Sans=many(9))) == []
    value = json.loads(world.topics["quarantine"][b"prod/a"] or b"")
    assert value["identifier"] == "a"
    assert "too large" in value["reason"]


# --- The X.509 content ------------------------------------------------------------------------------------------------

PEM = issue("127.0.0.1").certificate.decode()
DER = der(PEM) or b""
GOOD = {
    "sha2": hashlib.sha256(DER).hexdigest(),
    "md5": hashlib.md5(DER, usedforsecurity=False).hexdigest(),
    "sans": [{"type": "dns", "value": "localhost"}, {"type": "ip", "value": "127.0.0.1"}],
}


def test_the_sum_of_a_pem_is_that_of_its_der_and_of_the_text_where_there_is_none() -> None:
    assert pem_sum(PEM) == pem_sum("before\n" + PEM.replace("\n", "\r\n")) == GOOD["sha2"]
    assert pem_sum("no PEM") == hashlib.sha256(b"no PEM").hexdigest()
    broken = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----"
    assert pem_sum(broken) == hashlib.sha256(broken.encode()).hexdigest()


@pytest.mark.parametrize(
    ("fields", "pem", "found"),
    [
        ({}, PEM, set()),
        ({}, None, set()),
        ({"sha2": GOOD["sha2"].upper()}, PEM, set()),  # type: ignore[attr-defined]
        ({"sha2": "00"}, PEM, {"fingerprint"}),
        ({"md5": "00"}, PEM, {"fingerprint"}),
        ({"serialNumber": "01"}, PEM, {"serialNumber"}),
        ({"notAfter": "2026-01-01T00:00:00.000Z"}, PEM, {"validity"}),
        ({"sans": []}, PEM, {"names"}),
        ({"sans": [{"type": "ip", "value": "no address"}]}, PEM, {"names"}),
        ({}, "garbage", {"unparsable"}),
        ({"sha2": None, "md5": None}, "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----", {"unparsable"}),
    ],
)
def test_findings_say_where_words_and_content_disagree(
    fields: dict[str, Any], pem: str | None, found: set[str]
) -> None:
    certificate = {key: value for key, value in {**GOOD, **fields}.items() if value is not None}
    assert {finding["what"] for finding in findings(certificate, pem)} == found


def test_findings_are_in_the_event_and_follow_content_that_appears_silently() -> None:
    world = watching(record("a"))
    assert world.events[0]["data"]["findings"][0]["what"] == "unparsable"
    world = watching(record("a", X509Certificate=None))
    assert "findings" not in world.events[0]["data"]
    assert world.page(record("a")) == []
    assert world.tick(days=260) == ["expiring"]
    assert world.last["findings"][0]["what"] == "unparsable"
