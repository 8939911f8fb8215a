"""The table of the present: which rows, in which order, and safe to print."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from certstream.cli.inventory import selected, table
from certstream.core.times import parse_rfc3339, threshold

NOW = parse_rfc3339("2026-03-01T00:00:00.000Z")


def row(
    identifier: str, not_after: str, *, account: str = "prod", lifecycle: str = "valid", **more: Any
) -> dict[str, Any]:
    certificate = {
        "identifier": identifier,
        "commonName": f"{identifier}.example.com",
        "notBefore": "2026-01-01T00:00:00.000Z",
        "notAfter": f"{not_after}T00:00:00.000Z",
    }
    return {"account": account, "identifier": identifier, "certificate": certificate, "lifecycle": lifecycle, **more}


ROWS = [
    row("far", "2027-01-01"),
    row("near", "2026-03-20"),
    row("past", "2026-02-20", lifecycle="expired"),
    row("revoked", "2026-03-10", lifecycle="revoked"),
    row("other", "2026-03-15", account="test"),
    {"account": "prod", "identifier": "odd", "certificate": {}, "lifecycle": "valid"},
]


def names(*, expiring: str = "", account: str = "") -> list[str]:
    wanted = threshold(expiring) if expiring else None
    return [one["identifier"] for one in selected(ROWS, now=NOW, expiring=wanted, account=account)]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, ["odd", "past", "revoked", "other", "near", "far"]),
        ({"account": "test"}, ["other"]),
        ({"expiring": "30d"}, ["other", "near"]),
        ({"expiring": "15d"}, ["other"]),
        ({"expiring": "900d"}, ["other", "near", "far"]),
        ({"expiring": "20%"}, ["other"]),
        ({"expiring": "30d", "account": "prod"}, ["near"]),
        ({"account": "nobody"}, []),
    ],
)
def test_rows_are_chosen_and_the_first_to_expire_comes_first(options: dict[str, str], found: list[str]) -> None:
    assert names(**options) == found


def printed(rows: list[dict[str, Any]], width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, emoji=False).print(table(rows, now=NOW))
    return out.getvalue()


def test_the_table_tells_what_is_left_and_what_was_told() -> None:
    text = printed([row("near", "2026-03-20", threshold="30d")])
    for part in ("near.example.com", "valid", "2026-03-20 00:00", "19 d", "30d"):
        assert part in text


def test_a_row_is_one_line_also_on_a_narrow_terminal() -> None:
    assert len(printed(ROWS, width=80).rstrip().splitlines()) == len(ROWS) + 1


def test_hostile_names_are_escaped() -> None:
    hostile = row("x", "2026-03-20")
    hostile["certificate"]["commonName"] = "\x1b[2J[red]\u202e"
    text = printed([hostile])
    assert "\\x1b[2J[red]\\u202e" in text
