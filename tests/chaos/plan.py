"""What happens to a round: two tracks of faults, of the service and of what it stands on, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import NamedTuple

SERVICE = {"kill": 14, "pause": 2, "second": 1, "zombie": 1}
"""Faults of the service, and how often each: `kill -9`; suspended; a second instance beside it; one that was
suspended, was replaced, and wakes up."""
CUT = "connections cut"
"""Needs root."""
BROKERS = {
    "broker kill": 3,
    "broker pause": 2,
    "all brokers kill": 1,
    CUT: 2,
    "latency": 2,
    "black hole to brokers": 2,
    "black hole from brokers": 2,
    "cut after bytes": 2,
    "right taken": 3,
    "message size lowered": 1,
}
DISK = {"disk full": 1}
CLOCK = {
    "clock ahead, to 5 min": 3,
    "clock behind, to 5 min": 3,
    "clock ahead, to 10 min": 3,
    "clock behind, to 10 min": 2,
    "clock off, to 2 h": 1,
}
"""By a clock that is off by more than 5 minutes no threshold is told; a call that is signed by one that is off by more
than 15 is refused, and nothing is asked for a minute: a round that is mostly that would prove little."""
OFF = {
    "clock ahead, to 5 min": ((0.0, 300.0),),
    "clock behind, to 5 min": ((-300.0, 0.0),),
    "clock ahead, to 10 min": ((300.0, 600.0),),
    "clock behind, to 10 min": ((-600.0, -300.0),),
    "clock off, to 2 h": ((-7200.0, -600.0), (600.0, 7200.0)),
}
"""Seconds; of several ranges, one."""
LONGEST = {
    "pause": 15.0,
    "zombie": 14.0,
    "broker kill": 8.0,
    "broker pause": 12.0,
    "all brokers kill": 3.0,
    CUT: 3.0,
    "disk full": 12.0,
    **dict.fromkeys(CLOCK, 20.0),
}
"""Seconds at most; others: 8."""


class Fault(NamedTuple):
    """`gap` seconds after the fault before it was over, for `length` seconds. `pick` (0 to 1) says which, how much."""

    gap: float
    kind: str
    length: float
    pick: float


def off(fault: Fault) -> float:
    """By how many seconds the clock is ahead."""
    ranges = OFF[fault.kind]
    which, place = divmod(fault.pick * len(ranges), 1)
    least, most = ranges[int(which)]
    return least + place * (most - least)


class Plan(NamedTuple):
    """The faults of the service, and of what it stands on; each track one after the other."""

    service: tuple[Fault, ...]
    ground: tuple[Fault, ...]


def draw(seed: str, leg: str, seconds: float, without: Collection[str] = ()) -> Plan:
    """Faults for so many seconds. `leg`: "kafka", "sqlite" or "clock". `without`: kinds that are not possible here."""
    chance = random.Random(seed)
    every = {"kafka": BROKERS, "sqlite": DISK, "clock": CLOCK}[leg]
    ground = {kind: weight for kind, weight in every.items() if kind not in without}
    service = SERVICE if leg == "kafka" else {kind: SERVICE[kind] for kind in ("kill", "pause")}
    rare = leg == "clock"  # after a kill nobody calls for 11 s: the service is to work while its clock is wrong
    kills = _track(chance, service, seconds, (20.0, 60.0) if rare else (1.0, 24.0))
    return Plan(kills, _track(chance, ground, seconds, (4.0, 16.0)))


def _track(
    chance: random.Random, weights: dict[str, int], seconds: float, gaps: tuple[float, float]
) -> tuple[Fault, ...]:
    """Every kind once first, in any order, if there is time; then by weight."""
    first = chance.sample(sorted(weights), len(weights))
    found: list[Fault] = []
    now = 0.0
    while True:
        kind = first.pop() if first else chance.choices(list(weights), list(weights.values()))[0]
        longest = LONGEST.get(kind, 8.0)
        fault = Fault(chance.uniform(*gaps), kind, chance.uniform(longest / 4, longest), chance.random())
        now += fault.gap + fault.length
        if now > seconds:
            return tuple(found)
        found.append(fault)
