"""One round: cluster or disk, simulator, service; two tracks of faults; a calm end; then all that the judge needs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.chaos.faults import Brokers, Disk, Ground, HostClock, harm
from tests.chaos.instances import REFUSED, Instances
from tests.chaos.plan import CUT, Fault, draw
from tests.chaos.tail import Looks, Tail, of_kafka, of_sqlite
from tests.real.cluster import Cluster
from tests.real.cutting import can_cut
from tests.real.ports import free_port
from tests.verify.processes import Broken, Setup, configure, run_once, start_simulator
from tests.verify.readers import read_kafka, read_sqlite, save

PREFIX = "certstream."
CALM = 85.0
"""Seconds at the end without faults; for the last 60 of them everything is demanded."""
SETTLE = 20.0
"""Of these, seconds in which what failed last may still recover."""
TELL_EVERY = 10.0
REFUSING = frozenset({"right taken"})
"""Faults in which brokers refuse what they allow otherwise: a service that starts meanwhile ends with 3."""


class Happened(NamedTuple):
    """A fault as it was. Unix seconds."""

    kind: str
    begun: float
    over: float


@dataclass
class Ended:
    """What a round leaves besides its logs. Unix seconds."""

    settled: float
    """from here on everything is demanded"""
    end: float
    happened: list[Happened]
    partitions: int | None
    problems: list[str]
    ends: dict[str, int] = field(default_factory=dict)
    impossible: list[str] = field(default_factory=list)
    """kinds of faults that the machine did not allow"""


def play(directory: Path, leg: str, seed: str, seconds: float) -> Ended:
    """Play a round of so many seconds of faults. Leaves truth, answers, `records.db` and `ended.json`."""
    number = sum(map(ord, seed)) * 7919 % 1_000_003
    setup = Setup(
        journal="kafka" if leg == "kafka" else "sqlite",
        duration=seconds + CALM,
        certificates=3_000,
        rate=min(1.5, 700 / (seconds + CALM)),
        faults=0.02,
        seed=number,
        order="newest",
        kills=0,
        speed=140.0,
        latency=0.05,
        thresholds=("25%", "120s", "60s", "20s"),
        quiet=CALM,
    )
    impossible = [] if leg != "kafka" or can_cut() else [CUT]
    plan = draw(seed, leg, seconds, impossible)
    environment: dict[str, str] = {}
    with _ground(directory, leg) as (ground, journal, settings):
        if isinstance(ground, HostClock):
            environment = ground.environment()
        port = free_port()
        config = configure(directory, setup, port, journal, settings)
        if leg == "kafka":
            run_once(directory, "topics", "topics", "apply", "--config", str(config))
        instances = Instances(directory, config, environment)
        round_ = _Round(directory, instances)
        simulator = start_simulator(directory, setup, port)
        partitions = None
        try:
            with Tail(partial(_look, directory, ground)) as tail:
                round_.begin()
                round_.suffer(partial(harm, instances), plan.service, ground.happen, plan.ground)
                settled, end = round_.calm()
        finally:
            instances.abandon()
            simulator.terminate()
            with suppress(subprocess.TimeoutExpired):
                simulator.wait(30)
        if isinstance(ground, Brokers):
            records, partitions = read_kafka(ground.cluster.plain, PREFIX)
        else:
            records, partitions = read_sqlite(_file(directory), PREFIX)
    records = tail.dated(records)
    if missed := sum(one.topic == "events" and one.seen is None for one in records):
        round_.problems.append(f"the reader beside it has not seen {missed} events")
    save(directory / "records.db", records)
    ends = {str(code): count for code, count in instances.ends.items()}
    ended = Ended(settled, end, round_.happened, partitions, instances.problems + round_.problems, ends, impossible)
    (directory / "ended.json").write_text(json.dumps(asdict(ended), indent=1))
    return ended


@contextmanager
def _ground(directory: Path, leg: str) -> Iterator[tuple[Ground, str, dict[str, str]]]:
    """What fails, the journal's URL, and settings."""
    if leg == "kafka":
        with Cluster(PREFIX) as cluster:
            yield Brokers(cluster), f"kafka://{cluster.bootstrap}", cluster.kafka
    elif leg == "sqlite":
        with Disk(_file(directory).parent) as disk:
            yield disk, f"sqlite:///{_file(directory)}", {}
    else:
        _file(directory).parent.mkdir(exist_ok=True)
        yield HostClock(directory / "clock"), f"sqlite:///{_file(directory)}", {}


def _look(directory: Path, ground: Ground) -> Looks:
    if isinstance(ground, Brokers):
        return of_kafka(ground.cluster.plain, PREFIX)
    return of_sqlite(_file(directory), PREFIX)


def _file(directory: Path) -> Path:
    return directory / "disk" / "journal.db"


class _Round:
    """Threads, time and progress of a round."""

    def __init__(self, directory: Path, instances: Instances) -> None:
        self._directory, self._instances = directory, instances
        self._began = time.monotonic()
        self._over = threading.Event()
        self._refusing = 0
        self.happened: list[Happened] = []
        self.problems: list[str] = []

    def begin(self) -> None:
        self._began = time.monotonic()
        self._instances.start()

    def suffer(
        self,
        harm: Callable[[Fault], None],
        service: Sequence[Fault],
        happen: Callable[[Fault], None],
        ground: Sequence[Fault],
    ) -> None:
        """Both tracks at once, each in a thread, until both are through."""
        tracks = [
            threading.Thread(target=self._track, args=(harm, service), daemon=True),
            threading.Thread(target=self._track, args=(happen, ground), daemon=True),
        ]
        for track in tracks:
            track.start()
        told = 0.0
        while any(track.is_alive() for track in tracks):
            told = self._tell(told)
            self._instances.look_after()
            time.sleep(0.1)

    def calm(self) -> tuple[float, float]:
        """Wait until everything is demanded; stop. When that began, and the end, in Unix seconds."""
        self._say("calm")
        began, told = time.monotonic(), time.monotonic() - self._began
        while time.monotonic() < began + CALM:
            if time.monotonic() > began + SETTLE:
                self._instances.excused.clear()
            told = self._tell(told)
            self._instances.look_after()
            time.sleep(0.1)
        end = time.time()
        self._instances.stop()
        return end - CALM + SETTLE, end

    def _track(self, act: Callable[[Fault], None], faults: Sequence[Fault]) -> None:
        for fault in faults:
            time.sleep(fault.gap)
            self._say(f"{fault.kind}" + (f", {fault.length:.0f} s" if fault.kind not in ("kill", "second") else ""))
            begun = time.time()
            if fault.kind in REFUSING:
                self._instances.excused.add(REFUSED)
            try:
                act(fault)
            except Exception as error:
                self.problems.append(f"the fault {fault.kind!r} did not happen as it should: {error!r}")
            self.happened.append(Happened(fault.kind, begun, time.time()))

    def _tell(self, told: float) -> float:
        elapsed = time.monotonic() - self._began
        if elapsed < told:
            return told
        calls = _lines(self._directory / "answers.jsonl")
        self._say(f"calls {calls:,}, faults {len(self.happened)}")
        return elapsed + TELL_EVERY

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.0f} s  {text}", file=sys.stderr, flush=True)


def _lines(file: Path) -> int:
    with suppress(FileNotFoundError), file.open("rb") as lines:
        return sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 20), b""))
    return 0


__all__ = ["Broken", "Ended", "Happened", "play"]
