"""The budget beside three well-kept rate limiters that are told ten a second: what arrives, how much, at what cost."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version

from bench.contending import CONTENDERS, QPS, Call, Limiting
from bench.pacing import CASES, busiest, measure
from bench.result import Report, Target, Value, progress
from certstream.core.answers import Answer, Page

PATH = CASES[0]
CALLERS = 10
COST_SECONDS = 10.0
EMPTY = Page(number=1, size=None, total=None, records=(), request_id=None)


def run(*, seconds: float) -> Report:
    """All contenders, one after the other."""
    values: list[Value] = []
    for name, limiting in CONTENDERS.items():
        progress(f"limiters: {name}")
        measured = asyncio.run(measure(PATH, seconds, limiting))
        most, over = busiest(measured.arrivals)
        kept = Target(QPS) if name.startswith("certstream") else None
        values += [
            Value(f"{name}: most in a second", most, target=kept, digits=0),
            Value(f"{name}: seconds over {QPS}", over, digits=0),
            Value(f"{name}: calls a second", measured.rate, "/s", peer=measured.bound, peer_name="bound"),
            Value(f"{name}: CPU a call", asyncio.run(_cost(limiting)), "µs", digits=0),
        ]
    peers = ", ".join(f"{name} {version(name)}" for name in ("aiolimiter", "limits", "throttled-py"))
    return Report("limiters", f"{seconds:g} s each over {PATH.name}, {CALLERS} callers; {peers}", values)


async def _cost(limiting: Limiting) -> float:
    """Microseconds of this process's CPU for a call: its own part and a timer's, no network."""
    async with limiting() as call:
        return await _spent(call)


async def _ask() -> Answer:
    sent = time.monotonic()
    await asyncio.sleep(PATH.round_trip)
    return Answer(EMPTY, sent=sent, received=time.monotonic(), sent_at=0, received_at=0, date=None)


async def _spent(call: Call) -> float:
    calls, end, began = 0, time.monotonic() + COST_SECONDS, time.process_time()

    async def caller() -> None:
        nonlocal calls
        while time.monotonic() < end:
            await call(_ask)
            calls += 1

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return 1e6 * (time.process_time() - began) / calls
