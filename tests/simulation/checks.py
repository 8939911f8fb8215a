"""The verdict on a history: the independent judge of `tests.verify`, and what only a simulation can know."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.schemas.validate import problems, problems_of
from tests.simulation.history import GRACE, PREFIX, WHOLE, Played
from tests.simulation.loop import EPOCH
from tests.simulation.plan import WRONG
from tests.verify.history import Case, Run, Violation
from tests.verify.judge import Report, judge
from tests.verify.normal import seconds, threshold_seconds

PARTS = 4
TRUSTED = 301.0
"""Seconds by which a clock may be wrong and still be believed (design: Expiry)."""
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
SUSPECT = frozenset({"health", "unexpected event"})

VANISHED = frozenset({"false deletion", "never shown", "duplicate", "wrong kind", "untold"})
"""Kinds that follow from a service that says of a few certificates, in every way, that they are gone."""


def check(played: Played) -> list[Violation]:
    """Everything that is wrong."""
    plan = played.plan
    kinds = {fault.kind for fault in plan.faults}
    case = _case(played)
    report = judge(case)
    ignored: set[str] = set()
    if "jump" in kinds:
        ignored |= BY_CLOCK
    if len(plan.thresholds) > 1:
        ignored |= {"missed threshold", "false threshold", "late"}
    if kinds & set(WRONG):
        ignored |= SUSPECT | {"observed"}
    if "api.stale" in kinds and plan.certificates < 8:
        ignored |= SUSPECT  # the list as it was a moment ago may be empty
    if "api.stale" in kinds:
        ignored.add("observed")  # `after` is when a replica was asked, not how far it was behind
    if plan.certificates < 4:
        ignored |= SUSPECT  # all of a few can be replaced between two answers: then nothing known is shown
    if min(plan.page_size, plan.largest) <= 2:
        ignored |= SUSPECT  # pages this small miss rows of a list that moves; missed ones count before any look-up
    if "api.denied" in kinds:
        ignored.add("health")
    if "hide.many" in kinds and not _masses(report, plan.certificates):
        ignored |= VANISHED
    found = [one for one in report.violations if one.kind not in ignored]
    if not (plan.certificates < 4 and _ends_suspect(case)):
        found += _caught_up(played)
    found += _early(played, case)
    found += _progress(played, report)
    return found


def _ends_suspect(case: Case) -> bool:
    """A list of a few certificates that were all replaced at once is not believed until an operator says so."""
    told = [record.value for record in case.records if record.topic == "accounts" and record.value is not None]
    return bool(told) and json.loads(told[-1])["state"] == "suspect"


def _masses(report: Report, certificates: int) -> bool:
    """Whether so many were taken for deleted that it should have been suspect."""
    false = sum(one.kind == "false deletion" for one in report.violations)
    return false > 10 or (certificates >= 4 and false * 2 >= certificates)


def _case(played: Played) -> Case:
    plan = played.plan
    settled = played.calm + GRACE
    runs = (Run(settled, played.end),) if plan.whole and played.end > settled else ()
    return Case(
        changes=tuple(played.upstream.population.changes),
        calls=tuple(sorted(played.upstream.calls, key=lambda call: call.answered)),
        records=tuple(played.broker.records(PREFIX)),
        runs=runs,
        end=min(played.end, settled + WHOLE),
        thresholds=tuple(dict.fromkeys(text for texts in plan.thresholds for text in texts)),
        valid=lambda topic, value: problems(value) if topic == "events" else problems_of(topic, value),
        partitions=PARTS,
        problems=tuple(played.problems),
    )


def _caught_up(played: Played) -> Iterator[Violation]:
    """In the end the inventory is the truth."""
    for wrong in played.wrong[:5]:
        yield Violation("not caught up", "inventory", wrong)


def _early(played: Played, case: Case) -> Iterator[Violation]:
    """Whatever a host's clock says, no threshold is told more than the tolerance before it passes."""
    for record in case.records:
        if record.topic not in ("certificate.expiring", "certificate.expired") or record.value is None:
            continue
        data = json.loads(record.value)["data"]
        shown = data["certificate"]
        after, before = seconds(shown.get("notAfter")), seconds(shown.get("notBefore"))
        if after is None or before is None or record.timestamp is None:
            continue
        point = threshold_seconds(data["threshold"], after - before) if "threshold" in data else 0.0
        early = after - point - record.timestamp / 1000
        if early > TRUSTED:
            yield Violation("early", f"{record.topic}@{record.offset}", f"told {early:.0f} s before it passes")


def _progress(played: Played, report: Report) -> Iterator[Violation]:
    """Where nothing goes wrong, calls are made as fast as the bound allows, and changes are told within two sweeps."""
    plan = played.plan
    trip = 1.001 + plan.latency
    gap = trip / plan.qps
    rows = max(plan.certificates, len(played.upstream.population.present)) + plan.sick
    size = min(plan.page_size, plan.largest)
    pages = max(1, -(-(rows + 10) // size))
    quick = plan.latency + 4 * plan.broker_latency < gap
    if plan.whole and plan.sweep_every == 0 and quick:
        start = played.calm - EPOCH + GRACE
        made = sum(start <= call.arrival_mono < start + 60 for call in played.upstream.calls)
        if made < 0.9 * 60 / gap and played.end - EPOCH > start + 60:
            yield Violation("slow", "calls", f"{made} in a quiet minute, {60 / gap:.0f} are allowed")
    if not plan.faults and report.delays:
        sweep = pages * 1.1 * gap + 3 * plan.latency + plan.sweep_every
        bound = 3 * sweep + 2 * plan.staleness + 4
        if report.delays[-1] > bound:
            yield Violation(
                "slow",
                "events",
                f"one was told after {report.delays[-1]:.1f} s, {bound:.1f} allow two sweeps and a spoilt one",
            )
