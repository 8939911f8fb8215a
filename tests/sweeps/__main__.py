"""`python -m tests.sweeps --seeds N --first K`: seeded sweeps of a hostile list, and a table by what was odd.

With `--into FILE` in parts: what was played before is in the file, is not played again, and counts in the table.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from contextlib import nullcontext
from pathlib import Path

import msgspec

from tests.sweeps.playing import Outcome, play_many

SHOWN = 3


def main() -> int:
    """0 when nothing is wrong, 1 on any violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.sweeps", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--into", type=Path, metavar="FILE", help="outcomes, a line each: read, and added to")
    words = parser.parse_args()
    began = time.monotonic()
    outcomes = _played(words.into) if words.into is not None else []
    known = {one.seed for one in outcomes}
    seeds = [seed for seed in range(words.first, words.first + words.seeds) if seed not in known]
    with words.into.open("ab", buffering=0) if words.into is not None else nullcontext() as file:
        for outcome in play_many(seeds, words.jobs):
            outcomes.append(outcome)
            if file is not None:
                file.write(msgspec.json.encode(outcome) + b"\n")
            if outcome.wrong:
                print(f"seed {outcome.seed}: {outcome.wrong[:SHOWN]}", flush=True)
    _table(outcomes)
    print(f"{len(seeds):,} seeds, {time.monotonic() - began:.0f} s")
    wrong = sum(bool(one.wrong) for one in outcomes)
    print(f"{wrong} of {len(outcomes):,} wrong")
    return 1 if wrong else 0


def _played(file: Path) -> list[Outcome]:
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [msgspec.json.decode(line, type=Outcome) for line in lines]


def _table(outcomes: list[Outcome]) -> None:
    of_kind: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        for kind in [*one.kinds, *(["(order and counts right)"] if one.steady else []), "all"]:
            of_kind[kind].append(one)
    print(f"{'what is odd':<26}{'seeds':>7}{'sweeps':>9}{'deletions':>11}{'false':>7}{'missed':>8}{'unseen':>8}")
    for kind, ones in sorted(of_kind.items()):
        print(
            f"{kind:<26}{len(ones):>7,}{sum(one.sweeps for one in ones):>9,}{sum(one.deletions for one in ones):>11,}"
            f"{sum(len(one.false) for one in ones):>7}{sum(bool(one.missed) for one in ones):>8}"
            f"{sum(bool(one.unseen) for one in ones):>8}"
        )
    after = Counter(one.after for one in outcomes)
    told = ", ".join(
        f"{sweeps}: {count:,}" for sweeps, count in sorted(after.items(), key=lambda one: (one[0] is None, one[0] or 0))
    )
    print(f"complete sweeps after the list was quiet until everything was told: {told}")


if __name__ == "__main__":
    sys.exit(main())
