"""Thresholds and expiry: what passed must be told once, nearest first, and nothing that did not pass.

The judge follows what was *published* (`notAfter`, revoked, deleted), because the clock can decide on nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tests.verify.history import CLOCK, COMMIT, HELD, PASSED, Case, Findings
from tests.verify.normal import Form, threshold_seconds
from tests.verify.story import FIRST_SIGHTS, Story
from tests.verify.wire import Event

EXPIRED = 0.0
"""`expired` counts as the threshold of zero seconds."""


@dataclass(slots=True)
class Span:
    """A certificate known, not revoked, with one `notAfter`, from `start` until `end`, opened by that event."""

    opened: Event
    start: float
    not_after: float
    points: list[float]
    end: float = math.inf


@dataclass(slots=True)
class _Clock:
    case: Case
    findings: Findings
    told: dict[float, list[tuple[float, float]]] = field(default_factory=dict)
    """`notAfter` → (seconds before it, when told), in order."""
    spans: list[Span] = field(default_factory=list)
    first: Event | None = None

    def points(self, shown: Form) -> list[float]:
        """Thresholds that can fire for this certificate, farthest first; the last is expiry itself."""
        not_after, not_before = shown.not_after, shown.not_before
        if not_after is None:
            return []
        lifetime = math.inf if not_before is None else not_after - not_before
        able = {threshold_seconds(text, lifetime) for text in self.case.thresholds}
        return [*sorted((point for point in able if point < lifetime), reverse=True), EXPIRED]

    def follow(self, event: Event) -> None:
        """Spans open and close with what is published."""
        shown = event.certificate
        alive = event.kind != "deleted" and not shown.revoked and shown.not_after is not None
        last = self.spans[-1] if self.spans and self.spans[-1].end == math.inf else None
        if last and (not alive or shown.not_after != last.not_after):
            last.end = event.told
            last = None
        if alive and last is None:
            assert shown.not_after is not None
            self.spans.append(Span(event, event.told, shown.not_after, self.points(shown)))
        if event.kind in FIRST_SIGHTS:
            self.first = event

    def tell(self, event: Event) -> None:
        """An `expiring` or `expired` that was published."""
        shown = event.certificate
        not_after = shown.not_after
        blame = self.findings.blame
        if not_after is None or shown.revoked:
            blame("false threshold", event.where, "the certificate is revoked, or has no notAfter")
            return
        points = self.points(shown)
        point = EXPIRED
        if event.kind == "expiring":
            text = event.data.get("threshold")
            lifetime = math.inf if shown.not_before is None else not_after - shown.not_before
            if text not in self.case.thresholds:
                blame("false threshold", event.where, f"{text!r} is not configured")
                return
            point = threshold_seconds(text, lifetime)
            if point not in points:
                blame("false threshold", event.where, f"{text} is not shorter than the lifetime of {lifetime:.0f} s")
                return
            self._check_baseline(event, not_after - point)
        if event.time < not_after - point - CLOCK:
            blame("false threshold", event.where, f"told {not_after - point - event.time:.1f} s too early")
        if event.record.seen is not None and event.told < not_after - point - HELD - CLOCK:
            blame("told early", event.where, f"{not_after - point - event.told:.0f} s before it passed")
        nearer = [one for one in points if one < point and not_after - one < event.time - CLOCK]
        if nearer:
            blame("false threshold", event.where, f"not the nearest that had passed: {nearer[-1]:.0f} s had too")
        told = self.told.setdefault(not_after, [])
        if any(before == point for before, _ in told):
            blame("duplicate", event.where, "told before for this notAfter")
        elif any(before < point for before, _ in told):
            blame("false threshold", event.where, "a nearer one had been told before")
        if event.kind == "expired" and self._found_expired(not_after):
            blame("false threshold", event.where, "it was discovered expired: never `expired`")
        told.append((point, event.told))

    def _check_baseline(self, event: Event, crossing: float) -> None:
        """`baseline: true` on what had passed when the certificate was discovered, on nothing else."""
        first = self.first
        baseline = event.data.get("baseline", False)
        passed = first is not None and first.kind == "discovered" and crossing <= first.time
        if baseline != passed and (first is None or abs(crossing - first.time) > CLOCK or first.kind != "discovered"):
            self.findings.blame("false threshold", event.where, f"baseline is {baseline!r}")

    def _found_expired(self, not_after: float) -> bool:
        first = self.first
        return first is not None and first.kind == "discovered" and not_after < first.time - CLOCK

    def demand(self, identifier: str) -> None:
        for span in self.spans:
            crossings = [span.not_after - point for point in span.points]
            passed = [place for place, crossing in enumerate(crossings) if crossing <= span.start]
            opened = span.opened
            over = opened.data.get("lifecycle") == "expired" or len(passed) == len(crossings)
            if over and opened.kind != "new":
                continue
            # At first sight the nearest that has passed is told, later on only what passes then.
            wanted = range(max(0, len(passed) - (opened.kind in FIRST_SIGHTS)), len(crossings))
            for place in wanted:
                nearer = crossings[place + 1] if place + 1 < len(crossings) else math.inf
                self._demand(identifier, span, span.points[place], nearer)

    def _demand(self, identifier: str, span: Span, point: float, nearer: float) -> None:
        """One threshold that passed: told itself, or, where a nearer one passed within the delay, or had by a wrong
        clock, that one."""
        crossing = span.not_after - point
        for run in self.case.runs:
            start = max(crossing, span.start, run.start)
            deadline = start + PASSED
            if deadline > min(run.stop, self.case.end, span.end):
                continue
            self.findings.count("demanded expiries" if point == EXPIRED else "demanded thresholds")
            told = self.told.get(span.not_after, [])
            enough = [
                when
                for one, when in told
                if one == point or (one < point and (nearer <= deadline or self._by_wrong_clock(when)))
            ]
            kind = "missed expired" if point == EXPIRED else "missed threshold"
            where = f"{point:.0f} s before notAfter of {identifier}"
            if not enough:
                self.findings.blame(kind, where, f"passed at {crossing:.3f} and was not told")
            elif min(enough) > deadline + COMMIT:
                self.findings.blame("late", where, f"told {min(enough) - start:.1f} s after it could be")
            return

    def _by_wrong_clock(self, when: float) -> bool:
        return any(begun <= when <= over + COMMIT for begun, over in self.case.wrong)


def check_clock(case: Case, stories: dict[str, Story], findings: Findings) -> None:
    """Judge every certificate's thresholds."""
    for identifier, story in stories.items():
        clock = _Clock(case, findings)
        for event in story.events:
            clock.follow(event)
            if event.kind in ("expiring", "expired"):
                clock.tell(event)
                findings.count(f"told: {event.kind}")
            _check_lifecycle(event, clock, findings)
        clock.demand(identifier)


def _check_lifecycle(event: Event, clock: _Clock, findings: Findings) -> None:
    """`revoked` by status; `expired` only once `notAfter` has passed, and surely in `expired` and at first sight."""
    shown, said = event.certificate, event.data.get("lifecycle")
    if shown.revoked:
        right = said == "revoked"
    elif said not in ("valid", "expired") or event.kind == "expired":
        right = said == "expired"
    elif shown.not_after is None:
        right = said == "valid"
    elif said == "expired":
        right = event.time >= shown.not_after - CLOCK
    else:
        told = any(point == EXPIRED for point, _ in clock.told.get(shown.not_after, []))
        strict = told or event.kind in FIRST_SIGHTS
        right = not strict or event.time <= shown.not_after + CLOCK
    if not right:
        findings.blame("lifecycle", event.where, f"lifecycle is {said!r}, status {shown.certificate.get('status')!r}")
