"""No account slows another: as many calls, as evenly, beside four that are in trouble as alone. In virtual time."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from random import Random
from typing import Any

from certstream.app import build
from certstream.config import Account, Config
from certstream.core.answers import Answer, Denied, Garbled
from certstream.core.errors import CertstreamError, Throttled
from certstream.service.clock import Clock
from certstream.service.opening import Ownership
from tests.simulation.loop import EPOCH, Loop, Process
from tests.simulation.population import Population
from tests.simulation.upstream import SimulatedSource, Upstream
from tests.simulation.weather import Weather
from tests.sweeps.memory import Memory

MINUTES = 180.0
WELL = "well"
TROUBLED: dict[str, CertstreamError | int] = {
    "denied": Denied("Forbidden.RAM"),
    "throttled": Throttled("Throttling.User", retry_after=None),
    "garbage": Garbled("a page of HTML"),
    "many": 3_000,
}
"""What each answers, always; or how many certificates it has."""


@dataclass(slots=True)
class _Refusing:
    """A user of whom every call goes wrong."""

    error: CertstreamError
    user: str

    async def list(self, **_: Any) -> Answer:
        await asyncio.sleep(0.05)
        raise self.error

    async def revoked(self, **_: Any) -> Answer:
        raise self.error

    async def uid(self) -> str | None:
        return self.user

    async def close(self) -> None: ...


class _Of(SimulatedSource):
    async def uid(self) -> str | None:
        return self.account


def calls(*names: str) -> dict[str, list[float]]:
    """When each account's calls arrived, three minutes long."""
    loop = Loop(limit=2 * MINUTES)
    upstreams: dict[str, Upstream] = {}

    def wall() -> int:
        return round((EPOCH + loop.now) * 1000)

    def source(account: Account, ownership: Ownership) -> Any:
        what = TROUBLED.get(account.name, 40)
        if not isinstance(what, int):
            return _Refusing(what, account.name)
        dice = Random(account.name)
        population = Population(loop, order="newest", dice=dice, lives=(1e6, 2e6))
        population.settle(what, 0)
        upstream = Upstream(loop, {account.name: population}, Weather(loop, dice, ()), dice, 0.05)
        upstreams[account.name] = upstream
        return _Of(upstream, account.name, ownership, wall)

    accounts = tuple(
        Account(name=name, endpoint="http://127.0.0.1:1", page_size=10, sweep_every=20.0, probe_every=1.0)
        for name in names
    )
    clock = Clock(loop.time, lambda: 1000.0 + loop.now, wall, Random(1))
    service = build(
        Config(journal="sqlite:///nowhere", accounts=accounts), clock=clock, journal=Memory(), source=source
    )

    async def story() -> None:
        stop = asyncio.Event()
        serving = loop.belonging(Process("certstream"), service.run(stop))
        await asyncio.sleep(MINUTES)
        stop.set()
        await serving

    try:
        loop.run(story())
    finally:
        loop.close()
    return {
        name: [one.arrival_mono for one in upstream.calls.get(name, ()) if one.arrival_mono < MINUTES]
        for name, upstream in upstreams.items()
    }


def test_who_is_well_calls_as_often_beside_four_in_trouble_as_alone() -> None:
    alone = calls(WELL)[WELL]
    together = calls(WELL, *TROUBLED)
    beside = together[WELL]
    assert len(alone) > MINUTES
    assert len(together["many"]) > 8 * MINUTES, "it sweeps as fast as it may"
    assert abs(len(beside) - len(alone)) <= len(alone) / 100
    for gaps in (alone, beside):
        assert max(later - earlier for earlier, later in itertools.pairwise(gaps)) < 2.0
