"""What had to be told: versions and absences that stood unchanged through a minute in which the service ran."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.verify.history import COMMIT, STOOD, Case, Findings, Run
from tests.verify.lives import Life, Version, silent
from tests.verify.story import Story


@dataclass(frozen=True, slots=True)
class Demand:
    """A window in which a version stood for `STOOD` seconds of one run: told by `deadline`, or lost."""

    start: float
    deadline: float


def demand(version: Version, runs: tuple[Run, ...], end: float, earliest: float = 0.0) -> Demand | None:
    """The first window that makes a version (an absence: from `earliest` on) one that must be told."""
    for run in runs:
        start = max(version.change.at, run.start, earliest)
        if min(version.until, run.stop, end) - start >= STOOD:
            return Demand(start, start + STOOD + COMMIT)
    return None


def why_not(version: Version, case: Case, earliest: float = 0.0) -> str:
    """Why nothing was demanded, for the report."""
    at = version.change.at
    if version.until - at < STOOD:
        return "replaced within 60 s"
    if case.end - at < STOOD:
        return "too near the end"
    if min(version.until, case.end) - max(at, earliest) < STOOD:
        return "before the baseline ended"
    return "a restart within 60 s"


def check_demands(
    case: Case, lives: dict[str, Life], stories: dict[str, Story], baselined_at: float | None, findings: Findings
) -> Counter[str]:
    """Blame what was lost or late. Returns how many changes were not demanded, by reason."""
    passed_over: Counter[str] = Counter()
    earliest = case.end if baselined_at is None else baselined_at
    for identifier, life in lives.items():
        story = stories.get(identifier, Story())
        for place, version in enumerate(life.versions):
            if version.form is None:
                reason = _check_absence(case, identifier, version, story, earliest, findings)
            else:
                before = life.versions[place - 1] if place else None
                reason = _check_version(case, identifier, life, version, before, story, findings)
            if reason is None:
                findings.count("demanded changes")
            else:
                passed_over[f"{version.change.what}: {reason}"] += 1
    return passed_over


def _check_version(
    case: Case,
    identifier: str,
    life: Life,
    version: Version,
    before: Version | None,
    story: Story,
    findings: Findings,
) -> str | None:
    wanted = demand(version, case.runs, case.end)
    if wanted is None:
        return why_not(version, case)
    where = f"version {version.number} ({version.change.what}) of {identifier}"
    quiet = before is not None and silent(before, version)

    def told(start: float, deadline: float) -> bool:
        return any(
            state.form is not None
            and (
                state.form.certificate == version.form.certificate
                or version in life.known(state.version, by=deadline)
                or any(silent(held, version) for held in life.known(state.version, by=deadline))
            )
            for state in story.holding(start, deadline)
            if version.form is not None
        )

    if not told(wanted.start, wanted.deadline):
        if told(wanted.start, min(version.until, case.end) + COMMIT):
            findings.blame("late", where, f"stood from {wanted.start:.3f}, told more than {STOOD:.0f} s later")
        else:
            stood = min(version.until, case.end) - version.change.at
            findings.blame("lost version", where, f"stood for {stood:.1f} s and was not told")
    return "differs by nothing that is an event" if quiet else None


def _check_absence(
    case: Case, identifier: str, version: Version, story: Story, earliest: float, findings: Findings
) -> str | None:
    wanted = demand(version, case.runs, case.end, earliest)
    if wanted is None:
        return why_not(version, case, earliest)
    deadline = min(version.until, case.end) + COMMIT
    if not story.holding(wanted.start, deadline):
        return "it was never told as there"
    where = f"deletion of {identifier}"
    if not any(state.form is None for state in story.holding(wanted.start, wanted.deadline)):
        if any(state.form is None for state in story.holding(wanted.start, deadline)):
            findings.blame("late", where, f"gone since {wanted.start:.3f}, told more than {STOOD:.0f} s later")
        else:
            findings.blame("lost deletion", where, f"gone since {version.change.at:.3f} and not told")
    return None
