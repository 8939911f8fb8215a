"""What was published against what was true: every certificate event must be one step of its certificate's truth.

May: versions that an answer delivered in full showed, absences that an empty look-up showed. Never: anything else,
or one entry of the truth log twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

from tests.verify.history import CLOCK, Findings
from tests.verify.lives import Life, Version
from tests.verify.normal import Form, audible, seconds
from tests.verify.wire import Event

FIRST_SIGHTS = ("discovered", "new")


@dataclass(frozen=True, slots=True)
class Told:
    """The published state of one certificate from `since` on: a form, or None for absent."""

    since: float
    form: Form | None
    version: int


@dataclass(slots=True)
class Story:
    """One certificate as it was published: its events in order, and the states that they made."""

    events: list[Event] = field(default_factory=list)
    states: list[Told] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    """Seconds from a change until it was told, for changes that the service can have seen happen."""

    def holding(self, start: float, deadline: float) -> list[Told]:
        """States that were in force at some instant of the interval."""
        ends = [*(state.since for state in self.states[1:]), math.inf]
        return [state for state, end in zip(self.states, ends, strict=False) if state.since <= deadline and end > start]


def read_stories(
    events: list[Event], lives: dict[str, Life], baselined: int | None, findings: Findings
) -> dict[str, Story]:
    """Judge each certificate's events; `baselined` is the sequence of the event that ended the baseline."""
    stories: dict[str, Story] = {}
    for event in events:
        if event.family == "certificate":
            stories.setdefault(event.subject, Story()).events.append(event)
    for identifier, story in stories.items():
        life = lives.get(identifier)
        if life is None:
            for event in story.events:
                findings.blame("invented", event.where, "no such certificate ever was")
            continue
        _Reader(life, story, baselined, findings).read()
    return stories


class _Reader:
    """Follows one certificate's events: `number` is the truth entry last told, `present` what it left behind."""

    def __init__(self, life: Life, story: Story, baselined: int | None, findings: Findings) -> None:
        self.life, self.story, self.baselined, self.findings = life, story, baselined, findings
        self.number = 0
        self.present = False
        self.deleted_before = False

    def blame(self, kind: str, event: Event, what: str) -> None:
        self.findings.blame(kind, event.where, what)

    def read(self) -> None:
        for event, following in pairwise([*self.story.events, None]):
            assert event is not None
            before = self.number, self.present
            if event.kind in FIRST_SIGHTS:
                self._first_sight(event, following)
            elif event.kind == "deleted":
                self._deleted(event)
            elif event.kind == "revoked" and self._seen_revoked(event):
                if event.data.get("changes") != {"status": {"to": "REVOKE"}}:
                    self.blame("changes", event, "it was seen revoked at once: `changes` is the status, without `from`")
            elif event.kind in ("revoked", "changed"):
                self._changed(event)
            else:
                self._clock_decided(event)
            if (self.number, self.present) != before or not self.story.states:
                shown = event.certificate if self.present else None
                if shown is not None and shown.pem is None:
                    shown = Form(shown.certificate, self._pem(self.number))
                since = max([event.told, *(state.since for state in self.story.states[-1:])])
                self.story.states.append(Told(since, shown, self.number))

    def _pem(self, number: int) -> str | None:
        return next((v.form.pem for v in self.life.versions if v.number == number and v.form), None)

    def _first_sight(self, event: Event, following: Event | None) -> None:
        if self.present:
            self.blame("duplicate", event, "told as a first sight although it had been told and was not deleted")
            return
        if event.kind == "discovered" and self.baselined is not None and event.sequence > self.baselined:
            self.blame("wrong kind", event, "discovered after the baseline had ended")
        if event.kind == "new" and bool(event.data.get("returned")) != self.deleted_before:
            self.blame("wrong kind", event, f"returned is {event.data.get('returned')!r}")
        version = self._match(event, [v for v in self.life.after(self.number) if v.form])
        if version is None:
            self.present = True
            return
        assert version.form
        if event.certificate.pem != version.form.pem:
            self.blame("pem", event, "does not carry the PEM of that version")
        self._observed(event, version, first=True)
        if event.kind == "new" and version.form.revoked and (following is None or following.kind != "revoked"):
            self.blame("lost version", event, "seen already revoked, but no `revoked` follows")
        self._advance(event, version)

    def _seen_revoked(self, event: Event) -> bool:
        """`new`, then `revoked` of the same observation (contract: seen already revoked)."""
        place = self.story.events.index(event)
        before = self.story.events[place - 1] if place else None
        return (
            before is not None
            and before.kind == "new"
            and before.certificate.revoked
            and before.certificate.certificate == event.certificate.certificate
        )

    def _changed(self, event: Event) -> None:
        if not self.present:
            self.blame("wrong kind", event, "it was not there")
        held = self.life.known(self.number, event.told)
        version = self._match(event, [v for v in self.life.after(self.number) if v.form], held)
        if version is None:
            return
        assert version.form
        steps = [(one.form, audible(one.form, version.form)) for one in held if one.form]
        right = [before for before, changes in steps if changes and changes == event.data.get("changes")]
        if not right:
            expected = steps[0][1] if steps else None
            self.blame("changes", event, f"says {event.data.get('changes')!r}, but it was {expected!r}")
        elif (event.kind == "revoked") != (version.form.revoked and not right[0].revoked):
            self.blame("wrong kind", event, f"status {right[0].certificate.get('status')} → {version.form}")
        if event.certificate.pem is not None and event.certificate.pem != version.form.pem:
            self.blame("pem", event, "does not carry the PEM of that version")
        wanted = event.kind == "changed" and "pem" in event.data.get("changes", {})
        if (event.certificate.pem is not None) != wanted:
            self.blame("pem", event, "`changed` carries a PEM if, and only if, it is the PEM that changed")
        self._observed(event, version)
        self._advance(event, version)

    def _deleted(self, event: Event) -> None:
        gone = [v for v in self.life.after(self.number) if v.form is None and v.change.at <= event.told + CLOCK]
        shown = [v for v in gone if self.life.shown_gone(v, event.told)]
        if not self.present:
            self.blame("duplicate", event, "it had been told as deleted, or never as there")
        elif not gone:
            self.blame("false deletion", event, "the certificate was there")
        elif not shown:
            self.blame("never shown", event, "no empty look-up had shown that it was gone")
        elif event.data.get("reason") != "gone":
            self.blame("wrong kind", event, f"reason is {event.data.get('reason')!r}, not 'gone'")
        else:
            self._holds(event)
        if shown:
            self._observed(event, shown[0])
            self._advance(event, shown[0])
        self.present = False
        self.deleted_before = True

    def _clock_decided(self, event: Event) -> None:
        if not self.present:
            self.blame("wrong kind", event, "it was not there")
            return
        if "observed" in event.data:
            self.blame("observed", event, "the clock decided, nothing was observed")
        self.number = self._holds(event)

    def _holds(self, event: Event) -> int:
        """An event that shows the last certificate must show what was told, or what changed silently since:
        returns which version that is."""
        held = self.life.known(self.number, event.told)
        same = [v for v in held if v.form and v.form.certificate == event.certificate.certificate]
        if event.certificate.pem is not None:
            self.blame("pem", event, "carries a PEM")
        if not same:
            self.blame("untold", event, f"shows another certificate than version {self.number}, which was told")
        return same[0].number if same else self.number

    def _match(self, event: Event, later: list[Version], held: list[Version] | None = None) -> Version | None:
        """The truth entry that the event tells: the first later one that it equals and that was shown by then."""
        certificate = event.certificate.certificate
        equal = [v for v in later if v.form and v.form.certificate == certificate]
        shown = [v for v in equal if v.was_shown(event.told)]
        if held:
            steps = [v for v in shown if v.form and any(h.form and audible(h.form, v.form) for h in held)]
            shown = steps or shown
        if shown:
            return shown[0]
        if equal:
            self.blame("never shown", event, f"no answer had shown version {equal[0].number} by then")
            return equal[0]
        if any(v.form and v.form.certificate == certificate for v in self.life.versions):
            self.blame("duplicate", event, "tells an entry of the truth log that had been told")
        else:
            self.blame("invented", event, "shows a certificate that never was so")
        return None

    def _observed(self, event: Event, version: Version, first: bool = False) -> None:
        observed = event.data.get("observed") or {}
        after, before = seconds(observed.get("after")), seconds(observed.get("before"))
        at = version.change.at
        if before is None or (after is None and not first):
            self.blame("observed", event, f"observed is {observed!r}")
        elif at > before + CLOCK or (after is not None and after - CLOCK > at) or before > event.told + CLOCK:
            self.blame("observed", event, f"version {version.number} came at {at:.3f}, not within {observed!r}")

    def _advance(self, event: Event, version: Version) -> None:
        self.number = version.number
        self.present = version.form is not None
        if version.change.what != "initial":
            self.story.delays.append(event.told - version.change.at)
        self.findings.count(f"told: {event.kind}")
