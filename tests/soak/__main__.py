"""`python -m tests.soak`: runs the service for long, with faults, and says whether what it holds stays level."""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.real.ports import free_port
from tests.soak.chart import WIDTH, print_chart
from tests.soak.flat import QUANTITIES, Point, Quantity, Verdict, judge, thinned
from tests.soak.sampling import Sample, load, watch
from tests.verify import judge as published
from tests.verify.__main__ import DELETIONS, SPEED, THRESHOLDS
from tests.verify.driver import load_case, observe
from tests.verify.processes import REPOSITORY, Broken, Setup
from tests.verify.report import print_report, quantiles

DELETED = 0.06
"""Share of the certificates that may be deleted in all: the service rightly takes a tenth in a day for a mistake."""
SHORTEST = 1.0
"""Minutes."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the service runs")
    parser.add_argument("--journal", choices=("kafka", "sqlite"), default="kafka")
    parser.add_argument("--seed", type=int, help="of changes and faults; default: another one each time")
    parser.add_argument("--certificates", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1.0, help="changes a second; fewer where too many would go")
    parser.add_argument("--faults", type=float, default=0.02, help="share of calls that go wrong")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds from arrival to answer")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two samples")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the directory of a run that passed, too")
    return parser.parse_args()


def _setup(words: argparse.Namespace, seed: int) -> Setup:
    seconds = words.minutes * 60
    return Setup(
        journal=words.journal,
        duration=seconds,
        certificates=words.certificates,
        rate=min(words.rate, DELETED * words.certificates / (DELETIONS * seconds)),
        faults=words.faults,
        seed=seed,
        order="newest",
        kills=0,
        speed=SPEED,
        latency=words.latency,
        thresholds=THRESHOLDS,
        quiet=0.0,
        listen=f"127.0.0.1:{free_port()}",
    )


def series(samples: Sequence[Sample], quantity: Quantity) -> list[Point]:
    """The points at which it was known."""
    found = ((sample.at, getattr(sample, quantity.name)) for sample in samples)
    return [(at, value) for at, value in found if value is not None]


def _verdicts(samples: Sequence[Sample], setup: Setup, every: float) -> list[Verdict]:
    expected = int(setup.duration / every)
    return [judge(one, series(samples, one), expected=expected, until=setup.duration) for one in QUANTITIES]


def _commit() -> str:
    words = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "an unknown commit"


def _as_json(verdicts: Sequence[Verdict], report: published.Report, setup: Setup, commit: str) -> dict[str, Any]:
    return {
        "commit": commit,
        "seed": setup.seed,
        "journal": setup.journal,
        "minutes": setup.duration / 60,
        "rate": setup.rate,
        "quantities": {
            one.quantity.name: {
                "unit": one.quantity.unit,
                "min": _known(one.low),
                "median": _known(one.median),
                "max": _known(one.high),
                "slopeperhour": _known(one.slope),
                "rise": _known(one.rise),
                "allowed": _known(one.allowed),
                "flat": one.flat,
                "problem": one.problem,
                "course": thinned(one.points, WIDTH) if one.points else [],
            }
            for one in verdicts
        },
        "violations": [f"{one.kind}: {one.where}: {one.what}" for one in report.violations],
        "counts": report.counts,
        "passed": _passed(verdicts, report),
    }


def _known(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def _passed(verdicts: Sequence[Verdict], report: published.Report) -> bool:
    return all(one.flat for one in verdicts) and not report.violations


def _show(verdicts: Sequence[Verdict], report: published.Report, setup: Setup, commit: str) -> None:
    title = f"soak, {setup.journal}, {setup.duration / 60:g} minutes, seed {setup.seed}, {commit}"
    if report.violations:
        print_report(report, title, sys.stdout)
    print_chart(verdicts, title, sys.stdout)
    counts, delays = report.counts, quantiles(report.delays) if report.delays else "none"
    print(
        f"  {setup.certificates:,} certificates, {setup.rate:.2f} changes a second, {setup.faults:.0%} of calls wrong"
    )
    print(
        f"  {counts.get('calls', 0):,} calls, {counts.get('events', 0):,} events; seconds from a change to it: {delays}"
    )
    wrong = f"{len(report.violations):,} VIOLATIONS" if report.violations else "no violation"
    print(f"  what was published: {wrong} of any of {len(published.KINDS)} kinds")
    print("  flat" if all(one.flat for one in verdicts) else "  NOT FLAT", flush=True)


def _run(words: argparse.Namespace, seed: int) -> bool:
    setup, commit = _setup(words, seed), _commit()
    directory = Path(tempfile.mkdtemp(prefix="certstream-soak-"))
    passed = False
    try:
        observe(directory, setup, partial(watch, every=words.every))
        verdicts = _verdicts(load(directory), setup, words.every)
        report = published.judge(load_case(directory))
        passed = _passed(verdicts, report)
        if words.json:
            print(json.dumps(_as_json(verdicts, report, setup, commit), indent=1), flush=True)
        else:
            _show(verdicts, report, setup, commit)
    except Broken as error:
        print(error, file=sys.stderr)
    finally:
        if passed and not words.keep:
            shutil.rmtree(directory)
        else:
            print(f"kept: {directory}", file=sys.stderr, flush=True)
    return passed


def main() -> int:
    """0 when all is flat and nothing published is wrong, 1 when not, 2 on words that make no sense."""
    words = _arguments()
    if words.minutes < SHORTEST or not 0 < words.every <= words.minutes * 60 / 30:
        print(f"--minutes: at least {SHORTEST:g}; --every: at most a thirtieth of it", file=sys.stderr)
        return 2
    seed = random.SystemRandom().randrange(10**6) if words.seed is None else words.seed
    return 0 if _run(words, seed) else 1


if __name__ == "__main__":
    sys.exit(main())
