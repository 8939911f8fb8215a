"""Many histories, on several cores; one again; one made smaller."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import get_context

import msgspec

from tests.simulation.checks import check
from tests.simulation.history import History
from tests.simulation.plan import draw
from tests.simulation.shape import Plan
from tests.verify.history import Violation


class Outcome(msgspec.Struct, frozen=True):
    """What one seed came to. `caught_up`: seconds of the tail until everything was told; `cpu` in seconds."""

    seed: int
    violations: list[Violation]
    calls: int
    events: int
    commits: int
    steps: int
    cpu: float
    faults: list[str]
    caught_up: float | None
    searches: dict[str, int] = {}

    def kinds(self) -> set[str]:
        return {violation.kind for violation in self.violations}


def play(plan: Plan) -> Outcome:
    """Play and judge one plan. Whatever it raises is a violation, too."""
    began = time.process_time()
    try:
        played = History(plan).play()
        violations = check(played)
    except Exception as error:
        where = traceback.format_exc(limit=-4)
        return Outcome(plan.seed, [Violation("crash", "simulation", f"{error!r}\n{where}")], 0, 0, 0, 0, 0.0, [], None)
    return Outcome(
        seed=plan.seed,
        violations=violations,
        calls=played.calls,
        events=played.events,
        commits=played.broker.commits,
        steps=played.steps,
        cpu=time.process_time() - began,
        faults=sorted(fault.kind for fault in plan.faults),
        caught_up=played.caught_up,
        searches=dict(played.searches),
    )


def _seed(seed: int) -> Outcome:
    outcome = play(draw(seed))
    gc.freeze()  # what a killed process held is never closed and stays; nobody looks at it again
    return outcome


def _quiet() -> None:
    """Collected between histories only: quicker, and nothing is finalised at a moment that depends on the machine."""
    gc.collect()
    gc.freeze()
    gc.disable()


def play_many(first: int, count: int, jobs: int) -> Iterator[Outcome]:
    """Histories of consecutive seeds, as they are done."""
    if jobs == 1:
        _quiet()
        yield from map(_seed, range(first, first + count))
        return
    # For what stays a worker's life is some forty histories.
    with get_context("fork").Pool(jobs, initializer=_quiet, maxtasksperchild=10) as pool:
        yield from pool.imap_unordered(_seed, range(first, first + count), chunksize=4)


def shrink(plan: Plan, tell: Callable[[str], None]) -> Plan:
    """The smallest plan found that still fails in one of the same ways."""
    kinds = play(plan).kinds()

    def fails(smaller: Plan) -> bool:
        return bool(play(smaller).kinds() & kinds)

    progress = bool(kinds)
    while progress:
        progress = False
        for name in ("faults", "deeds"):
            size = max(1, len(getattr(plan, name)) // 2)
            while size >= 1 and getattr(plan, name):
                at = 0
                while at < len(items := getattr(plan, name)):
                    smaller = msgspec.structs.replace(plan, **{name: items[:at] + items[at + size :]})
                    if fails(smaller):
                        plan, progress = smaller, True
                    else:
                        at += size
                size //= 2
        for changes in _simpler(plan):
            smaller = msgspec.structs.replace(plan, **changes)
            if smaller != plan and fails(smaller):
                plan, progress = smaller, True
        tell(f"{len(plan.faults)} faults, {len(plan.deeds)} changes, {plan.certificates} certificates")
    return plan


def _simpler(plan: Plan) -> Iterator[dict[str, object]]:
    for certificates in (0, 1, 3, plan.certificates // 2, plan.certificates - 1):
        if 0 <= certificates < plan.certificates:
            yield {"certificates": certificates}
    yield {"accounts": 1}
    yield {"sick": 0}
    yield {"whole": False}
    yield {"thresholds": plan.thresholds[-1:]}
    times = [fault.at for fault in plan.faults] + [deed.at for deed in plan.deeds]
    last = max(times, default=0.0)
    yield {"calm": min(plan.calm, last + 1)}
