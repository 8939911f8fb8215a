"""`replaces` of a new certificate: the one older certificate that it takes over from, where that is certain."""

from __future__ import annotations

import math
from typing import Any

from tests.verify.history import CLOCK, Case, Findings
from tests.verify.normal import Form, threshold_seconds
from tests.verify.wire import Event

SAME = ("certificateType", "parentIdentifier", "subjectDN")


def _names(shown: Form) -> set[tuple[str, str]]:
    return {(san["type"], san["value"]) for san in shown.certificate.get("sans", [])}


def _candidate(case: Case, new: Form, old: Form, at: float, slack: float) -> bool:
    """Whether `old` is one that `new` may replace at that time. `slack` (seconds) widens the widest threshold, or,
    below zero, narrows it and leaves out what is expired or not surely older."""
    if any(old.certificate.get(name) != new.certificate.get(name) for name in SAME) or old.revoked:
        return False
    if not _names(old) <= _names(new) or old.not_after is None or new.not_after is None:
        return False
    if old.not_after >= new.not_after or (old.not_before or 0.0) > (new.not_before or 0.0):
        return False
    lifetime = math.inf if old.not_before is None else old.not_after - old.not_before
    widest = max(
        (one for text in case.thresholds if (one := threshold_seconds(text, lifetime)) < lifetime), default=-math.inf
    )
    if slack < 0 and (old.not_after <= at - slack or old.not_before == new.not_before):
        return False
    return at >= old.not_after - widest - slack


def check_replaces(case: Case, events: list[Event], findings: Findings) -> None:
    """Told: it was a candidate. Not told: there was not exactly one, however the rule is read."""
    present: dict[str, Form] = {}
    by_subject: dict[Any, set[str]] = {}
    for event in events:
        if event.family != "certificate":
            continue
        if event.kind == "deleted":
            present.pop(event.subject, None)
            continue
        new = event.certificate
        if event.kind == "new":
            others = by_subject.get(new.certificate.get("subjectDN"), set()) - {event.subject}
            olds = {one: present[one] for one in others if one in present}
            possible = {one for one, old in olds.items() if _candidate(case, new, old, event.time, CLOCK)}
            certain = {one for one, old in olds.items() if _candidate(case, new, old, event.time, -CLOCK)}
            told = event.data.get("replaces")
            if told is not None and told not in possible:
                findings.blame("replaces", event.where, f"{told!r} is not one that it can replace ({sorted(possible)})")
            elif told is not None and len(certain - {told}) > 0:
                findings.blame("replaces", event.where, f"{told!r} is told, but {sorted(certain)} are possible")
            elif told is None and len(certain) == 1 and certain == possible:
                findings.blame("replaces", event.where, f"{sorted(certain)} is not told")
            elif told is not None:
                findings.count("told: replaces")
        present[event.subject] = new
        by_subject.setdefault(new.certificate.get("subjectDN"), set()).add(event.subject)
