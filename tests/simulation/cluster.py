"""The way to the simulated brokers: what becomes of a request before, while and after it is applied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiokafka.errors import KafkaConnectionError, KafkaError

from tests.simulation.broker import Broker
from tests.simulation.loop import PROCESS, Loop, Process
from tests.simulation.weather import Weather

ON_WRITE = ("kafka.error", "kafka.ambiguous", "kafka.lost", "kafka.unanswered", "kafka.slow")
NOT_DELIVERED = "Unexpected error during batch delivery"


@dataclass(slots=True)
class Cluster:
    """The way to the broker. `latency`: seconds there and back. `on_end` is told "sent" and "applied" of a commit."""

    loop: Loop
    broker: Broker
    weather: Weather
    dice: Random
    prefix: str
    latency: float
    on_end: Callable[[str], None] = lambda moment: None
    cut: dict[Process, float] = field(default_factory=dict)
    """processes that cannot reach the brokers, and until when"""
    proofs: dict[Process, list[float]] = field(default_factory=dict)
    """when each transaction of a process began that was committed: what its calls rest on"""
    releases: dict[Process, float] = field(default_factory=dict)
    """when a process began to write that it has released a shard"""

    def freeze(self, frozen: bool) -> None:
        """A leader that slept serves the end that it knew; or does no more."""
        for _, log in self.broker.logs():
            log.frozen = log.stable() if frozen else None

    def away(self) -> float:
        """Seconds until the caller reaches the brokers again; 0: it does."""
        process = PROCESS.get()
        left = self.cut[process] - self.loop.now if process in self.cut and not self.weather.calm else 0.0
        return max(0.0, left, self.weather.left("kafka.away"))

    async def reach(self) -> None:
        """Connect. Raises KafkaConnectionError while the brokers are away, or hangs."""
        if self.away() > 0:
            if self.dice.random() < 0.2:
                await asyncio.sleep(60)
            raise KafkaConnectionError("Unable to bootstrap from [('sim', 9092)]")
        await asyncio.sleep(self.latency * (0.5 + self.dice.random()))

    def request(self, apply: Callable[[], Any], *, not_before: float = 0.0) -> tuple[asyncio.Future[Any], float]:
        """Send a request that writes. Gives the answer to be awaited, and when the request arrives."""
        fate = self.weather.first(ON_WRITE)
        out = self.latency * (0.2 + 0.6 * self.dice.random()) + self.away()
        if fate == "kafka.slow":
            out += self.dice.choice((0.3, 1.0, 4.0, 9.0, 14.0, 20.0)) * self.dice.random()
        arrival = max(self.loop.now + out, not_before)
        answer: asyncio.Future[Any] = self.loop.create_future()
        self.loop.outside(arrival - self.loop.now, self._arrive, apply, fate, answer)
        return answer, arrival

    def _arrive(self, apply: Callable[[], Any], fate: str | None, answer: asyncio.Future[Any]) -> None:
        back = self.latency * (0.2 + 0.6 * self.dice.random())
        result: Any = None
        error: KafkaError | None = None
        if fate in ("kafka.error", "kafka.lost"):
            error = KafkaError(NOT_DELIVERED)
        else:
            try:
                result = apply()
            except KafkaError as refused:
                error = refused
        if fate == "kafka.ambiguous" and error is None:
            error = KafkaError(NOT_DELIVERED)
        if fate not in ("kafka.lost", "kafka.unanswered"):
            self.loop.outside(back, _settle, answer, result, error)


def _settle(answer: asyncio.Future[Any], result: Any, error: KafkaError | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
