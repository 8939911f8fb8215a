"""What the judge is given: the truth, the answers, the records that were published, and when the service ran.

All instants are Unix seconds (float) of this host's clock, which simulator, service and driver share.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

STOOD = 60.0
"""A version or absence that stood this long, in one run of the service, must have been told (issue, seconds)."""
PASSED = 30.0
"""A threshold or `notAfter` that passed this long ago, in one run of the service, must have been told (seconds)."""
CLOCK = 1.0
"""How far a stated instant may be off (seconds): both sides read the same clock, not at the same moment."""
HELD = 300.0
"""Thresholds are held while the wall clock is off by more than this: none is told earlier (seconds)."""
COMMIT = 3.0
"""Between the decision and the record that a reader can see (seconds)."""

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the truth log. `record` is None for a deletion."""

    n: int
    at: float
    what: str
    identifier: str
    version: int
    record: JSON | None


@dataclass(frozen=True, slots=True)
class Call:
    """One entry of the answer log. `rows`: the versions shown; only where `delivered` did the caller get them all."""

    number: int
    arrival: float
    arrival_mono: float
    answered: float
    snapshot: float
    action: str
    identifier: str | None
    user: str
    status: int
    code: str | None
    delivered: bool
    rows: tuple[tuple[str, int], ...]


class Record(NamedTuple):
    """One committed record. `topic` is without prefix; `timestamp` in Unix milliseconds, None where unknown; `seen` is
    when a reader beside the service saw it, None where none was looking."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int | None = None
    seen: float | None = None


class Run(NamedTuple):
    """The service ran from `start` (process started) to `stop` (killed, or told to stop)."""

    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class Case:
    """Everything the judge looks at. `valid` names what is wrong with a value of a topic by the published schemas."""

    changes: tuple[Change, ...]
    calls: tuple[Call, ...]
    records: tuple[Record, ...]
    runs: tuple[Run, ...]
    end: float
    thresholds: tuple[str, ...]
    valid: Callable[[str, bytes], list[str]]
    account: str = "prod"
    user: str = "1000000000000001"
    partitions: int | None = None
    problems: tuple[str, ...] = ()
    """What the driver saw go wrong with the processes."""
    wrong: tuple[tuple[float, float], ...] = ()
    """From when until when the service's wall clock was wrong."""


class Violation(NamedTuple):
    """Something that must not be. `kind` is one of a small fixed set (see `judge.KINDS`)."""

    kind: str
    where: str
    what: str


@dataclass(slots=True)
class Findings:
    """Violations and counts, collected by every check."""

    violations: list[Violation] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def blame(self, kind: str, where: str, what: str) -> None:
        self.violations.append(Violation(kind, where, what))

    def count(self, what: str, more: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + more


def _lines(path: Path) -> Iterator[Any]:
    """Objects of a JSON-lines file. Only the very last line may be cut short (its writer was stopped)."""
    text = path.read_bytes()
    whole, _, cut = text.rpartition(b"\n")
    for line in whole.split(b"\n"):
        if line.strip():
            yield json.loads(line)
    if cut.strip():
        try:
            yield json.loads(cut)
        except ValueError:
            return


def load_truth(path: Path) -> tuple[Change, ...]:
    """Entries of the truth log that change a certificate, in order; begin, quiet and end are left out."""
    return tuple(
        Change(
            n=entry["n"],
            at=float(entry["at"]),
            what=entry["what"],
            identifier=entry["identifier"],
            version=entry["version"],
            record=entry["record"],
        )
        for entry in _lines(path)
        if "n" in entry
    )


def load_answers(path: Path) -> tuple[Call, ...]:
    """Entries of the answer log, in order."""
    return tuple(
        Call(
            number=entry["call"],
            arrival=float(entry["arrival"]),
            arrival_mono=float(entry["arrival_mono"]),
            answered=float(entry["answered"] or entry["arrival"]),
            snapshot=float(entry["snapshot"] or entry["arrival"]),
            action=entry["action"] or "",
            identifier=(entry["params"] or {}).get("Identifier") or None,
            user=str(entry["user"] or ""),
            status=int(entry["status"] or 0),
            code=entry["code"],
            delivered=bool(entry["delivered"]),
            rows=tuple((identifier, version) for identifier, version in entry["rows"] or ()),
        )
        for entry in _lines(path)
        if "call" in entry
    )
