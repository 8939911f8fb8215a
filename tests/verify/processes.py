"""The processes under test: the simulator, and the service that is killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.verify.history import Run

KEY, SECRET, UID = "LTAIsimulator00000001", "simulatorSecret0000000000000001", "1000000000000001"
REPOSITORY = Path(__file__).resolve().parents[2]
STOPS_WITHIN = 10.0
"""Seconds from SIGTERM to exit code 0 (issue)."""
READY_WITHIN = 180.0
"""Seconds for the simulator to make its certificates."""


class Broken(Exception):
    """A process did not do what it should; the text says which and where its log is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a run is made with. Times in seconds. What is not given lets nothing go wrong."""

    journal: str
    duration: float
    certificates: int
    rate: float
    faults: float = 0.0
    seed: int
    order: str = "newest"
    kills: int = 0
    speed: float = 1.0
    latency: float = 0.0
    thresholds: tuple[str, ...] = ("1d",)
    quiet: float = 0.0
    """Changes and kills end this long before the run does."""
    prefix: str = "certstream."
    listen: str = ""
    """host:port of the service's HTTP server; without it there is none"""

    @property
    def last_change(self) -> float:
        return self.duration - self.quiet


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "certstream", *words]


def _environment(directory: Path) -> dict[str, str]:
    """Nothing of this shell's certstream, and nothing shared with another one on this host."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CERTSTREAM_")}
    own = {"XDG_STATE_HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}
    return {**inherited, **own, "CERTSTREAM_LOCK_DIR": str(directory / "host")}


def start(
    directory: Path, name: str, *words: str, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[bytes]:
    """A certstream command in a session of its own; what it says goes to `<name>.log`."""
    with (directory / f"{name}.log").open("ab") as log:
        log.write(f"--- {' '.join(words)}\n".encode())
        return subprocess.Popen(
            _command(*words),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env={**_environment(directory), **environment},
            start_new_session=True,
        )


def run_once(directory: Path, name: str, *words: str, timeout: float = 60) -> None:
    """A command that must succeed. Raises Broken."""
    process = start(directory, name, *words)
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Broken(f"certstream {' '.join(words)} hangs; see {directory / name}.log") from None
    if code != 0:
        raise Broken(f"certstream {' '.join(words)} gave exit code {code}; see {directory / name}.log")


def start_simulator(directory: Path, setup: Setup, port: int) -> subprocess.Popen[bytes]:
    """The simulated account, listening. Raises Broken."""
    options: dict[str, Any] = {
        "--port": port,
        "--certificates": setup.certificates,
        "--seed": setup.seed,
        "--speed": setup.speed,
        "--faults": setup.faults,
        "--rate": setup.rate,
        "--order": setup.order,
        "--latency": setup.latency,
        "--stop-changes-after": setup.last_change,
        "--truth": directory / "truth.jsonl",
        "--answers": directory / "answers.jsonl",
    }
    words = [str(word) for option in options.items() for word in option]
    process = start(directory, "simulator", "simulate", *words)
    try:
        _await_port(process, directory, port)
    except BaseException:  # also Ctrl-C, which does not reach its session
        process.kill()
        process.wait()
        raise
    return process


def _await_port(simulator: subprocess.Popen[bytes], directory: Path, port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if simulator.poll() is not None:
            raise Broken(f"the simulator gave exit code {simulator.returncode}; see {directory}/simulator.log")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Broken(f"the simulator was not ready within {READY_WITHIN:.0f} s; see {directory}/simulator.log")


def configure(
    directory: Path, setup: Setup, port: int, journal: str, kafka: Mapping[str, str] = MappingProxyType({})
) -> Path:
    """The service's configuration file. `kafka`: its settings of that name."""
    secret = directory / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    thresholds = ", ".join(f'"{threshold}"' for threshold in setup.thresholds)
    settings = "".join(f'{name} = "{value}"\n' for name, value in kafka.items())
    file = directory / "certstream.toml"
    file.write_text(
        f"""journal = "{journal}"
topic_prefix = "{setup.prefix}"
thresholds = [{thresholds}]

[http]
listen = "{setup.listen}"

[[accounts]]
name = "prod"
endpoint = "http://127.0.0.1:{port}"
page_size = 100
sweep_every = "0s"
uid = "{UID}"

[accounts.credentials]
access_key_id = "{KEY}"
access_key_secret_file = "{secret}"
"""
        + (f"\n[kafka]\n{settings}" if settings else "")
    )
    return file


@dataclass
class Service:
    """`certstream run`, killed and started again. `runs` are the intervals in which it ran."""

    directory: Path
    config: Path
    runs: list[Run] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0

    def start(self) -> None:
        self._started = time.time()
        self._process = start(self.directory, "service", "run", "--config", str(self.config))

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        if not self.alive():
            self.problems.append(f"run {len(self.runs) + 1} ended by itself with {self._process.returncode}")
        self.runs.append(Run(self._started, time.time()))
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """SIGTERM: it must exit with 0 within ten seconds."""
        if self._process is None:
            return
        process, self._process = self._process, None
        self.runs.append(Run(self._started, time.time()))
        if process.poll() is not None:
            self.problems.append(f"run {len(self.runs)} ended by itself with {process.returncode}")
            return
        process.send_signal(signal.SIGTERM)
        try:
            if process.wait(STOPS_WITHIN) != 0:
                self.problems.append(f"SIGTERM gave exit code {process.returncode}")
        except subprocess.TimeoutExpired:
            self.problems.append(f"SIGTERM did not stop it within {STOPS_WITHIN:.0f} s")
            process.kill()
            process.wait()
