"""Thresholds, whatever the hosts' clocks say: never long before they pass, each once, nearer ones later."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import NamedTuple

from tests.simulation.loop import EPOCH
from tests.simulation.played import Played
from tests.verify.history import Case, Violation
from tests.verify.normal import seconds, threshold_seconds

TRUSTED = 301.0
"""Seconds by which a clock may be wrong and still be believed (design: Expiry)."""


class Told(NamedTuple):
    """An `expiring` or `expired`: which notAfter of which certificate, how many seconds before it, when (Unix)."""

    key: bytes
    not_after: float
    text: str | None
    point: float
    at: float
    where: str


def _told(case: Case) -> Iterator[Told]:
    for record in case.records:
        if record.topic not in ("certificate.expiring", "certificate.expired") or record.value is None:
            continue
        data = json.loads(record.value)["data"]
        shown, text = data["certificate"], data.get("threshold")
        after, before = seconds(shown.get("notAfter")), seconds(shown.get("notBefore"))
        if after is not None and before is not None and record.timestamp is not None:
            point = threshold_seconds(text, after - before) if text is not None else 0.0
            yield Told(record.key, after, text, point, record.timestamp / 1000, f"{record.topic}@{record.offset}")


def early(case: Case) -> Iterator[Violation]:
    """Whatever a host's clock says, no threshold is told more than the tolerance before it passes."""
    for told in _told(case):
        ahead = told.not_after - told.point - told.at
        if ahead > TRUSTED:
            yield Violation("early", told.where, f"told {ahead:.0f} s before it passes")


def in_order(case: Case) -> Iterator[Violation]:
    """Of one notAfter each threshold is told once, and none after a nearer one, restarts and clocks notwithstanding."""
    nearest: dict[tuple[bytes, float], float] = {}
    for told in sorted(_told(case), key=lambda one: one.at):
        before = nearest.get((told.key, told.not_after), math.inf)
        if told.point >= before:
            yield Violation("threshold order", told.where, f"{told.point:g} s before notAfter told after {before:g} s")
        nearest[told.key, told.not_after] = min(before, told.point)


def added(played: Played, case: Case) -> Iterator[Violation]:
    """A threshold that a later configuration brings tells only those that cross it later, or are known later."""
    plan = played.plan
    if len(plan.thresholds) == 1 or any(fault.kind in ("jump", "suspend") for fault in plan.faults):
        return
    # In force since the first run that has it; one that was taken away in between begins anew.
    runs = [
        (began, plan.thresholds[min(number, len(plan.thresholds) - 1)]) for number, (_, began) in enumerate(played.runs)
    ]
    known = _known(case)
    for told in _told(case):
        if told.text is None:
            continue
        with_it = [text for text in (texts for _, texts in runs) if told.text in text]
        since = next(began for began, texts in runs if told.text in texts)
        if len(with_it) == len(runs) or since == 0.0 or told.text in plan.thresholds[0]:
            continue
        crossing = told.not_after - told.point
        if max(crossing, known.get((told.key, told.not_after), 0.0)) < EPOCH + since - 1.0:
            yield Violation("threshold added", told.where, f"{told.text} had passed before it was configured")


def _known(case: Case) -> dict[tuple[bytes, float], float]:
    """When each notAfter of each certificate became known, Unix seconds: first, or when it returned."""
    known: dict[tuple[bytes, float], float] = {}
    for record in case.records:
        if record.topic == "events" and record.value is not None and record.timestamp is not None:
            shown = json.loads(record.value)["data"].get("certificate") or {}
            after = seconds(shown.get("notAfter"))
            if after is not None:
                told = record.key, after
                returned = json.loads(record.value)["data"].get("returned", False)
                known[told] = record.timestamp / 1000 if returned or told not in known else known[told]
    return known
