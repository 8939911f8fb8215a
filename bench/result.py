"""What a benchmark found, for people and as JSON; and its progress while it runs."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """What a value is held against: at least, or at most, `limit`."""

    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Value:
    """One line of a report; a name that begins with two spaces belongs to the line above it. `runs` are what the value
    is the median of; `peer` is the contender's, measured beside."""

    name: str
    value: float
    unit: str = ""
    peer: float | None = None
    peer_name: str = ""
    target: Target | None = None
    runs: Sequence[float] = ()
    digits: int = 2

    @property
    def missed(self) -> bool:
        return self.target is not None and not self.target.met(self.value)

    @property
    def ratio(self) -> float | None:
        """To the peer; None where a ratio says nothing: one of both is not above zero."""
        return self.value / self.peer if self.peer is not None and min(self.value, self.peer) > 0 else None

    def line(self) -> str:
        parts = [f"  {self.name:<34}{self.value:>9.{self.digits}f} {self.unit:<4}"]
        if self.peer is not None:
            ratio = "" if self.ratio is None else f", ratio {self.ratio:.3f}"
            parts.append(f" {self.peer_name} {self.peer:.{self.digits}f}{ratio}")
        if self.target is not None:
            parts.append(f" target {self.target} {'✓' if not self.missed else '✗ MISSED'}")
        if len(self.runs) > 1:
            parts.append(f" runs {min(self.runs):.{self.digits}f}–{max(self.runs):.{self.digits}f}")
        return " ".join(parts).rstrip()

    def plain(self) -> Mapping[str, object]:
        target = None if self.target is None else {"target": str(self.target), "met": not self.missed}
        found = {
            "value": self.value,
            "unit": self.unit,
            "peer": self.peer,
            "ratio": self.ratio,
            "runs": list(self.runs),
        }
        return {name: one for name, one in (found | (target or {})).items() if one not in (None, "", [])}


@dataclass(frozen=True, slots=True)
class Report:
    """One benchmark's values, and how they were had."""

    name: str
    how: str
    values: Sequence[Value] = field(default_factory=list)

    def text(self) -> str:
        return "\n".join([f"{self.name}: {self.how}", *(value.line() for value in self.values)])

    def plain(self) -> Mapping[str, object]:
        return {"how": self.how, "values": {value.name: value.plain() for value in self.values}}

    @property
    def missed(self) -> list[str]:
        """Of every missed target the whole name: the case, its peer, and what of it."""
        found, case = [], ""
        for value in self.values:
            if not value.name.startswith("  "):
                case = f"{value.name}, {value.peer_name}" if value.peer_name else value.name
            if value.missed:
                own = f", {value.name.strip()}" if value.name.startswith("  ") else ""
                found.append(f"{self.name}: {case}{own}")
        return found


def machine() -> str:
    """Where the numbers come from: cores, load, system, Python."""
    python = f"{platform.system()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {python}"


def progress(text: str) -> None:
    """Say on stderr how far it is: in place on a terminal, else a line each."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def progress_over() -> None:
    """Take the last progress away before the result is printed."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def concluded(reports: Sequence[Report], *, as_json: bool, strict: bool) -> int:
    """Print what is said after all benchmarks; the exit code."""
    if as_json:
        print(json.dumps({"machine": machine(), **{report.name: report.plain() for report in reports}}, indent=2))
    else:
        print(f"on {machine()}")
    missed = [name for report in reports for name in report.missed]
    if missed:
        print("missed: " + "; ".join(missed), file=sys.stderr)
    return int(bool(missed) and strict)
