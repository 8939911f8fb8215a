"""The simulated `ListRevokeCertificate`: true, in one order or another, or garbage."""

from __future__ import annotations

from random import Random
from zlib import crc32

from tests.simulation.population import Listing, Shown

KINDS = ("allowed", "mixed", "unsteady", "denied", "garbage")
"""In the order of the other list; in an order of its own; in another one at every call; refused; and whatever."""


def page(listing: Listing, kind: str, number: int, size: int, dice: Random) -> tuple[list[Shown], int | None]:
    """A page of it and a `TotalCount`."""
    rows = [row for _, row in listing if b'"Status":"REVOKE"' in row.record]
    if kind == "garbage" and dice.random() < 0.5:
        return _garbage([row for _, row in listing], dice)
    if kind == "unsteady":
        dice.shuffle(rows)
    elif kind != "allowed":
        rows.sort(key=lambda row: crc32(row.identifier.encode()))
    return rows[(number - 1) * size : number * size], len(rows)


def _garbage(rows: list[Shown], dice: Random) -> tuple[list[Shown], int | None]:
    """Certificates that are not revoked, records that are none, and a count that says nothing."""
    shown = dice.sample(rows, min(len(rows), dice.randrange(6)))
    shown += dice.sample(
        [
            Shown("foreign", None, b'{"Identifier":"foreign%d"}' % dice.randrange(1000)),
            Shown("none", None, b'{"SerialNumber":"1f"}'),
            Shown("text", None, b'"x"'),
            Shown("odd", None, b'{"Identifier":7}'),
        ],
        dice.randrange(4),
    )
    return shown, dice.choice((None, 0, len(rows), dice.randrange(50), 10**9, 10**18))
