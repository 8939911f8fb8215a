"""The product as `app` builds it, against a simulated list, with a journal in memory, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from certstream.app import build
from certstream.config import Account, Config
from certstream.config import Account as Entry
from certstream.service.clock import Clock
from certstream.service.confirming import NothingToConfirm
from certstream.service.opening import Ownership
from certstream.service.supervisor import Supervisor
from tests.simulation.lies import BLINKING, LIES, REORDERED, SHORT, Lies
from tests.simulation.loop import EPOCH, Loop, Process
from tests.simulation.population import Population
from tests.simulation.upstream import SimulatedSource, Upstream
from tests.simulation.weather import Fault, Weather
from tests.sweeps.memory import Memory
from tests.sweeps.plan import Plan

ACCOUNT = "prod"
LAG = 0.9
"""Of `staleness`: how far replicas lag, at most."""
MANY = 16
"""Certificates of which those that a narrowed permission hides are too many to be believed as gone."""
PATIENCE = 400.0
"""Seconds after which nothing more is expected."""


class World(logging.Handler):
    """See the module. `sweeps`: when each ended, and whether it was complete."""

    def __init__(
        self,
        *,
        seed: int,
        certificates: int,
        order: str,
        account: Account,
        largest: int = 1000,
        latency: float = 0.05,
        faults: Sequence[Fault] = (),
        limit: float = 3600.0,
        commit: float = 0.0,
    ) -> None:
        super().__init__()
        self.loop = loop = Loop(limit=limit)
        dice = Random(f"{seed}/world")
        self.population = Population(loop, order=order, dice=dice, lives=(1e6, 2e6))  # type: ignore[arg-type]
        self.population.settle(certificates, 0)
        self.weather = Weather(loop, Random(f"{seed}/weather"), tuple(faults))
        self.lag = account.staleness * LAG
        self.upstream = Upstream(
            loop, {ACCOUNT: self.population}, self.weather, dice, latency, largest=largest, lag=self.lag
        )
        self.lies = Lies(loop, self.upstream, self.population)
        self.journal = Memory(latency=commit)
        self.sweeps: list[tuple[float, bool]] = []
        self.vouched: list[tuple[float, float]] = []
        """when a sweep ended, and since when then nothing was unseen (`observedthrough`)"""
        self.stop = asyncio.Event()
        self._clock = Clock(loop.time, self._boot, self._wall, Random(f"{seed}/product"))
        self._config = Config(journal="sqlite:///nowhere", accounts=(account,))
        self._process = Process("certstream")
        self._killed = False
        self.service = self._build()

    def _build(self) -> Supervisor:
        return build(self._config, clock=self._clock, journal=self.journal, source=self._source)

    def kill(self) -> None:
        """`kill -9`."""
        self.loop.kill(self._process)
        self._killed = True

    def start(self) -> None:
        """Start it again."""
        self._process = Process("certstream")
        self.service = self._build()
        self._serving = self.loop.belonging(self._process, self.service.run(self.stop))

    def _boot(self) -> float:
        return 1000.0 + self.loop.now

    def _wall(self) -> int:
        return round((EPOCH + self.loop.now) * 1000)

    def _source(self, account: Entry, ownership: Ownership) -> SimulatedSource:
        return SimulatedSource(self.upstream, account.name, ownership, self._wall)

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg in ("sweep.complete", "sweep.incomplete"):
            self.sweeps.append((self.loop.now, record.msg == "sweep.complete"))
            head = self.service.entries[0].ledger.head
            if head is not None and head.observed is not None:
                self.vouched.append((self.loop.now, head.observed / 1000 - EPOCH))

    def complete(self, since: float) -> int:
        """Complete sweeps that ended after `since`."""
        return sum(whole and at > since for at, whole in self.sweeps)

    def state(self) -> str | None:
        """Why the account is suspect; None where it is not."""
        head = self.service.entries[0].ledger.head
        return head.suspect if head is not None else None

    def confirm(self) -> None:
        """An operator confirms, where there is something to confirm."""
        with suppress(NothingToConfirm):
            self.service.confirm(ACCOUNT, "olga", "they are gone")

    def strike(self, fault: Fault) -> None:
        """Begin what a fault does to the service as a whole."""
        if fault.kind == "hide.many" and len(self.population.present) < MANY:
            return  # of a few, so many may go at once (design: Mass disappearance)
        if fault.kind in (*LIES, REORDERED, BLINKING, SHORT):
            self.lies.strike(fault)

    def run(self, story: asyncio.Future[None] | object) -> None:
        """Until `story`, a coroutine, is over."""
        log = logging.getLogger("certstream")
        level, propagates = log.level, log.propagate
        log.addHandler(self)
        log.setLevel(logging.INFO)
        log.propagate = False
        try:
            self.loop.run(self._run(story))
        finally:
            log.removeHandler(self)
            log.setLevel(level)
            log.propagate = propagates
            self._close()

    def _close(self) -> None:
        """What a killed process would have awaited is thrown away, and says so."""
        unraisable, sys.unraisablehook = sys.unraisablehook, lambda *_: None
        self.loop.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            if self._killed:
                gc.collect()
        sys.unraisablehook = unraisable

    async def _run(self, story: object) -> None:
        self._serving = self.loop.belonging(self._process, self.service.run(self.stop))
        try:
            await story  # type: ignore[misc]
        finally:
            self.stop.set()
            await self._serving


def world_of(plan: Plan) -> World:
    """The world of a plan, before anything happens."""
    return World(
        seed=plan.seed,
        certificates=plan.certificates,
        order=plan.order,
        largest=plan.largest,
        latency=plan.latency,
        faults=plan.faults,
        account=Account(
            name=ACCOUNT,
            endpoint="http://127.0.0.1:1",
            page_size=plan.page_size,
            sweep_every=plan.sweep_every,
            probe_every=1.0,
            staleness=plan.staleness,
        ),
    )
