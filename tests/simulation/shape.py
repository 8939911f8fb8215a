"""What a plan is: drawn once, it can be printed, cut down and played again."""

from __future__ import annotations

import msgspec

from tests.simulation.population import Deed, Order
from tests.simulation.weather import Fault

THRESHOLDS = (("40s", "15s"), ("60s", "25%", "8s"), ("30s",), ("50%", "20s", "5s"))


class Plan(msgspec.Struct, frozen=True):
    """One history. Times in seconds from its beginning; the chaos ends at `calm`, the quiet tail begins.

    `whole`: the tail lasts long enough to demand everything that stood for a minute, and to measure progress.
    """

    seed: int
    accounts: int
    """of one user, in one shard, with one budget; what follows is about the first, the others are smaller"""
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
    revocations: str = "allowed"
    """what the list of the revoked is like: see `tests.simulation.revoked`"""
