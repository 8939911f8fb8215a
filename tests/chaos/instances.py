"""The service as processes: started, killed, suspended, doubled, and looked after as a supervisor of services would."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.verify.processes import STOPS_WITHIN, start

REFUSED, FENCED = 3, 4
"""Exit codes: it cannot go on until somebody acts; another process owns the journal."""
GONE_WITHIN = 60.0
"""Seconds in which of two with one identity one must have ended, brokers that are away meanwhile included."""


@dataclass
class Instances:
    """`current` is the one that should own the accounts. Methods may be called from any thread."""

    directory: Path
    config: Path
    environment: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    ends: Counter[int] = field(default_factory=Counter)
    """exit codes of those that ended by themselves"""
    excused: set[int] = field(default_factory=set)
    """exit codes with which it may end now"""
    _current: subprocess.Popen[bytes] | None = None
    _two: bool = False
    """two of them are there, and which one stays is not decided"""
    _outlived: bool = False
    """the present one has outlived a second one, which may have taken the accounts before it ended"""
    _hosts: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def start(self) -> None:
        with self._lock:
            self._start()

    def look_after(self) -> None:
        """Start it again if it has ended by itself."""
        with self._lock:
            if self._two or self._current is None or (code := self._current.poll()) is None:
                return
            self.ends[code] += 1
            if code not in self.excused and not (code == FENCED and self._outlived):
                self.problems.append(f"it ended by itself with {code}: {self._last()}")
            time.sleep(0.5)
            self._start()

    def kill(self, pause: float) -> None:
        """`kill -9`, and started again so many seconds later."""
        with self._lock:
            current, self._current = self._current, None
            if current is not None:
                current.kill()
                current.wait()
        time.sleep(pause)
        self.start()

    def suspend(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so many seconds."""
        with self._lock:
            current = self._current
            if current is None:
                return
            current.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        current.send_signal(signal.SIGCONT)

    def second(self) -> None:
        """Another one with the same identity beside it: one of them must end, fenced."""
        with self._lock:
            older = self._current
            if older is None:
                return
            self._two = True
            newer = self._new()
        self._settle(older, newer)

    def zombie(self, seconds: float) -> None:
        """Suspend it, start another one, and let the first wake up: it must end, fenced."""
        with self._lock:
            older = self._current
            if older is None:
                return
            self._two = True
            older.send_signal(signal.SIGSTOP)
            newer = self._new()
        time.sleep(seconds)
        older.send_signal(signal.SIGCONT)
        self._settle(older, newer)

    def stop(self) -> None:
        """SIGTERM: it must end with 0 within ten seconds."""
        with self._lock:
            current, self._current = self._current, None
        if current is None or current.poll() is not None:
            self.problems.append("it did not run at the end")
            return
        current.send_signal(signal.SIGTERM)
        try:
            if current.wait(STOPS_WITHIN) != 0:
                self.problems.append(f"SIGTERM gave exit code {current.returncode}")
        except subprocess.TimeoutExpired:
            self.problems.append(f"SIGTERM did not stop it within {STOPS_WITHIN:.0f} s")
            current.kill()
            current.wait()

    def abandon(self) -> None:
        """Whatever runs is killed: the round is over before its time."""
        with self._lock:
            if self._current is not None:
                self._current.kill()
                self._current.wait()
                self._current = None

    def _settle(self, older: subprocess.Popen[bytes], newer: subprocess.Popen[bytes]) -> None:
        """Wait until one of two has ended; the other one goes on as the service."""
        deadline = time.monotonic() + GONE_WITHIN
        while older.poll() is None and newer.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        with self._lock:
            self._two, self._outlived = False, newer.poll() is not None
            self._current = older if self._outlived else newer
            other = older if self._current is newer else newer
            if other.poll() is None:
                self.problems.append(f"of two with one identity both still ran after {GONE_WITHIN:.0f} s")
                other.kill()
                other.wait()
                return
        self.ends[other.returncode] += 1
        if other.returncode not in (FENCED, *self.excused):
            self.problems.append(f"of two with one identity one ended with {other.returncode}: {self._last()}")

    def _start(self) -> None:
        self._current, self._outlived = self._new(), False

    def _new(self) -> subprocess.Popen[bytes]:
        """On a host of its own: on one host the second would be refused before it could fence anybody."""
        words = ("run", "--config", str(self.config))
        self._hosts += 1
        host = {"CERTSTREAM_LOCK_DIR": str(self.directory / f"host-{self._hosts}")}
        return start(self.directory, "service", *words, environment={**self.environment, **host})

    def _last(self) -> str:
        """The last lines of its log that say something."""
        lines = (self.directory / "service.log").read_bytes()[-3000:].decode(errors="replace").splitlines()
        return " | ".join(line for line in lines if not line.startswith("---"))[-400:]
