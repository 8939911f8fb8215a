"""The plan that a seed stands for."""

from __future__ import annotations

from random import Random

import msgspec

from tests.simulation.population import Deed
from tests.simulation.scenarios import hostile_list, searched, staged
from tests.simulation.shape import THRESHOLDS, Plan
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
RARE = ("api.denied", "api.denied", "compact", "unsteady", "state.foreign")


EACH = 10
"""Of so many seeds one is a history of a hostile list, and one of a list that is searched."""


def draw(seed: int) -> Plan:
    """The plan of a seed: some at random, most a scenario in random surroundings."""
    dice = Random(f"{seed}/plan")
    plan = _any(seed, dice)
    if seed % EACH == 0:
        return msgspec.structs.replace(plan, **hostile_list(plan, dice))
    if seed % EACH == EACH // 2:
        return msgspec.structs.replace(plan, **searched(plan, dice))
    return staged(plan, dice) if dice.random() < 0.6 else plan


def _any(seed: int, dice: Random) -> Plan:
    page_size = dice.choice((1, 2, 3, 5, 10, 100))
    certificates = min(dice.choice((0, 1, 3, 8, 20, 40)), page_size * 20)
    latency = dice.choice((0.02, 0.05, 0.05, 0.1, 0.3))
    qps = dice.choice((10, 10, 10, 10, 5, 2))
    sweep_every = dice.choice((0.0, 0.0, 0.0, 2.0, 6.0))
    probe_every = dice.choice((0.5, 1.0, 3.0))
    rate = qps / (1.001 + latency)
    if sweep_every:
        rate = min(rate, (1 + certificates / page_size) / sweep_every + 1 / probe_every)
    # 200 to 2,000 calls, most near the lower end; the quiet tail, and what is not to be planned, add to it.
    calm = min(240.0, max(12.0, round(150 * 10 ** (dice.random() ** 8) / rate, 1)))
    faults = _faults(dice, calm)
    kinds = {fault.kind for fault in faults}
    first = dice.choice(THRESHOLDS)
    changed = dice.random() < 0.2
    accounts = dice.choice((1, 1, 1, 1, 2, 3))
    return Plan(
        seed=seed,
        accounts=accounts,
        certificates=certificates,
        sick=dice.choice((0, 0, 0, 1, 2)),
        page_size=page_size,
        largest=page_size if dice.random() < 0.9 else max(1, page_size // 2),
        order=dice.choice(("newest", "oldest", "identifier")),
        latency=latency,
        broker_latency=dice.choice((0.002, 0.005, 0.02)),
        qps=qps,
        sweep_every=sweep_every,
        probe_every=probe_every,
        staleness=dice.choice((2.0, 5.0, 8.0)),
        lives=dice.choice(((20.0, 120.0), (60.0, 400.0), (200.0, 4000.0))),
        thresholds=(first, dice.choice(THRESHOLDS)) if changed else (first,),
        calm=calm,
        whole=dice.random() < (0.3 if "api.denied" in kinds else 0.06),
        deeds=deeds(dice, calm, accounts, stale="api.stale" in kinds),
        faults=faults,
    )


def _faults(dice: Random, calm: float) -> tuple[Fault, ...]:
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
    elif kind == "unsteady":
        length = dice.choice((3.0, 8.0, 20.0))
    elif kind == "jump":
        size = dice.choice((-400.0, -30.0, 20.0, 280.0, 330.0, 4000.0, 40 * 86400.0)) * (0.9 + 0.2 * dice.random())
        length = dice.choice((2.0, 10.0, 30.0))
    elif kind in ("pause", "suspend", "second", "cut"):
        length = dice.choice((0.3, 2.0, 7.0, 20.0, 40.0))
    return Fault(round(at, 3), kind, length, dice.choice((0.05, 0.3, 1.0)), round(size, 3))


def deeds(dice: Random, calm: float, accounts: int, *, stale: bool) -> tuple[Deed, ...]:
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
    found = [
        Deed(round(dice.random() * calm, 3), dice.choice(kinds), dice.random(), int(dice.random() ** 2 * accounts))
        for _ in range(count)
    ]
    return tuple(sorted(found, key=lambda deed: deed.at))
