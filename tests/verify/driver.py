"""One run: simulator, service, kills; then everything that the judge needs, kept in one directory."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.real.ports import free_port
from tests.schemas.validate import problems, problems_of
from tests.verify.history import Case, Record, Run, load_answers, load_truth
from tests.verify.processes import Broken, Service, Setup, configure, run_once, start_simulator
from tests.verify.readers import Unreadable, load, read_kafka, read_sqlite, save

Attend = Callable[[Path, Setup, Service], None]
"""Starts the service and returns when its time is over. Raises Broken where it ends by itself."""

TELL_EVERY = 10.0
"""Seconds between two lines of progress."""
EARLIEST_KILL = 8.0
"""Seconds after the start: some kills should fall into the baseline, which takes about 25 s."""


def kill_times(setup: Setup) -> list[float]:
    """Seconds after the start at which the service is killed: one at random in each of equal parts of the time."""
    chance = random.Random(f"{setup.seed}/kills")
    first, last = min(EARLIEST_KILL, setup.last_change / 4), setup.last_change - 3
    part = (last - first) / max(1, setup.kills)
    return [first + part * (number + chance.random()) for number in range(setup.kills)]


def observe(directory: Path, setup: Setup, attend: Attend | None = None) -> None:
    """Run everything, and leave `case.json`, the logs and `records.db` in `directory`.

    `attend` starts the service and stays with it for its time; without it, the service is killed as `setup` says.
    """
    with _broker(setup) as broker:
        journal = f"kafka://{broker.bootstrap}" if broker else f"sqlite:///{directory / 'journal.db'}"
        port = free_port()
        config = configure(directory, setup, port, journal)
        if broker:
            run_once(directory, "topics", "topics", "apply", "--config", str(config))
        service = Service(directory, config)
        ended = {"at": 0.0}
        trouble: list[str] = []
        tell(0, f"{setup.journal}: making {setup.certificates:,} certificates, seed {setup.seed}")
        simulator = start_simulator(directory, setup, port)
        try:
            (attend or _drive)(directory, setup, service)
        except Broken as error:
            trouble.append(str(error))
        finally:
            ended["at"] = time.time()
            service.stop()
            trouble += _stop_simulator(simulator)
        records: list[Record] = []
        partitions: int | None = None
        try:
            if broker:
                records, partitions = read_kafka(broker.bootstrap, setup.prefix)
            else:
                records, partitions = read_sqlite(directory / "journal.db", setup.prefix)
        except (Unreadable, OSError) as error:
            trouble.append(f"the journal cannot be read: {error}")
    save(directory / "records.db", records)
    kept = {
        "setup": asdict(setup),
        "runs": service.runs,
        "end": ended["at"],
        "partitions": partitions,
        "problems": service.problems + trouble,
    }
    (directory / "case.json").write_text(json.dumps(kept, indent=1))


def _broker(setup: Setup) -> AbstractContextManager[Any]:
    if setup.journal != "kafka":
        return nullcontext()
    from tests.real.kafka import Broker

    return Broker()


def _drive(directory: Path, setup: Setup, service: Service) -> None:
    """The service for its time, killed when it is due. Raises Broken where it ends by itself."""
    watch = _Watch(directory, service)
    pauses = random.Random(f"{setup.seed}/pauses")
    service.start()
    for due in kill_times(setup):
        watch.wait(due)
        service.kill()
        tell(watch.elapsed, "kill -9")
        time.sleep(2 * pauses.random())
        service.start()
    watch.wait(setup.duration)


class _Watch:
    """Waits, looks whether the service lives, and tells how far it is."""

    def __init__(self, directory: Path, service: Service) -> None:
        self._directory, self._service = directory, service
        self._counts = {"calls": _Lines(directory / "answers.jsonl"), "changes": _Lines(directory / "truth.jsonl")}
        self._began = time.monotonic()
        self._told = 0.0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def wait(self, until: float) -> None:
        """Until so many seconds after the beginning. Raises Broken."""
        while self.elapsed < until:
            if not self._service.alive():
                raise Broken(f"the service ended by itself; see {self._directory}/service.log")
            if self.elapsed >= self._told:
                self._told += TELL_EVERY
                numbers = "  ".join(f"{name} {lines.count():,}" for name, lines in self._counts.items())
                tell(self.elapsed, f"run {len(self._service.runs) + 1}  {numbers}")
            time.sleep(0.05)


class _Lines:
    """Counts the lines of a growing file without reading any byte twice."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._lines = path, 0, 0

    def count(self) -> int:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                while block := file.read(1 << 20):
                    self._read += len(block)
                    self._lines += block.count(b"\n")
        return self._lines


def _stop_simulator(simulator: subprocess.Popen[bytes]) -> list[str]:
    if simulator.poll() is not None:
        return [f"the simulator ended by itself with {simulator.returncode}"]
    simulator.terminate()
    try:
        simulator.wait(30)
    except subprocess.TimeoutExpired:
        simulator.kill()
        simulator.wait()
        return ["the simulator did not stop on SIGTERM"]
    return []


def load_case(directory: Path) -> Case:
    """What `observe` left. Raises OSError where it is not all there."""
    kept = json.loads((directory / "case.json").read_text())
    return Case(
        changes=load_truth(directory / "truth.jsonl"),
        calls=load_answers(directory / "answers.jsonl"),
        records=tuple(load(directory / "records.db")),
        runs=tuple(Run(*run) for run in kept["runs"]),
        end=kept["end"],
        thresholds=tuple(kept["setup"]["thresholds"]),
        valid=lambda topic, value: problems(value) if topic == "events" else problems_of(topic, value),
        partitions=kept["partitions"],
        problems=tuple(kept["problems"]),
    )


def tell(elapsed: float, text: str) -> None:
    """A line of progress on stderr."""
    print(f"{elapsed:6.0f} s  {text}", file=sys.stderr, flush=True)
