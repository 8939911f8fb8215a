"""The verdict on a history: the independent judge of `tests.verify`, and what only a simulation can know."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.schemas.validate import problems, problems_of
from tests.simulation.behaviour import asked_again, owned, paced, progress, refused, released
from tests.simulation.clockwork import added, early, in_order
from tests.simulation.history import NAMES, PARTITIONS, WHOLE
from tests.simulation.loop import EPOCH
from tests.simulation.played import PREFIX, Played
from tests.simulation.scenarios import WORD, WRONG
from tests.simulation.shape import Plan
from tests.verify.history import STOOD, Case, Run, Violation
from tests.verify.judge import BY_CLOCK, Report, judge

SUSPECT = frozenset({"health", "unexpected event"})

VANISHED = frozenset({"false deletion", "never shown", "duplicate", "wrong kind", "untold"})
"""Kinds that follow from a service that says of a few certificates, in every way, that they are gone."""


def check(played: Played) -> list[Violation]:
    """Everything that is wrong."""
    found: list[Violation] = []
    delays: list[float] = []
    for name in played.upstream.populations:
        account, of_account = _check_account(played, name)
        found += account if name == NAMES[0] else [one._replace(where=f"{name}: {one.where}") for one in account]
        delays += of_account
    found += _caught_up(played)
    found += owned(played)
    found += paced(played)
    found += released(played)
    found += refused(played)
    found += asked_again(played)
    found += progress(played, max(delays, default=0.0))
    return found


def _check_account(played: Played, name: str) -> tuple[list[Violation], tuple[float, ...]]:
    """What is wrong with one account, and after how many seconds each change was told."""
    plan = played.plan
    case = _case(played, name)
    report = judge(case)
    ignored = _ignored(plan, first=name == NAMES[0])
    if "hide.many" in {fault.kind for fault in plan.faults} and not _masses(report, _there(played, name)):
        ignored |= VANISHED
    if _ends_suspect(played, name):
        ignored |= {"lost version", "lost deletion", "missed threshold", "missed expired", "late"}
    found = [one for one in report.violations if one.kind not in ignored]
    found += early(case)
    found += in_order(case)
    found += added(played, case)
    return found, report.delays


def _ignored(plan: Plan, *, first: bool) -> set[str]:
    """Kinds of the judge that mean nothing in this history. `first`: about the first account, which is the largest."""
    kinds = {fault.kind for fault in plan.faults}
    certificates = plan.certificates if first else plan.certificates // 5
    ignored: set[str] = set()
    if "jump" in kinds:
        ignored |= BY_CLOCK
    if len(plan.thresholds) > 1:
        ignored |= {"missed threshold", "false threshold", "late"}  # `in_order` and `added` look instead
        ignored.add("replaces")  # the judge takes the widest of all configurations
    if WORD in kinds:
        ignored |= SUSPECT
    if kinds & set(WRONG):
        ignored |= SUSPECT | {"observed"}
    if "unsteady" in kinds or any(kind.startswith("list.") for kind in kinds):
        ignored |= SUSPECT  # what the pages miss by chance counts before any look-up
    deleted = sum(deed.what == "delete" for deed in plan.deeds)
    if "api.stale" in kinds and (certificates < 8 or deleted > 5):
        ignored |= SUSPECT  # what a list of a moment ago lacks adds up with what was deleted; or it is empty
    if "api.stale" in kinds:
        ignored.add("observed")  # `after` is when a replica was asked, not how far it was behind
    if certificates < 4:
        ignored |= SUSPECT  # all of a few can be replaced between two answers: then nothing known is shown
    if min(plan.page_size, plan.largest) <= 2:
        ignored |= SUSPECT  # pages this small miss rows of a list that moves; missed ones count before any look-up
    if "api.denied" in kinds:
        ignored.add("health")
        ignored |= SUSPECT if deleted > 5 else set()  # they come all at once afterwards
    if not first:
        ignored.add("partition")  # `paced` looks: it is that of the budget
    return ignored


def _ends_suspect(played: Played, name: str) -> bool:
    """A list of a few certificates that were all replaced at once is not believed until an operator says so."""
    denied = any(fault.kind == "api.denied" for fault in played.plan.faults)  # and meanwhile many were deleted
    size = played.plan.certificates if name == NAMES[0] else played.plan.certificates // 5
    last = [one.value for one in played.broker.records(PREFIX) if one.topic == "accounts" and one.key == name.encode()]
    return (size < 4 or denied) and bool(last) and json.loads(last[-1] or b"{}").get("state") == "suspect"


def _there(played: Played, name: str) -> int:
    """How many certificates the account had when its service began to hide them, and those that were issued until it
    ended."""
    there = 0
    hidden = [fault for fault in played.plan.faults if fault.kind == "hide.many"]
    for change in played.upstream.populations[name].changes:
        at = change.at - EPOCH
        if change.what in ("initial", "issue", "renew"):
            there += any(at <= fault.at + fault.length for fault in hidden)
        elif change.what == "delete":
            there -= any(at <= fault.at for fault in hidden)
    return there


def _masses(report: Report, certificates: int) -> bool:
    """Whether so many were taken for deleted that it should have been suspect."""
    false = sum(one.kind == "false deletion" for one in report.violations)
    return false > 10 or (certificates >= 4 and false * 2 >= certificates)


def _case(played: Played, name: str) -> Case:
    plan = played.plan
    long = played.end - played.settled >= STOOD + 4
    runs = (Run(played.settled, played.end),) if long else ()
    first = name == NAMES[0]
    prefix = f"{name}/".encode()
    return Case(
        changes=tuple(played.upstream.populations[name].changes),
        calls=tuple(sorted(played.upstream.calls.get(name, ()), key=lambda call: call.answered)),
        records=tuple(
            record
            for record in played.broker.records(PREFIX)
            if record.key == name.encode() or record.key.startswith(prefix)
        ),
        runs=runs,
        end=min(played.end, played.settled + WHOLE),
        thresholds=tuple(dict.fromkeys(text for texts in plan.thresholds for text in texts)),
        valid=lambda topic, value: problems(value) if topic == "events" else problems_of(topic, value),
        account=name,
        partitions=PARTITIONS if first else None,
        problems=tuple(played.problems) if first else (),
    )


def _caught_up(played: Played) -> Iterator[Violation]:
    """In the end the inventory is the truth."""
    if played.wrong and not any(_ends_suspect(played, name) for name in played.upstream.populations):
        for wrong in played.wrong[:5]:
            yield Violation("not caught up", "inventory", wrong)
