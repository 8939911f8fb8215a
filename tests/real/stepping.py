"""A wall clock that can be stepped under a real process; its monotonic clock goes on. Linux, any C compiler."""

from __future__ import annotations

import hashlib
import struct
import tempfile
from pathlib import Path

from tests.real.fetching import debian, fetched

SOURCE = Path(__file__).with_suffix(".c")
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "stepping"


def library() -> Path:
    """What is loaded before the C library; compiles it when it is not there. Raises Missing."""
    binary = CACHE / f"{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}.so"
    if not binary.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        compiler = debian("cc", "gcc", why="compiles the clock that is stepped")
        made = binary.with_suffix(".new")
        fetched("compiling a clock to step", [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", made, SOURCE])
        made.rename(binary)
    return binary


class SteppedClock:
    """`environment` is that of the process whose clock it is."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="certstream-clock-")  # noqa: SIM115
        self._by = 0
        self._write()
        self.environment = {"LD_PRELOAD": str(library()), "STEPPED_BY": self._file.name}

    def step(self, seconds: float) -> None:
        """At once, and for good."""
        self._by += int(seconds * 1_000_000)
        self._write()

    def _write(self) -> None:
        self._file.seek(0)
        self._file.write(struct.pack("=q", self._by))  # one write of eight bytes: never half a step
        self._file.flush()
