"""`python -m tests.simulation --seeds N --first K`: plays histories, prints what they came to."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

import msgspec

from tests.simulation.plan import draw
from tests.simulation.running import Outcome, play, play_many, shrink
from tests.simulation.shape import Plan
from tests.simulation.weather import encoded

TELL_EVERY = 10.0
SHOWN = 6


def main() -> int:
    """0 when nothing is wrong, 1 on any violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5000, help="how many histories")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play one seed twice, and print what it came to")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="find a smaller history that fails in the same way")
    words = parser.parse_args()
    if words.replay is not None:
        return _replay(draw(words.replay))
    if words.shrink is not None:
        return _replay(shrink(draw(words.shrink), _say))
    return _many(words.first, words.seeds, words.jobs)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _replay(plan: Plan) -> int:
    first, second = play(plan), play(plan)
    print(encoded(plan))
    _print(first)
    same = msgspec.structs.replace(first, cpu=0.0) == msgspec.structs.replace(second, cpu=0.0)
    print("played twice: " + ("the same" if same else "NOT the same"))
    return 0 if same and not first.violations else 1


def _print(outcome: Outcome) -> None:
    print(
        f"seed {outcome.seed}: {outcome.calls} calls, {outcome.events} events, {outcome.commits} commits,"
        f" {outcome.cpu:.2f} s; {' '.join(outcome.faults) or 'no faults'}"
    )
    for kind, where, what in outcome.violations[:SHOWN]:
        print(f"    {kind}: {where}: {what[:300]}")
    if len(outcome.violations) > SHOWN:
        print(f"    … and {len(outcome.violations) - SHOWN} more")
    sys.stdout.flush()


def _many(first: int, seeds: int, jobs: int) -> int:
    began = told = time.monotonic()
    failed: list[Outcome] = []
    faults: Counter[str] = Counter()
    calls: list[int] = []
    searches: Counter[str] = Counter()
    events = commits = searching = 0
    for done, outcome in enumerate(play_many(first, seeds, jobs), 1):
        calls.append(outcome.calls)
        events += outcome.events
        commits += outcome.commits
        searches.update(outcome.searches)
        searching += bool(outcome.searches)
        faults.update(set(outcome.faults) or {"none"})
        if outcome.violations:
            failed.append(outcome)
            _print(outcome)
        if time.monotonic() - told >= TELL_EVERY:
            told = time.monotonic()
            _say(f"{done:>6} of {seeds} histories, {len(failed)} failed, {told - began:.0f} s")
    seconds = time.monotonic() - began
    calls.sort()
    within = sum(200 <= count <= 2000 for count in calls)
    print(f"\n{len(calls):,} histories (seeds {first} to {first + seeds - 1}) in {seconds:.0f} s on {jobs} processes:")
    print(f"  {len(calls) * 600 / seconds:,.0f} in ten minutes")
    print(f"  calls     {sum(calls):>12,}   a history: {calls[0]} to {calls[-1]:,}, median {calls[len(calls) // 2]}")
    print(f"  of 200 to 2,000 calls {100 * within / len(calls):.1f} %")
    print(f"  events    {events:>12,}")
    print(f"  commits   {commits:>12,}")
    outcomes = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(searches.items()))
    print(f"  searches  {searches.total():>12,}   in {searching:,} histories: {outcomes or 'none'}")
    for kind, count in sorted(faults.items()):
        print(f"  histories with {kind:<18}{count:>8,}")
    kinds = Counter(kind for outcome in failed for kind in outcome.kinds())
    for kind, count in kinds.most_common():
        print(f"  ✗ {kind:<31}{count:>8,}")
    print(f"  {len(failed):,} failed" + (f": {sorted(one.seed for one in failed)[:50]}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
