"""CPU time and memory of a certificate that did not change, certstream beside "orjson + dict comparison"."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self

import orjson

from bench.pages import SIZE, spool
from bench.result import Report, Target, Value, progress

PEER = "orjson + dict =="


class _Process:
    """A contender in a fresh interpreter."""

    def __init__(self, name: str, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.contender", name, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def learn(self, told: Callable[[int], None]) -> int:
        """Bytes by which it grew; `told` hears how many certificates it has seen."""
        while "bytes" not in (line := self._line()):
            told(line["pages"] * SIZE)
        return line["bytes"]

    def sweep(self) -> dict[str, int]:
        """One sweep: `ns`, `unchanged`."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a contender died; what it said is above")
        found: dict[str, int] = orjson.loads(line)
        return found


def run(*, certificates: int, rounds: int) -> Report:
    """Both contenders learn the same account in processes of their own, then sweep it in turn."""
    with tempfile.TemporaryDirectory(prefix="certstream-bench-") as folder:
        path = Path(folder) / "pages"
        size = spool(path, certificates, told=_every(5000, "unchanged: records made", certificates))
        grown: dict[str, float] = {}
        times: dict[str, list[float]] = {"certstream": [], "dicts": []}
        with _Process("certstream", path) as ours, _Process("dicts", path) as theirs:
            contenders = {"certstream": ours, "dicts": theirs}
            for name, contender in contenders.items():
                told = _every(5000, f"unchanged: {name} has learned", certificates)
                grown[name] = contender.learn(told) / certificates
            for turn in range(rounds):
                for name in sorted(contenders, reverse=bool(turn % 2)):
                    progress(f"unchanged: round {turn + 1} of {rounds}, {name}")
                    found = contenders[name].sweep()
                    if found["unchanged"] != certificates:
                        raise RuntimeError(f"{name} found {found['unchanged']} of {certificates} unchanged")
                    times[name].append(found["ns"] / 1000 / certificates)
    ours_runs, theirs_runs = times["certstream"], times["dicts"]
    return Report(
        "unchanged",
        f"{certificates:,} certificates of {size:,} B, pages of {SIZE}; CPU time; median of {rounds} sweeps in turn",
        [
            Value(
                "CPU per unchanged certificate",
                median(ours_runs),
                "µs",
                peer=median(theirs_runs),
                peer_name=PEER,
                target=Target(4.0),
                runs=ours_runs,
            ),
            Value(
                "memory per certificate, in all",
                grown["certstream"],
                "B",
                peer=grown["dicts"],
                peer_name=PEER,
                target=Target(700.0),
                digits=0,
            ),
        ],
    )


def _every(step: int, what: str, total: int) -> Callable[[int], None]:
    def told(count: int) -> None:
        if count % step == 0 or count == total:
            progress(f"{what}: {count:,} of {total:,}")

    return told
