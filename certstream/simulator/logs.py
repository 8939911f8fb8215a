"""The truth log and the answer log: JSON lines, each one write to the file, complete whenever the process dies.

`truth`: what happened to the certificates, when. `answers`: what each call was told. Together they say what a
watcher could have seen, and when. Every instant is Unix seconds unless its name ends in `_mono`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from certstream.simulator.population import Change


class Lines:
    """A file of JSON lines without a buffer of ours. Raises OSError as the file system does."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def write(self, line: bytes) -> None:
        self._file.write(line + b"\n")

    def close(self) -> None:
        self._file.close()


class TruthLog:
    """`begin`, a line per change with the row as it is delivered, `quiet` when the life script ends, `end`."""

    def __init__(self, path: Path, config: dict[str, object]) -> None:
        self._lines = Lines(path)
        self._lines.write(orjson.dumps({"what": "begin", "at": time.time(), "config": config}))

    def change(self, change: Change) -> None:
        head = orjson.dumps(
            {
                "n": change.n,
                "at": change.at,
                "what": change.what,
                "identifier": change.identifier,
                "version": change.version,
            }
        )
        # The row's own bytes: what the log says is what was delivered, to the byte.
        self._lines.write(head[:-1] + b',"record":' + (change.record or b"null") + b"}")

    def quiet(self) -> None:
        self._lines.write(orjson.dumps({"what": "quiet", "at": time.time()}))

    def close(self) -> None:
        self._lines.write(orjson.dumps({"what": "end", "at": time.time()}))
        self._lines.close()


@dataclass(slots=True)
class Call:
    """A line of the answer log, filled in while the call is served.

    `snapshot`: the instant that the content is of, `changes` the number of the last change in it, `rows` its
    (identifier, version) pairs. `delivered`: the whole good answer was handed to the kernel, on an open connection.
    """

    call: int
    arrival: float
    arrival_mono: float
    answered: float | None = None
    action: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    status: int | None = None
    code: str | None = None
    fault: str | None = None
    delivered: bool = False
    snapshot: float | None = None
    changes: int | None = None
    total: int | None = None
    rows: list[tuple[str, int]] = field(default_factory=list)


class AnswerLog:
    """A line per call, written when the call is over, so in the order of answers; `call` numbers the arrivals."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)

    def write(self, call: Call) -> None:
        self._lines.write(orjson.dumps(call))

    def close(self) -> None:
        self._lines.close()
