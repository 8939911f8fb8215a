"""What was published against what was true. Nothing of certstream decides here."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.simulation.lies import Lies
from tests.simulation.loop import EPOCH
from tests.simulation.population import Population
from tests.sweeps.memory import Kept
from tests.verify.normal import Form, audible, form

FLIGHT = 8.0
"""Seconds from when a look-up is answered by the service until its deletion is committed, at most: the answer may take
five, and the controls after it."""


GRAVE = ("discovered", "new", "revoked", "deleted")
"""What no replica that lags may undo (design)."""


class Told(NamedTuple):
    """An event, `at` seconds from the beginning."""

    at: float
    kind: str
    subject: str
    data: dict[str, Any]


def events(kept: list[Kept]) -> list[Told]:
    """All events in order; kinds without their prefix and version."""
    found = []
    for at, put in kept:
        if put.topic == "events" and put.value is not None:
            event = json.loads(put.value)
            kind = event["type"].removeprefix("certstream.").removesuffix(".v1").removeprefix("certificate.")
            found.append(Told(at, kind, event["subject"], event["data"]))
    return found


class Truth:
    """What the server had of each certificate, when."""

    def __init__(self, population: Population) -> None:
        self._lives: dict[str, list[tuple[float, Mapping[str, Any] | None]]] = {}
        for change in population.changes:
            self._lives.setdefault(change.identifier, []).append((change.at - EPOCH, change.record))

    def during(self, identifier: str, start: float, end: float) -> list[Mapping[str, Any] | None]:
        """Every version that was in force at some moment of the interval, None for an absence."""
        life = self._lives.get(identifier, [])
        first = bisect_right(life, start, key=lambda one: one[0]) - 1
        before = [life[first][1]] if first >= 0 else [None]
        return before + [record for at, record in life if start < at <= end]

    def identifiers(self) -> set[str]:
        return set(self._lives)


def falsehoods(told: list[Told], truth: Truth, lies: Lies, *, lag: float) -> list[str]:
    """Deletions of what was there, and news of what was not, all the time since the grave event before and in which
    an answer can have said so. After an operator's word, only of what a look-up could have found: he speaks
    for what the service hides for so long."""
    found = []
    confirmed = False
    last: dict[str, float] = {}
    for one in told:
        confirmed |= one.kind == "account.released" and one.data["by"] != "certstream"
        start = max(one.at - FLIGHT - lag, last.get(one.subject, 0.0))
        if one.kind in GRAVE:
            last[one.subject] = one.at
        if one.kind not in ("deleted", "new"):
            continue
        there = [record is not None for record in truth.during(one.subject, start, one.at)]
        if one.kind == "deleted" and all(there) and not (confirmed and _hidden(lies, one.subject, start, one.at)):
            found.append(f"{one.subject} was told as deleted at {one.at:.3f}, and was there")
        if one.kind == "new" and not any(there):
            found.append(f"{one.subject} was told as new at {one.at:.3f}, and was not there")
    return found


def _hidden(lies: Lies, identifier: str, start: float, end: float) -> bool:
    return any(
        begin <= end and until >= start and (names is None or identifier in names) for begin, until, names in lies.told
    )


class Known:
    """The published inventory, as far as it was read."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self._read = 0

    def follow(self, kept: list[Kept], until: float = float("inf")) -> None:
        """Read on, up to what was committed at `until`."""
        while self._read < len(kept) and kept[self._read].at <= until:
            put = kept[self._read].put
            if put.topic == "inventory":
                identifier = put.key.decode().partition("/")[2]
                if put.value is None:
                    del self.rows[identifier]
                else:
                    self.rows[identifier] = json.loads(put.value)["certificate"]
            self._read += 1

    def is_one_of(self, identifier: str, versions: list[Mapping[str, Any] | None]) -> bool:
        """Whether what was published is one of these versions."""
        row = self.rows.get(identifier)
        if row is None:
            return None in versions
        known = Form(row, None)
        return any(not audible(known, form(one)) for one in versions if one is not None)


def differences(known: Known, truth: Truth, start: float, end: float) -> list[str]:
    """Certificates that are published as they were at no moment of the interval."""
    return sorted(
        one
        for one in truth.identifiers() | known.rows.keys()
        if not known.is_one_of(one, truth.during(one, start, end))
    )


def vouched_wrongly(kept: list[Kept], vouched: list[tuple[float, float]], truth: Truth, *, lag: float) -> list[str]:
    """`observedthrough` says that nothing older is unseen: what was published when it was said must be what was true at
    some moment since."""
    known, found = Known(), []
    for at, through in vouched:
        known.follow(kept, at)
        found += [
            f"{one} was otherwise since {through:.3f}, which was vouched for at {at:.3f}"
            for one in differences(known, truth, through - lag, at)
        ]
    return found
