"""What a round came to: the verdict of `tests.verify`, and how long it went without progress."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.chaos.driver import Ended, Happened
from tests.chaos.plan import CLOCK
from tests.schemas.validate import problems, problems_of
from tests.verify.history import Case, Record, Run, Violation, load_answers, load_truth
from tests.verify.judge import judge
from tests.verify.readers import load
from tests.verify.wire import Event, take_apart

LOST = frozenset(
    {"lost version", "lost deletion", "missed threshold", "missed expired", "late", "copy missing", "inventory", "pem"}
)
TWICE = frozenset({"duplicate", "copy extra", "baseline", "lineage"})
DISORDER = frozenset({"sequence", "prevhash", "certprevhash", "copy order", "copy differs", "partition"})

BY_CLOCK = frozenset({"observed", "false threshold", "lifecycle", "wrong kind", "replaces"})
"""What an event says wrongly of the time, and is not held against it where the clock may have been wrong when it was
made: before the calm in which everything is demanded."""


MEANWHILE = ("seconds", "calls answered", "refused", "events", "thresholds")
"""What is told of the time in which the clock was wrong: the last are among the events."""


@dataclass
class Verdict:
    """JSON-friendly. Times in seconds."""

    leg: str
    seed: str
    commit: str
    seconds: float
    events: int
    calls: int
    most: int
    """arrivals in the fullest second"""
    longest: float
    """without a committed event, while changes went on"""
    times: dict[str, int]
    """by kind of fault"""
    recovered: dict[str, list[float]]
    """by kind of fault: from its end to the next committed event, where nothing else failed in between"""
    ends: dict[str, int]
    """exit codes of processes that ended by themselves"""
    violations: list[tuple[str, str, str]] = field(default_factory=list)
    meanwhile: dict[str, dict[str, int]] = field(default_factory=dict)
    """by kind of wrong clock and name in `MEANWHILE`"""
    impossible: list[str] = field(default_factory=list)
    """kinds of faults that the machine did not allow"""

    def count(self, kinds: frozenset[str]) -> int:
        """Violations of these kinds."""
        return sum(kind in kinds for kind, _, _ in self.violations)


def verdict(directory: Path, leg: str, seed: str, commit: str) -> Verdict:
    """Judge what `driver.play` left."""
    ended = json.loads((directory / "ended.json").read_text())
    ended = Ended(**{**ended, "happened": [Happened(*one) for one in ended["happened"]]})
    records = tuple(load(directory / "records.db"))
    case = Case(
        changes=load_truth(directory / "truth.jsonl"),
        calls=load_answers(directory / "answers.jsonl"),
        records=records,
        runs=(Run(ended.settled, ended.end),),
        end=ended.end,
        thresholds=("25%", "120s", "60s", "20s"),
        valid=lambda topic, value: problems(value) if topic == "events" else problems_of(topic, value),
        partitions=ended.partitions,
        problems=tuple(ended.problems),
        wrong=tuple((one.begun, one.over) for one in ended.happened if one.kind in CLOCK),
    )
    report = judge(case)
    calm = _made_after(ended.settled, records)
    violations = [one for one in report.violations if not _excused(one, leg, calm)]
    commits = _commits(records)
    return Verdict(
        leg=leg,
        seed=seed,
        commit=commit,
        seconds=ended.end - case.calls[0].arrival if case.calls else 0.0,
        events=report.counts.get("events", len(commits)),
        calls=report.counts.get("calls", 0),
        most=_most(case),
        longest=_longest(commits, ended.settled),
        times=dict(Counter(one.kind for one in ended.happened)),
        recovered=_recovered(commits, ended),
        ends=ended.ends,
        violations=[(one.kind, one.where, one.what) for one in violations],
        meanwhile=_meanwhile(case, ended),
        impossible=ended.impossible,
    )


def _excused(one: Violation, leg: str, calm: frozenset[str]) -> bool:
    """`paused` is what an account says whose journal was away; what an event says by a wrong clock is wrong. `calm`:
    the events that were made when everything was right again."""
    if leg == "clock" and one.kind in BY_CLOCK:
        return one.where not in calm
    return one.kind == "health" and '"state":"paused"' in one.what


def _events(records: Iterable[Record]) -> Iterator[Event]:
    """Those that can be read; the judge blames the others."""
    for record in records:
        if record.topic == "events":
            with suppress(ValueError):
                yield take_apart(record)


def _made_after(instant: float, records: Iterable[Record]) -> frozenset[str]:
    return frozenset(event.where for event in _events(records) if event.told >= instant)


def _meanwhile(case: Case, ended: Ended) -> dict[str, dict[str, int]]:
    """Shows that the service went on with its work, or why it could not."""
    found: dict[str, dict[str, int]] = {}
    events = list(_events(case.records))
    for kind, begun, over in ended.happened:
        if kind not in CLOCK:
            continue
        statuses = [call.status for call in case.calls if begun <= call.arrival < over]
        told = [event.kind for event in events if begun <= event.told < over]
        thresholds = sum(one in ("expiring", "expired") for one in told)
        refused = sum(status in (400, 403) for status in statuses)
        counts = (round(over - begun), statuses.count(200), refused, len(told), thresholds)
        sums = found.setdefault(kind, dict.fromkeys(MEANWHILE, 0))
        for name, count in zip(MEANWHILE, counts, strict=True):
            sums[name] += count
    return found


def _commits(records: tuple[Record, ...]) -> list[float]:
    """When a reader saw events, Unix seconds."""
    return sorted(one.seen for one in records if one.topic == "events" and one.seen is not None)


def _most(case: Case) -> int:
    arrivals = sorted(call.arrival_mono for call in case.calls if call.action != "GetCallerIdentity")
    return max((bisect_right(arrivals, arrivals[at] + 0.999999) - at for at in range(len(arrivals))), default=0)


def _longest(commits: list[float], until: float) -> float:
    during = [one for one in commits if one <= until]
    return max((later - earlier for earlier, later in pairwise(during)), default=0.0)


def _recovered(commits: list[float], ended: Ended) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    begins = sorted(one.begun for one in ended.happened)
    for kind, _, over in ended.happened:
        at = bisect_right(commits, over)
        back = commits[at] if at < len(commits) else ended.end
        if bisect_right(begins, back) == bisect_right(begins, over):
            found[kind].append(round(back - over, 3))
    return dict(found)
