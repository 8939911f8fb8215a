"""`python -m tests.simulation.mutants [NAME …]`: applies each patch to a copy of the tree and plays seeds on it, or
runs the tests of the search (`--in search`)."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TREES = ("certstream", "tests", "schemas")
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".cache", "*.jar")

HUNTS = {
    "histories": """
import json, sys
from tests.simulation.running import play_many
first, count, jobs = map(int, sys.argv[1:])
for one in play_many(first, count, jobs):
    print(json.dumps([one.seed, sorted(one.kinds())]), flush=True)
""",
    "sweeps": """
import json, sys
from tests.sweeps.playing import play_many
first, count, jobs = map(int, sys.argv[1:])
for one in play_many(range(first, first + count), jobs):
    kinds = {"false": one.false, "missed": one.missed, "unseen": one.unseen}
    print(json.dumps([one.seed, [kind for kind, found in kinds.items() if found]]), flush=True)
""",
    "search": """
import json, pytest
class Told:
    def __init__(self):
        self.number = 0
    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            self.number += 1
            name = report.nodeid.rpartition("::")[2]
            print(json.dumps([self.number, [name] if report.failed else []]), flush=True)
tests = ["tests/core/test_search.py", "tests/sweeps/test_searching.py"]
pytest.main(["-p", "no:terminal", "-p", "no:cacheprovider", *tests], plugins=[Told()])
""",
}
"""Of `make simulate`, of `make sweeps`, and the tests of the search, run once each: the seed is a test's number."""
OF_SWEEPS = (
    "deleted-without-control",
    "deleted-without-look-up",
    "foreign-list-believed",
    "mass-deletion-let-through",
    "one-control-only",
    "replica-believed",
)
"""Played in sweeps where no others are named, beside those that only sweeps find."""
RARE = {"blind-control-passed-over": 2640}
"""The first seed that is played of one that is found in few."""


def main() -> int:
    """0 when every mutant is found, 1 when one is not, or does not apply."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument("--seeds", type=int, default=60, help="histories of each")
    parser.add_argument("--most", type=int, default=1000, help="histories of one that is not found sooner")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--in", dest="hunt", choices=HUNTS, default="histories", help="what is played")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    words = parser.parse_args()
    names = words.names
    own = sorted(HERE.glob(f"{words.hunt}/*.patch"))
    patches = own if words.hunt == "search" else own + sorted(HERE.glob("*.patch"))
    if words.hunt == "sweeps":
        names = names or [*OF_SWEEPS, *(patch.stem for patch in own)]
    chosen = [patch for patch in patches if not names or patch.stem in names]
    print(f"{'mutant':<40}{'found in':>16}{'first seed':>12}{'seconds':>9}  as")
    missed = 0
    for patch in chosen:
        missed += not _hunted(patch, words)
    print(f"{len(chosen) - missed} of {len(chosen)} found")
    return 1 if missed else 0


def _hunted(patch: Path, words: argparse.Namespace) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="certstream-mutant-") as directory:
        for tree in TREES:
            shutil.copytree(ROOT / tree, Path(directory) / tree, ignore=LEFT_OUT)
        applied = subprocess.run(
            ["git", "apply", "-p1", str(patch)], cwd=directory, capture_output=True, text=True, check=False
        )
        if applied.returncode:
            print(f"{patch.stem:<40} does not apply: {applied.stderr.strip()}", flush=True)
            return False
        played: list[Any] = []
        found: list[Any] = []
        count = words.seeds
        while len(played) < words.most and not found and not (played and words.hunt == "search"):
            played += _play(
                HUNTS[words.hunt], directory, RARE.get(patch.stem, words.first) + len(played), count, words.jobs
            )
            found = [one for one in played if one[1]]
    seconds = time.monotonic() - began
    kinds = Counter(kind for _, of_seed in found for kind in of_seed)
    told = ", ".join(f"{kind} {times}" for kind, times in kinds.most_common(3))
    first = min((seed for seed, _ in found), default="–")
    print(f"{patch.stem:<40}{len(found):>6} of {len(played):>6}{first:>12}{seconds:>9.0f}  {told}", flush=True)
    return bool(found)


def _play(hunt: str, directory: str, first: int, count: int, jobs: int) -> list[Any]:
    played = subprocess.run(
        [sys.executable, "-c", hunt, str(first), str(count), str(jobs)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": directory},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in played.stdout.splitlines()]
    if played.returncode or not lines:
        raise SystemExit(f"the hunt broke down:\n{played.stderr[-3000:]}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
