"""`python -m tests.pacing`: the service, a delaying proxy, the simulator; then SIGSTOP and SIGCONT at random times.

Prints the most arrivals in any closed second, and calls a second beside the bound, 10 / (1 + round trip). A stop makes
round trips longer, so there the bound is not told.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.real.fetching import Missing
from tests.real.ports import free_port
from tests.real.toxiproxy import Toxiproxy, fetch
from tests.verify.history import Call, load_answers
from tests.verify.processes import Broken, Setup, configure, start, start_simulator

CASES = ((50, 0), (50, 40), (300, 200))
"""Milliseconds that the proxy adds to each answer, and its jitter."""
WARM = 4.0
"""Seconds of a case that do not count: connections are made, the smoothed round trip settles."""


class Mark(NamedTuple):
    """What was done from when to when (Unix seconds); `trip`: the mean round trip, where it is known."""

    name: str
    begin: float
    end: float
    trip: float | None


def most(arrivals: Sequence[float]) -> int:
    """The most arrivals in any closed second."""
    first = found = 0
    for last, at in enumerate(arrivals):
        while arrivals[first] < at - 1.0:
            first += 1
        found = max(found, last - first + 1)
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """0 where no second saw more than ten."""
    parser = argparse.ArgumentParser(prog="python -m tests.pacing", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each path")
    parser.add_argument("--stops", type=int, default=1000, help="how often the service is stopped and let go")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    try:
        fetch()
    except Missing as error:
        print(error, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="certstream-pacing-") as name:
        return _run(Path(name), given.seconds, given.stops, given.seed)


def _run(directory: Path, seconds: float, stops: int, seed: int) -> int:
    setup = Setup(journal="sqlite", duration=0.0, certificates=2_000, rate=0.5, seed=seed, thresholds=("30d",))
    marks: list[Mark] = []
    server, front = free_port(), free_port()
    config = configure(directory, setup, front, f"sqlite:///{directory / 'journal.db'}")
    with Toxiproxy() as proxies:
        proxies.add("api", front, f"127.0.0.1:{server}")
        simulator = start_simulator(directory, setup, server)
        service = start(directory, "service", "run", "--config", str(config))
        try:
            _say("waiting for the first answers")
            _flowing(directory / "answers.jsonl")
            for delay, jitter in CASES:
                name = f"{delay} ms" + (f" ± {jitter} ms" if jitter else "")
                _say(f"{name}, {seconds:.0f} s")
                proxies.poison("api", "latency", "downstream", latency=delay, jitter=jitter)
                begun = time.time()
                time.sleep(seconds)
                marks.append(Mark(name, begun + WARM, time.time(), delay / 1000))
                if (delay, jitter) != CASES[-1]:
                    proxies.cure("api", "latency", "downstream")
            marks.append(Mark(f"{stops} × SIGSTOP, SIGCONT", *_stop_and_go(service, stops, seed), None))
            if service.poll() is not None:
                _say(f"the service ended with {service.returncode}; see {directory}/service.log")
                return 2
        finally:
            for process in (service, simulator):
                process.send_signal(signal.SIGCONT)
                process.terminate()
                process.wait(30)
    return _tell(load_answers(directory / "answers.jsonl"), marks)


def _flowing(answers: Path) -> None:
    """Start and baseline are no part of the first path: on a busy machine they take longer than WARM. Raises Broken."""
    deadline = time.monotonic() + 60
    while not answers.is_file() or answers.read_bytes().count(b'"ListClientCertificate"') < 60:
        if time.monotonic() > deadline:
            raise Broken("the service made no sixty calls within 60 s")
        time.sleep(0.2)


def _stop_and_go(service: subprocess.Popen[bytes], stops: int, seed: int) -> tuple[float, float]:
    dice, begun = random.Random(seed), time.time()
    for number in range(stops):
        if number % 200 == 0:
            _say(f"stopped and let go {number} of {stops} times")
        time.sleep(dice.expovariate(1 / 0.06))
        service.send_signal(signal.SIGSTOP)
        time.sleep(min(dice.expovariate(1 / 0.06), 2.0))
        service.send_signal(signal.SIGCONT)
    return begun, time.time()


def _tell(calls: Sequence[Call], marks: Sequence[Mark]) -> int:
    counted = sorted((call for call in calls if call.action != "GetCallerIdentity"), key=lambda call: call.arrival)
    print(
        f"{'path':<28}{'calls':>7}{'calls a second':>16}{'of the bound':>14}{'most in a second':>18}{'throttled':>11}"
    )
    for name, begin, end, trip in marks:
        inside = [call for call in counted if begin <= call.arrival < end]
        rate = len(inside) / (end - begin)
        share = "" if trip is None else f"{rate * (1 + trip) / 10:.3f}"
        throttled = sum((call.code or "").startswith("Throttling") for call in inside)
        busiest = most(sorted(call.arrival_mono for call in inside))
        print(f"{name:<28}{len(inside):>7}{rate:>16.2f}{share:>14}{busiest:>18}{throttled:>11}")
    whole = most(sorted(call.arrival_mono for call in counted))
    print(f"\nin all: {len(counted)} calls, {whole} in the fullest second")
    return 0 if whole <= 10 else 1


if __name__ == "__main__":
    sys.exit(main())
