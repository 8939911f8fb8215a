"""One verdict over one run: pure, from a `Case` to a `Report`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.verify.clock import check_clock
from tests.verify.copies import check_inventory, check_kind_topics, check_sides
from tests.verify.demands import check_demands
from tests.verify.history import Case, Findings, Violation
from tests.verify.lives import lives
from tests.verify.log import read_log
from tests.verify.pace import check_pace
from tests.verify.replaces import check_replaces
from tests.verify.story import read_stories
from tests.verify.wire import Event

KINDS = {
    "lost version": "a version stood for 60 s of one run and was not told",
    "lost deletion": "an absence stood for 60 s of one run and was not told",
    "missed threshold": "a threshold had passed for 30 s of one run and was not told",
    "missed expired": "notAfter had passed for 30 s of one run and was not told",
    "late": "told, but later than that",
    "duplicate": "one entry of the truth log told twice",
    "never shown": "told, but no answer had shown it",
    "untold": "an event of the clock, or a deletion, shows a certificate that no event had told",
    "invented": "told, but it never was so",
    "false deletion": "told as deleted, but it was there",
    "false threshold": "a threshold or expiry that the contract forbids",
    "told early": "a threshold or expiry told over five minutes before it passed: a wrong clock was believed",
    "wrong kind": "the wrong kind of event for the step",
    "changes": "`changes` is not the difference of the two versions",
    "observed": "the change did not happen in `observed`",
    "lifecycle": "`lifecycle` is wrong",
    "replaces": "`replaces` is wrong",
    "pem": "a PEM that is missing, wrong, or has no business there",
    "baseline": "not exactly one `baselined`",
    "sequence": "a gap or a repeat in the sequence",
    "lineage": "more than one history",
    "prevhash": "the account's chain is broken",
    "certprevhash": "a certificate's chain is broken",
    "not canonical": "bytes that are not RFC 8785",
    "envelope": "an attribute, header or key that the contract fixes otherwise",
    "invalid event": "not valid by the published schema",
    "invalid record": "a row, health or quarantine record not valid by the published schema",
    "unexpected event": "an event that nothing in this run calls for",
    "partition": "a record outside the account's partition",
    "copy differs": "a kind topic's record is not the event, byte for byte",
    "copy missing": "an event that is not in its kind's topic",
    "copy extra": "a record in a kind's topic that is not in the log",
    "copy order": "a kind's topic in another order than the log",
    "inventory": "the inventory is not the fold of the events",
    "digest": "a digest or count does not rebuild",
    "health": "the account was suspect, denied, throttled or paused",
    "eleven in a second": "more than ten arrivals in some second",
    "throttle": "a throttle answer",
    "process": "the service or the simulator did not start, run or stop as it should",
}

BY_CLOCK = frozenset(
    {
        "observed",
        "late",
        "lost version",
        "lost deletion",
        "false threshold",
        "missed threshold",
        "missed expired",
        "lifecycle",
        "wrong kind",
        "replaces",
    }
)
"""Kinds that mean nothing where a host's clock was wrong."""


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict. `passed_over`: changes of the truth that were not demanded, by what and why."""

    violations: tuple[Violation, ...]
    counts: dict[str, int]
    passed_over: Counter[str]
    delays: tuple[float, ...]

    def kinds(self) -> set[str]:
        return {violation.kind for violation in self.violations}


def judge(case: Case) -> Report:
    """Everything that is wrong with what was published."""
    findings = Findings()
    for problem in case.problems:
        findings.blame("process", "driver", problem)
    events = read_log(case, findings)
    baselined = _baselined(case, events, findings)
    truth = lives(case.changes, case.calls)
    stories = read_stories(events, truth, baselined.sequence if baselined else None, findings)
    passed_over = check_demands(case, truth, stories, baselined.told if baselined else None, findings)
    check_clock(case, stories, findings)
    check_replaces(case, events, findings)
    check_kind_topics(case, events, findings)
    check_inventory(case, events, findings)
    check_sides(case, findings)
    check_pace(case, findings)
    findings.count("changes in the truth log", len(case.changes))
    unknown = {violation.kind for violation in findings.violations} - KINDS.keys()
    assert not unknown, f"kinds without a description: {unknown}"
    delays = sorted(delay for story in stories.values() for delay in story.delays)
    return Report(tuple(findings.violations), findings.counts, passed_over, tuple(delays))


def _baselined(case: Case, events: list[Event], findings: Findings) -> Event | None:
    """The event that ends the baseline: exactly one in a lineage."""
    found = [event for event in events if (event.family, event.kind) == ("account", "baselined")]
    if len(found) != 1:
        findings.blame("baseline", case.account, f"{len(found)} events `baselined`")
    return found[0] if found else None
