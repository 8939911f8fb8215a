"""What one seed stands for: a plan, drawn once, that can be printed, cut down and played again."""

from __future__ import annotations

from random import Random

import msgspec

from tests.simulation.population import Deed, Order
from tests.simulation.weather import Fault

KAFKA = (
    "kafka.error",
    "kafka.ambiguous",
    "kafka.lost",
    "kafka.unanswered",
    "kafka.duplicate",
    "kafka.slow",
    "kafka.away",
    "kafka.stale",
)
API = ("api.drop", "api.lost", "api.error", "api.garbled", "api.slow", "api.late", "api.stale", "api.away")
PROCESS = (
    "kill",
    "kill",
    "kill",
    "kill.sent",
    "kill.applied",
    "stop",
    "pause",
    "suspend",
    "second",
    "cut",
    "jump",
    "jump",
)
RARE = ("api.denied", "api.denied", "compact")
WRONG = ("hide", "hide.many", "foreign")
THRESHOLDS = (("40s", "15s"), ("60s", "25%", "8s"), ("30s",), ("50%", "20s", "5s"))


class Plan(msgspec.Struct, frozen=True):
    """One history. Times in seconds from its beginning; the chaos ends at `calm`, the quiet tail begins.

    `whole`: the tail lasts long enough to demand everything that stood for a minute, and to measure progress.
    """

    seed: int
    certificates: int
    sick: int
    page_size: int
    largest: int
    order: Order
    latency: float
    broker_latency: float
    qps: int
    sweep_every: float
    probe_every: float
    staleness: float
    lives: tuple[float, float]
    thresholds: tuple[tuple[str, ...], ...]
    """of the first run, the second, …; the last one stays"""
    calm: float
    whole: bool
    deeds: tuple[Deed, ...]
    faults: tuple[Fault, ...]


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    dice = Random(f"{seed}/plan")
    calm = dice.choice((12.0, 20.0, 30.0, 60.0))
    faults = _faults(dice, calm)
    kinds = {fault.kind for fault in faults}
    page_size = dice.choice((1, 2, 3, 5, 10, 100))
    certificates = dice.choice((0, 1, 3, 8, 20, 40))
    certificates = min(certificates, page_size * 20)
    staleness = dice.choice((2.0, 5.0, 8.0))
    first = dice.choice(THRESHOLDS)
    changed = dice.random() < 0.2
    return Plan(
        seed=seed,
        certificates=certificates,
        sick=dice.choice((0, 0, 0, 1, 2)),
        page_size=page_size,
        largest=page_size if dice.random() < 0.9 else max(1, page_size // 2),
        order=dice.choice(("newest", "oldest", "identifier")),
        latency=dice.choice((0.02, 0.05, 0.05, 0.1, 0.3)),
        broker_latency=dice.choice((0.002, 0.005, 0.02)),
        qps=dice.choice((10, 10, 10, 10, 5, 2)),
        sweep_every=dice.choice((0.0, 0.0, 0.0, 2.0, 6.0)),
        probe_every=dice.choice((0.5, 1.0, 3.0)),
        staleness=staleness,
        lives=dice.choice(((20.0, 120.0), (60.0, 400.0), (200.0, 4000.0))),
        thresholds=(first, dice.choice(THRESHOLDS)) if changed else (first,),
        calm=calm,
        whole=dice.random() < (0.4 if kinds & {"jump", "api.denied"} else 0.12),
        deeds=_deeds(dice, calm, stale="api.stale" in kinds),
        faults=faults,
    )


def _faults(dice: Random, calm: float) -> tuple[Fault, ...]:
    if dice.random() < 0.08:
        return (Fault(2 + dice.random() * calm / 2, dice.choice(WRONG), dice.choice((8.0, 20.0))),)
    count = dice.choice((0, 1, 2, 4, 8))
    return tuple(sorted((_fault(dice, calm) for _ in range(count)), key=lambda fault: fault.at))


def _fault(dice: Random, calm: float) -> Fault:
    family = dice.random()
    at = dice.random() * calm
    if family < 0.35:
        kind = dice.choice(KAFKA)
    elif family < 0.6:
        kind = dice.choice(API)
    elif family < 0.9:
        kind = dice.choice(PROCESS)
    else:
        kind = dice.choice(RARE)
    length = dice.choice((0.3, 1.0, 3.0, 8.0))
    size = dice.random()
    if kind in ("kafka.away", "api.away"):
        length = dice.choice((0.5, 2.0, 6.0, 18.0))
    elif kind == "jump":
        size = dice.choice((-400.0, -30.0, 20.0, 280.0, 330.0, 4000.0, 40 * 86400.0)) * (0.9 + 0.2 * dice.random())
        length = dice.choice((2.0, 10.0, 30.0))
    elif kind in ("pause", "suspend", "second", "cut"):
        length = dice.choice((0.3, 2.0, 7.0, 20.0, 40.0))
    return Fault(round(at, 3), kind, length, dice.choice((0.05, 0.3, 1.0)), round(size, 3))


def _deeds(dice: Random, calm: float, *, stale: bool) -> tuple[Deed, ...]:
    """Changes of the list. Under replicas that lag, ordinary fields keep still: only first sights, deletions and
    revocations are guarded against them (design: Replicas lag)."""
    count = dice.choice((0, 4, 12, 30))
    kinds = ["issue", "issue", "renew", "revoke", "delete", "delete"]
    # Not both: the judge takes what vanishes and appears for silent only while it was not gone in between.
    returning = dice.random() < 0.6
    kinds.append("return" if returning else "issue")
    if not stale:
        kinds += ["edit", "edit", "prolong", "pem", "edit" if returning else "silent"]
    if dice.random() < 0.15:
        count = dice.choice((60, 120))
        kinds += ["issue", "delete"] * 4
    deeds = [Deed(round(dice.random() * calm, 3), dice.choice(kinds), dice.random()) for _ in range(count)]
    return tuple(sorted(deeds, key=lambda deed: deed.at))
