"""What is left of a history that was played, for the checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from certstream.service.metrics import Metrics
from tests.simulation.broker import Broker
from tests.simulation.cluster import Cluster
from tests.simulation.loop import Process
from tests.simulation.shape import Plan
from tests.simulation.upstream import Upstream

PREFIX = "certstream."


@dataclass(slots=True)
class Played:
    """What is left of a history, for the checks. Instants in Unix seconds."""

    plan: Plan
    upstream: Upstream
    broker: Broker
    cluster: Cluster
    runs: list[tuple[Process, float]]
    """processes, and when each was started, seconds after the beginning"""
    torn: list[tuple[float, float]]
    calm: float
    settled: float
    """from here on everything runs as if nothing had happened"""
    caught_up: float | None
    wrong: list[str]
    """what was not caught up with"""
    end: float
    problems: list[str] = field(default_factory=list)
    steps: int = 0
    searches: Counter[str] = field(default_factory=Counter)
    """by outcome"""

    @property
    def calls(self) -> int:
        return sum(map(len, self.upstream.calls.values()))

    @property
    def events(self) -> int:
        return sum(record.topic == "events" for record in self.broker.records(PREFIX))


def searches(metrics: Metrics) -> Counter[str]:
    """How many searches for where the list moved one process ended, by outcome."""
    found = Counter[str]()
    for family in metrics.searches.collect():
        for sample in family.samples:
            if sample.name.endswith("_total"):
                found[sample.labels["outcome"]] += int(sample.value)
    return found
