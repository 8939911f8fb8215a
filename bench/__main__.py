"""`python -m bench`: run the benchmarks and print what they found."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from bench import limiters, pacing, scale, unchanged
from bench.result import Report, concluded, progress_over

NAMES = ("unchanged", "scale", "pacing", "limiters")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What certstream costs, beside a peer.")
    parser.add_argument("--only", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="the results as JSON on stdout")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--certificates", type=int, default=100_000, help="of `unchanged`")
    parser.add_argument("--rounds", type=int, default=5, help="of `unchanged`: its numbers are medians of so many")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="certificates of `scale`")
    parser.add_argument("--full", action="store_true", help="`scale` with a million too: four minutes more")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="of each case of `pacing` and each contender of `limiters`"
    )
    words = parser.parse_args()
    if min(words.certificates, *words.sizes) < 100 or words.rounds < 1 or words.seconds < 5:
        parser.error("at least 100 certificates, 1 round, 5 seconds")
    return words


def main() -> int:
    words = _arguments()
    sizes = (*words.sizes, *([scale.MILLION] if words.full else []))
    benchmarks: dict[str, Callable[[], list[Report]]] = {
        "unchanged": lambda: [unchanged.run(certificates=words.certificates, rounds=words.rounds)],
        "scale": lambda: scale.run(sizes=sizes),
        "pacing": lambda: [pacing.run(seconds=words.seconds)],
        "limiters": lambda: [limiters.run(seconds=words.seconds)],
    }
    reports: list[Report] = []
    for name, run in benchmarks.items():
        if words.only in (None, name):
            found = run()
            reports += found
            progress_over()
            if not words.json:
                print("\n".join(report.text() for report in found), flush=True)
    return concluded(reports, as_json=words.json, strict=words.strict)


if __name__ == "__main__":
    sys.exit(main())
