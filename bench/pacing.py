"""How close the pacing comes to its bound, 10 / (1 s + round trip), and that no second sees an eleventh arrival."""

from __future__ import annotations

import asyncio
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import orjson

from bench.contending import QPS, Call, Limiting, ours
from bench.pages import SIZE
from bench.result import Report, Target, Value, progress
from certstream.core.answers import Answer
from certstream.core.errors import Transient
from certstream.service.poller import READERS
from certstream.source.cas import CasSource
from certstream.source.credentials import static

WARM = 3.0
"""Seconds before the count begins: connections are made, the smoothed round trip settles."""
STALL = 0.02
"""Seconds by which a sleep of 10 ms may be late on a machine that does nothing else."""


@dataclass(frozen=True, slots=True)
class Case:
    """A path: seconds from request to answer, and up to how many more."""

    name: str
    round_trip: float
    jitter: float


CASES = (Case("50 ms + 0–20 ms", 0.05, 0.02), Case("300 ms", 0.3, 0.0))


@dataclass(frozen=True, slots=True)
class Measured:
    """`sent` and `received` of the counted calls; all `arrivals`; `stalls`: seconds that the event loop stood still."""

    sent: Sequence[float]
    round_trips: Sequence[float]
    arrivals: Sequence[float]
    failed: int
    stalls: float

    @property
    def rate(self) -> float:
        """Calls a second: ten over the mean time from a call to the tenth after it, so that clumps do not matter."""
        return QPS / fmean(later - sent for sent, later in zip(self.sent, self.sent[QPS:], strict=False))

    @property
    def bound(self) -> float:
        return QPS / (1 + fmean(self.round_trips))


def busiest(arrivals: Sequence[float]) -> tuple[int, int]:
    """The most arrivals in any sliding second, and how many seconds that end with an arrival hold more than ten."""
    counts = [number + 1 - bisect_right(arrivals, at - 1.0) for number, at in enumerate(arrivals)]
    return max(counts, default=0), sum(count > QPS for count in counts)


def run(*, seconds: float) -> Report:
    """All cases, one after the other."""
    values: list[Value] = []
    for case in CASES:
        measured = asyncio.run(measure(case, seconds))
        most, over = busiest(measured.arrivals)
        values += [
            Value(
                f"{case.name}: calls a second",
                measured.rate,
                "/s",
                peer=measured.bound,
                peer_name="bound",
                digits=3,
            ),
            Value(f"{case.name}: of the bound", measured.rate / measured.bound, target=Target(0.98, True), digits=4),
            Value(f"{case.name}: most in a second", most, target=Target(QPS), digits=0),
            Value(f"{case.name}: seconds over {QPS}", over, target=Target(0), digits=0),
            Value(f"{case.name}: mean round trip", 1000 * fmean(measured.round_trips), "ms"),
            Value(f"{case.name}: loop stood still", 100 * measured.stalls / seconds, "%"),
            Value(f"{case.name}: calls failed", measured.failed, target=Target(0), digits=0),
        ]
    how = f"{seconds:g} s each, {READERS} readers, Budget + CasSource (signed) over HTTP to another process"
    return Report("pacing", how, values)


async def measure(case: Case, seconds: float, limiting: Limiting = ours) -> Measured:
    """One case against a server of its own."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.path",
        str(case.round_trip),
        str(case.jitter),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    try:
        port = int(await server.stdout.readline())
        answers, failed, stalls = await _poll(f"http://127.0.0.1:{port}", case, seconds, limiting)
        async with asyncio.timeout(10):
            out, _ = await server.communicate(b"")  # `None` would leave its stdin open
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
    first = min(answer.sent for answer in answers) + WARM
    counted = sorted((answer for answer in answers if answer.sent >= first), key=lambda answer: answer.sent)
    return Measured(
        sent=[answer.sent for answer in counted],
        round_trips=[answer.received - answer.sent for answer in counted],
        arrivals=sorted(orjson.loads(out)),
        failed=failed,
        stalls=stalls,
    )


async def _poll(url: str, case: Case, seconds: float, limiting: Limiting) -> tuple[list[Answer], int, float]:
    """Ask for page after page, as a sweep without an end would."""
    source = CasSource(endpoint=url, credentials=static("LTAIbench", "benchSecret"))
    answers: list[Answer] = []
    failed = 0

    async def read(call: Call, end: float) -> None:
        nonlocal failed
        while time.monotonic() < end:
            try:
                answers.append(await call(lambda: source.list(page=1, size=SIZE)))
            except Transient:
                failed += 1

    try:
        async with limiting() as call, asyncio.TaskGroup() as readers:
            end = time.monotonic() + WARM + seconds
            watch = readers.create_task(_watch(case, end))
            for _ in range(READERS):
                readers.create_task(read(call, end))
    finally:
        await source.close()
    return answers, failed, watch.result()


async def _watch(case: Case, end: float) -> float:
    """Say how long it still takes; seconds that the event loop could not run when it wanted to."""
    late, told = 0.0, 0.0
    while (now := time.monotonic()) < end:
        if now - told >= 5:
            told = now
            progress(f"pacing: {case.name}, {end - now:.0f} s left")
        await asyncio.sleep(0.01)
        overslept = time.monotonic() - now - 0.01
        late += overslept if overslept > STALL else 0.0
    return late
