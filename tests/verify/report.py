"""The verdict for a person."""

from __future__ import annotations

from collections import Counter
from typing import TextIO

from tests.verify.judge import KINDS, Report

SHOWN = 8
"""Violations of each kind that are printed in full."""


def print_report(report: Report, title: str, out: TextIO) -> None:
    """A table of what was judged, what was not demanded and why, and every kind of violation."""

    def line(text: str = "") -> None:
        print(text, file=out)

    line()
    line(f"── {title} " + "─" * max(3, 90 - len(title)))
    for name, count in sorted(report.counts.items()):
        line(f"  {name:<40}{count:>9,}")
    if report.delays:
        line(f"  {'seconds from a change to its event':<40}{quantiles(report.delays):>9}")
    line()
    line("  changes of the truth that were not demanded")
    for reason, count in sorted(report.passed_over.items()):
        line(f"    {reason:<38}{count:>9,}")
    if not report.passed_over:
        line(f"    {'none':<38}{0:>9}")
    line()
    kinds = Counter(violation.kind for violation in report.violations)
    for kind, meaning in KINDS.items():
        sign = "✗" if kinds[kind] else "✓"
        line(f"  {sign} {kind:<22}{kinds[kind]:>7,}  {meaning if kinds[kind] else ''}".rstrip())
    for kind in kinds:
        line()
        line(f"  {kind}: {KINDS[kind]}")
        of_kind = [violation for violation in report.violations if violation.kind == kind]
        for violation in of_kind[:SHOWN]:
            line(f"    {violation.where}: {violation.what}"[:1000])
        if len(of_kind) > SHOWN:
            line(f"    … and {len(of_kind) - SHOWN:,} more")
    line()
    line(f"  {title}: " + (f"{len(report.violations):,} VIOLATIONS" if report.violations else "no violation"))


def quantiles(delays: tuple[float, ...]) -> str:
    """Median, 99th percentile and maximum of sorted seconds."""

    def at(share: float) -> float:
        return delays[min(len(delays) - 1, int(share * len(delays)))]

    return f"p50 {at(0.5):.1f}  p99 {at(0.99):.1f}  max {delays[-1]:.1f}"
