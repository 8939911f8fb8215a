"""What a program of `examples/` prints, as comparable values, and the sums that chain them."""

from __future__ import annotations

import hashlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import orjson

QUIET = 2.0
"""Seconds that a program goes on after the last line that is expected: more than expected must show, too."""
PATIENCE = 180.0
"""Seconds for a program to print what is expected; a JVM took 42 on a machine with five times the work it can do."""


class Line(NamedTuple):
    """One event, as a program read it."""

    id: str
    type: str
    subject: str
    time: datetime
    sequence: str
    prevhash: str
    sha256: str


class Reader(NamedTuple):
    """A program that follows a topic, run in `folder`. `aborted`: whether it also shows what the broker aborted."""

    name: str
    words: Sequence[str]
    parse: Callable[[bytes], Line]
    aborted: bool = False
    folder: Path | None = None


def of_value(value: bytes) -> Line:
    """The same of a record's value, read here without any SDK."""
    event = orjson.loads(value)
    when = datetime.fromisoformat(event["time"])
    digest = hashlib.sha256(value).hexdigest()
    return Line(event["id"], event["type"], event["subject"], when, event["sequence"], event["prevhash"], digest)


def of_columns(line: bytes) -> Line:
    """A line of seven columns."""
    one, kind, subject, when, *rest = line.decode().split("\t")
    return Line(one, kind, subject, datetime.fromisoformat(when), *rest)


def printed(reader: Reader, expected: int, errors: Path) -> list[bytes]:
    """What a program prints until it has been quiet after `expected` lines, without their ends; then it is ended, and
    what it started with it."""
    with errors.open("wb") as log:
        process = subprocess.Popen(
            reader.words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=reader.folder,
            start_new_session=True,
        )
    found: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def gather() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            found.put(line.rstrip(b"\n"))

    threading.Thread(target=gather, daemon=True).start()
    deadline = time.monotonic() + PATIENCE
    lines: list[bytes] = []
    while time.monotonic() < deadline and process.poll() is None:
        try:
            lines.append(found.get(timeout=QUIET))
        except queue.Empty:
            if len(lines) >= expected:
                break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while not found.empty():
        lines.append(found.get())
    return lines


def unchained(lines: Sequence[Line]) -> list[str]:
    """Where a `prevhash`, or a sequence, is not that of the line before. For the events of one account."""
    previous, wrong = "0" * 64, []
    for number, line in enumerate(lines, 1):
        if line.prevhash != previous or int(line.sequence) != number:
            wrong.append(f"{line.type}, sequence {line.sequence}: does not follow the line before")
        previous = line.sha256
    return wrong
