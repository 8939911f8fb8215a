"""`python -m tests.verify`: runs the main job end to end, kills it, and judges what it published."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.verify.driver import load_case, observe
from tests.verify.judge import judge
from tests.verify.processes import Broken, Setup
from tests.verify.report import print_report
from tests.verify.sabotage import sabotage

SPEED = 140.0
"""Lifetimes of 30, 90 and 365 days last 5, 15 and 63 hours: of 20,000 certificates of even ages about 0.5 a second
pass any given point of their life, so 150 or so expire, and pass each threshold, in five minutes."""
THRESHOLDS = ("25%", "120s", "60s", "20s")
"""The widest also makes renewals replace something; the narrow ones pass for a few hundred, at times at once."""
QUIET = 75.0
DELETIONS = 0.3
"""Share of the simulator's changes that are deletions."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.verify", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the service runs")
    parser.add_argument("--certificates", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=1.0, help="changes a second")
    parser.add_argument("--faults", type=float, default=0.02, help="share of calls that go wrong")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds from arrival to answer")
    parser.add_argument("--seed", type=int, help="of changes, faults and kills; default: another one each time")
    parser.add_argument("--journal", choices=("kafka", "sqlite", "both"), default="both")
    parser.add_argument("--kills", type=int, default=2, help="how often it is killed with -9 and started again")
    parser.add_argument("--order", choices=("newest", "oldest", "identifier", "shuffled"), default="newest")
    parser.add_argument("--speed", type=float, default=SPEED, help="lifetimes are divided by it")
    parser.add_argument("--thresholds", default=",".join(THRESHOLDS))
    parser.add_argument("--keep", action="store_true", help="keep the directory of a run that passed, too")
    parser.add_argument("--judge-only", type=Path, metavar="DIR", help="judge a kept directory again, run nothing")
    parser.add_argument(
        "--sabotage", type=Path, metavar="DIR", help="break a kept directory in many ways: is it found?"
    )
    return parser.parse_args()


def _run(words: argparse.Namespace, journal: str, seed: int) -> bool:
    """One run and its verdict: True when nothing is wrong."""
    setup = Setup(
        journal=journal,
        duration=words.minutes * 60,
        certificates=words.certificates,
        rate=words.rate,
        faults=words.faults,
        seed=seed,
        order=words.order,
        kills=words.kills,
        speed=words.speed,
        latency=words.latency,
        thresholds=tuple(words.thresholds.split(",")),
        quiet=QUIET,
    )
    directory = Path(tempfile.mkdtemp(prefix=f"certstream-verify-{journal}-"))
    passed = False
    try:
        observe(directory, setup)
        report = judge(load_case(directory))
        print_report(report, f"{journal}, seed {seed}", sys.stdout)
        passed = not report.violations
    except Broken as error:
        print(error, file=sys.stderr)
    finally:
        if passed and not words.keep:
            shutil.rmtree(directory)
        else:
            print(f"kept: {directory}   (again: python -m tests.verify --judge-only {directory})", flush=True)
    return passed


def main() -> int:
    """0 when nothing is wrong, 1 on any violation, 2 on words that make no sense."""
    words = _arguments()
    if words.judge_only is not None:
        report = judge(load_case(words.judge_only))
        print_report(report, str(words.judge_only), sys.stdout)
        return 1 if report.violations else 0
    if words.sabotage is not None:
        return 1 if sabotage(load_case(words.sabotage), sys.stdout) else 0
    if words.minutes * 60 <= QUIET + 10:
        print(f"--minutes: more than {(QUIET + 10) / 60:.2f}, as changes and kills end {QUIET:.0f} s before the end")
        return 2
    if words.rate * DELETIONS * (words.minutes * 60 - QUIET) > 0.08 * words.certificates:
        print("more than 10 % of so few certificates would be deleted: the service rightly holds that for a mistake")
        return 2
    seed = random.SystemRandom().randrange(10**6) if words.seed is None else words.seed
    journals = ("kafka", "sqlite") if words.journal == "both" else (words.journal,)
    verdicts = [_run(words, journal, seed) for journal in journals]
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
