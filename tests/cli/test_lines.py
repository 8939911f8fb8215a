"""One event, one line: what it says, and that no certificate can make it say anything else."""

from __future__ import annotations

import copy
import io
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from certstream.cli.lines import KINDS, describe, kind_of, safe, short, span
from certstream.definition import schema

CERTIFICATE = {
    "identifier": "a1f0c2d94b7e4c5f8e61d20b37c9815e",
    "commonName": "pay.example.com",
    "notBefore": "2026-01-01T00:00:00.000Z",
    "notAfter": "2026-03-30T12:00:00.000Z",
    "status": "ISSUE",
}


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {
        "type": f"certstream.certificate.{kind}.v1",
        "subject": CERTIFICATE["identifier"],
        "time": "2026-03-01T08:00:00.123Z",
        "data": {"account": "prod", "certificate": CERTIFICATE, "lifecycle": "valid", **data},
    }


def line(value: dict[str, Any]) -> str:
    return " ".join(describe(value).plain.split())


HEAD = "2026-03-01 08:00:00"
WHO = "prod pay.example.com a1f0c2d94b…"
LINES = [
    (event("discovered"), f"{HEAD} discovered {WHO} was there when watching began, valid for 29 d"),
    (
        event("discovered", lifecycle="expired"),
        f"{HEAD} discovered {WHO} was there when watching began, expired at 2026-03-30 12:00:00",
    ),
    (event("discovered", lifecycle="revoked"), f"{HEAD} discovered {WHO} was there when watching began, revoked"),
    (event("new"), f"{HEAD} new {WHO} first seen, valid for 29 d"),
    (
        event("new", replaces="d3b95700998e47afc4d95f88657960ab"),
        f"{HEAD} new {WHO} first seen, replaces d3b9570099…, valid for 29 d",
    ),
    (event("new", returned=True), f"{HEAD} new {WHO} returned, valid for 29 d"),
    (
        event("revoked", changes={"status": {"from": "ISSUE", "to": "REVOKE"}}),
        f"{HEAD} revoked {WHO} status ISSUE → REVOKE",
    ),
    (event("expiring", threshold="30d"), f"{HEAD} expiring {WHO} expires in 29 d (threshold 30d)"),
    (
        event("expiring", threshold="33%", baseline=True),
        f"{HEAD} expiring {WHO} expires in 29 d (threshold 33%, seen at the baseline)",
    ),
    (event("expired"), f"{HEAD} expired {WHO} expired at 2026-03-30 12:00:00"),
    (
        event(
            "changed",
            changes={
                "pem": {"from": "aa", "to": "bb"},
                "aliasName": {"from": "old", "to": "new"},
                "status": {"from": "REVOKE", "to": "ISSUE"},
                "sans": {"from": [{"type": "dns", "value": "a"}], "to": [{"type": "dns", "value": "b"}]},
            },
        ),
        f"{HEAD} changed {WHO} status REVOKE → ISSUE, aliasName old → new, pem replaced, sans [a] → [b]",
    ),
    (event("deleted", reason="gone"), f"{HEAD} deleted {WHO} gone: a look-up finds nothing"),
    (event("deleted", reason="moved"), f"{HEAD} deleted {WHO} moved out of the account's resource group"),
    (
        event("new", findings=[{"what": "names", "detail": "sans are not those of the content"}]),
        f"{HEAD} new {WHO} first seen, valid for 29 d ⚠ sans are not those of the content",
    ),
]


@pytest.mark.parametrize(("value", "text"), LINES, ids=[text[20:50] for _, text in LINES])
def test_a_line_says_what_happened(value: dict[str, Any], text: str) -> None:
    assert line(value) == text


ACCOUNT_LINES = [
    ("baselined", {"count": 7}, "first complete sweep done: 7 certificates are known"),
    ("digest", {"count": 7, "digest": "ab" * 32}, "digest of 7 certificates: ababab"),
    ("suspect", {"count": 9, "reason": "9 of 10 are missing"}, "deletions are held back: 9 of 10 are missing (9)"),
    ("paused", {"by": "ann", "why": "a migration"}, "by ann: a migration"),
    ("forgotten", {"count": 3}, "history ended with 3 certificates"),
]


@pytest.mark.parametrize(("kind", "data", "text"), ACCOUNT_LINES)
def test_account_events_have_lines_too(kind: str, data: dict[str, Any], text: str) -> None:
    value = {
        "type": f"certstream.account.{kind}.v1",
        "time": "2026-03-01T08:00:00.123Z",
        "data": {"account": "a", **data},
    }
    assert kind_of(value) == kind
    assert text in line(value)


@pytest.mark.parametrize("name", [f"certificate.{kind}" for kind in KINDS] + ["account.suspect", "account.digest"])
def test_the_schemas_own_examples_give_a_line(name: str) -> None:
    for example in schema(name).get("examples", []):
        text = line(example)
        assert name.partition(".")[2] in text
        assert "?" not in text


HOSTILE = [
    ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
    ("a\nb\r\tc", "a\\x0ab\\x0d\\x09c"),
    ("\x9b31mred", "\\x9b31mred"),
    ("\u202egpj.exe", "\\u202egpj.exe"),
    ("\u2066x\u2069", "\\u2066x\\u2069"),
    ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
    ("line\u2028para\u2029", "line\\u2028para\\u2029"),
    ("tag\U000e0041", "tag\\U000e0041"),
    ("lone\ud800", "lone\\ud800"),
    ("no\xa0break", "no\\xa0break"),
    ("[bold red]x[/] :smile: [link=http://x]y", "[bold red]x[/] :smile: [link=http://x]y"),
    ("imitated \\x1b", "imitated \\\\x1b"),
    ("müller 生产 例え", "müller 生产 例え"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_what_could_move_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_long_text_is_cut() -> None:
    assert safe("x" * 70_000) == "x" * 63 + "…"


def printed(value: dict[str, Any]) -> str:
    out = io.StringIO()
    Console(file=out, force_terminal=True, color_system=None, highlight=False, emoji=False, width=80).print(
        describe(value), soft_wrap=True
    )
    return out.getvalue()


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20))
def test_a_hostile_certificate_prints_as_one_harmless_line(name: str, alias: str, identifier: str) -> None:
    certificate = {**CERTIFICATE, "commonName": name, "identifier": identifier}
    value = event("changed", changes={alias: {"from": name, "to": alias}}, certificate=certificate)
    text = printed(value)
    assert text.endswith("\n")
    bad = {c for c in text[:-1] if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert not bad


def test_markup_is_not_interpreted() -> None:
    certificate = {**CERTIFICATE, "commonName": "[red]boo[/red] :bomb:"}
    assert "[red]boo[/red] :bomb:" in printed(event("new", certificate=certificate))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(kind=st.sampled_from([*KINDS, "suspect", "unheard-of"]), field=st.sampled_from(list(CERTIFICATE)), value=JSON)
def test_no_content_makes_it_fail(kind: str, field: str, value: Any) -> None:
    made = copy.deepcopy(event(kind, changes=value, findings=value, replaces=value, threshold=value, reason=value))
    made["data"]["certificate"][field] = value
    assert describe(made).plain
    assert describe({"data": value, "type": value, "time": value}).plain


def test_short_identifiers_are_not_cut() -> None:
    assert (short("abc"), short("x" * 40)) == ("abc", "x" * 10 + "…")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 d"), (-259200, "-3 d")]
)
def test_a_span_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text
