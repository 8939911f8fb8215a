"""`python -m tests.chaos`: rounds of faults on three real brokers, a disk and a clock, judged. It can be resumed."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from tests.chaos.driver import Broken, play
from tests.chaos.plan import BROKERS
from tests.chaos.verdict import DISORDER, LOST, MEANWHILE, TWICE, Verdict, verdict
from tests.real import kafka, toxiproxy
from tests.real.fetching import Missing

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".cache" / "chaos"
SHOWN = 5

ROOT_NEEDED = (
    "Two of the faults need root: connections are cut with `ss -K` (without root they are not, and the table says so), "
    "and the disk that is full is a tmpfs of 256 MB, which is mounted (without root: --legs kafka,clock)."
)

LEGS = ("kafka", "sqlite", "clock")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__, epilog=ROOT_NEEDED)
    parser.add_argument(
        "--seed", type=int, help="the same again; rounds judged already, at the same clean commit, are not repeated"
    )
    parser.add_argument("--rounds", type=int, default=6, help="on Kafka")
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="of faults in a round, half as many on SQLite and with the clock; three more go by beside",
    )
    parser.add_argument("--legs", default=",".join(LEGS), help="which kinds of rounds, of these")
    parser.add_argument("--fresh", action="store_true", help="repeat also what is judged already")
    parser.add_argument("--judge-only", type=Path, metavar="DIR", help="judge the kept directory of a round again")
    given = parser.parse_args(words)
    given.legs = given.legs.split(",")
    if odd := sorted({*given.legs} - {*LEGS}):
        parser.error(f"no such rounds: {', '.join(odd)}; there are {', '.join(LEGS)}")
    if "kafka" in given.legs and given.rounds < 1:
        parser.error("at least 1 round")
    if given.judge_only is not None and not given.judge_only.is_dir():
        parser.error(f"no such directory: {given.judge_only}")
    return given


def main(words: Sequence[str] | None = None) -> int:
    """0 when nothing is wrong, 1 on any violation, 2 where something is missing."""
    given = _arguments(words)
    signal.signal(signal.SIGTERM, _stop)
    if given.judge_only is not None:
        leg = given.judge_only.name.partition("-")[0]
        return _tell([verdict(given.judge_only, leg, "kept", _commit())])
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    again = f"--seed {seed} --minutes {given.minutes:g} --rounds {given.rounds} --legs {','.join(given.legs)}"
    print(f"seed {seed}; after an interruption go on with {again}", file=sys.stderr, flush=True)
    legs = given.legs
    try:
        if "kafka" in legs:
            kafka.fetch()
            toxiproxy.fetch()
    except Missing as error:
        print(error, file=sys.stderr)
        return 2
    if "sqlite" in legs and os.geteuid() != 0:
        print("the full disk is a tmpfs, and to mount it needs root; without: --legs kafka,clock", file=sys.stderr)
        return 2
    rounds = [("kafka", number) for number in range(1, given.rounds + 1)] if "kafka" in legs else []
    rounds += [(leg, 1) for leg in ("sqlite", "clock") if leg in legs]
    verdicts = []
    for number, (leg, of_leg) in enumerate(rounds, 1):
        print(f"── round {number} of {len(rounds)}: {leg}", file=sys.stderr, flush=True)
        seconds = given.minutes * 60 if leg == "kafka" else given.minutes * 30
        verdicts.append(_round(leg, f"{seed}/{leg}/{of_leg}", seconds, fresh=given.fresh))
    return _tell(verdicts)


def _stop(*_: object) -> None:
    """Stop what was started; `make` passes the signal on once more."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(130)


def _round(leg: str, seed: str, seconds: float, *, fresh: bool) -> Verdict:
    """Play and judge one, or take the verdict of this commit that is there already."""
    kept = KEPT / f"{_commit()}-{seed.replace('/', '-')}-{seconds:.0f}s.json"
    if kept.exists() and not fresh and not _commit().endswith(("-dirty", "unknown")):
        print(f"taken from {kept}", file=sys.stderr, flush=True)
        return Verdict(**json.loads(kept.read_text()))
    directory = Path(tempfile.mkdtemp(prefix=f"{leg}-", dir=_scratch()))
    try:
        play(directory, leg, seed, seconds)
        found = verdict(directory, leg, seed, _commit())
    except Broken as error:
        print(f"{error}\nkept: {directory}", file=sys.stderr)
        raise SystemExit(2) from None
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(asdict(found), indent=1))
    if found.violations:
        print(f"kept: {directory}   (again: python -m tests.chaos --judge-only {directory})", file=sys.stderr)
    else:
        shutil.rmtree(directory)
    return found


def _scratch() -> Path:
    path = Path(tempfile.gettempdir()) / "certstream-chaos"
    path.mkdir(exist_ok=True)
    return path


def _commit() -> str:
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _tell(verdicts: Sequence[Verdict]) -> int:
    """The table, and 1 if anything is wrong."""
    recovered: dict[str, list[float]] = {}
    for one in verdicts:
        for kind, seconds in one.recovered.items():
            recovered.setdefault(kind, []).extend(seconds)
    times = sum((Counter(one.times) for one in verdicts), Counter[str]())
    print(f"\n{'fault':<26}{'times':>6}{'alone':>7}{'recovered in, median':>22}{'longest':>10}")
    for kind, count in times.most_common():
        alone = recovered.get(kind, [])
        told = f"{median(alone):>20.1f} s{max(alone):>8.1f} s" if alone else ""
        print(f"{kind:<26}{count:>6}{len(alone):>7}{told}")
    for kind in sorted({kind for one in verdicts for kind in one.impossible}):
        print(f"{kind:<26}{0:>6}   not possible here: needs root")
    print("alone: nothing else failed before the next event was committed; after a kill nobody calls for 11 s")
    brokers = sum(count for kind, count in times.items() if kind in BROKERS)
    print(f"\nkills of the service {times['kill']}, faults of brokers and of the way to them {brokers}")
    header = f"{'round':<22}{'events':>8}{'calls':>8}{'no progress for':>17}{'lost':>6}{'twice':>6}{'disorder':>9}"
    print(f"\n{header}{'other':>6}{'most in 1 s':>12}  commit")
    for one in verdicts:
        counted = [one.count(kinds) for kinds in (LOST, TWICE, DISORDER)]
        other = len(one.violations) - sum(counted)
        numbers = f"{one.events:>8,}{one.calls:>8,}{one.longest:>15.1f} s{counted[0]:>6}{counted[1]:>6}{counted[2]:>9}"
        print(f"{one.seed:<22}{numbers}{other:>6}{one.most:>12}  {one.commit}")
    _tell_meanwhile(verdicts)
    ends = sum((Counter(one.ends) for one in verdicts), Counter[str]())
    print("\nended by themselves, by exit code: " + (", ".join(f"{c}: {n}" for c, n in sorted(ends.items())) or "none"))
    wrong = [(one.seed, violation) for one in verdicts for violation in one.violations]
    shown = Counter[str]()
    for seed, (kind, where, what) in wrong:
        shown[kind] += 1
        if shown[kind] <= SHOWN:
            print(f"  ✗ {seed}  {kind}: {where}: {what}"[:400])
    print(f"\n{len(wrong)} violations" if wrong else "\nno violation")
    return 1 if wrong else 0


def _tell_meanwhile(verdicts: Sequence[Verdict]) -> None:
    """What the service did while its clock was wrong."""
    rows = [row for one in verdicts for row in one.meanwhile.items()]
    if rows:
        print(f"\n{'meanwhile':<26}" + "".join(f"{name:>16}" for name in MEANWHILE))
    for kind, counts in rows:
        print(f"{kind:<26}" + "".join(f"{counts[name]:>16,}" for name in MEANWHILE))


if __name__ == "__main__":
    sys.exit(main())
