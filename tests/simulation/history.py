"""Plays one plan: the product as `app` builds it, killed, paused and started again, until the quiet tail has ended."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from certstream.app import build, kafka_config
from certstream.config import Account, Config
from certstream.core.errors import Fatal
from certstream.core.times import thresholds as parsed
from certstream.journal.kafka import KafkaJournal
from certstream.ports import Fenced
from certstream.service.clock import Clock
from certstream.service.opening import Ownership
from certstream.service.supervisor import Supervisor
from tests.simulation.broker import COMMITTED, Broker
from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.inventory import Present
from tests.simulation.kafka import clients
from tests.simulation.loop import EPOCH, Loop, Process, Stuck
from tests.simulation.played import PREFIX, Played, searches
from tests.simulation.population import Population
from tests.simulation.shape import Plan
from tests.simulation.upstream import SimulatedSource, Upstream
from tests.simulation.weather import Weather

PARTITIONS = 4
NAMES = ("prod", "beta", "gamma")
"""Accounts; the first one's name is the budget of all."""
BUSY = 150.0
"""Seconds of the tail after which the product should have caught up with everything."""
STAYS = 8.0
"""Seconds for which it must stay right."""
STOPS = 45.0
"""Seconds that a stop may take: one that is just opening the journal opens it first."""
GRACE, LONG_GRACE = 35.0, 75.0
"""Seconds of the tail after which it should run as if nothing had happened; after a refusal it rests for a minute, and
brokers that do not answer are waited for as long as they may take."""
SLOW_TO_END = ("api.denied", "cut", "kafka.")
WHOLE = 66.0
"""Seconds that a whole tail goes on after that."""
CALLS = 200
"""A history is not over before so many; but for one that may not call."""
PATIENT = 600.0
"""Seconds that it waits for them."""
BELIEVED = 300.0
"""Seconds by which a clock may be wrong and still be believed (design)."""
RELAPSE = 12.0
"""Seconds for which something may be wrong in the tail: a threshold, told at the next beat."""


@dataclass(slots=True, eq=False)
class Run:
    """One process of the product."""

    process: Process
    supervisor: Supervisor
    stop: asyncio.Event
    began: float
    task: asyncio.Task[Any] | None = None
    ended: str | None = None


class History:
    """See the module. `play` once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        grace = LONG_GRACE if any(fault.kind.startswith(SLOW_TO_END) for fault in plan.faults) else GRACE
        self.settled = plan.calm + grace
        self.loop = loop = Loop(limit=plan.calm + BUSY + grace + WHOLE + PATIENT + 60)
        self.weather = Weather(loop, self._dice("weather"), plan.faults)
        self.populations = {
            name: Population(loop, order=plan.order, dice=self._dice(f"population {name}"), lives=plan.lives)
            for name in NAMES[: plan.accounts]
        }
        self.population = self.populations[NAMES[0]]
        self.upstream = Upstream(
            loop,
            self.populations,
            self.weather,
            self._dice("upstream"),
            plan.latency,
            largest=plan.largest,
            lag=plan.staleness * 0.9,
        )
        self._faults = Faults(self)
        self.broker = Broker(loop, partitions=PARTITIONS, dice=self._dice("broker"))
        self.cluster = Cluster(
            loop, self.broker, self.weather, self._dice("cluster"), PREFIX, plan.broker_latency, self._faults.on_end
        )
        ahead = min(max([0.0, *(fault.size for fault in plan.faults if fault.kind == "jump")]), BELIEVED)
        self.present = [Present(self.broker, name, one, PREFIX, ahead=ahead) for name, one in self.populations.items()]
        self.torn: list[tuple[float, float]] = []
        """from when until when `state` held a row that no history of ours can have left"""
        self.runs: list[Run] = []
        self.problems: list[str] = []
        self.wrong: list[str] = []
        self.offsets = [0.0, 0.0]
        self._baselined = False
        self._started = 0
        self._over = False

    def _dice(self, name: str) -> Random:
        return Random(f"{self.plan.seed}/{name}")

    def play(self) -> Played:
        """All of it."""
        quiet = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        unraisable, sys.unraisablehook = sys.unraisablehook, lambda *_: None
        caught_up: float | None = None
        try:
            caught_up = self.loop.run(self._play())
        except Stuck as stuck:
            self.problems.append(str(stuck))
        finally:
            played = self._played(caught_up)
            self.loop.close()
            self.runs.clear()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # what a killed process would have awaited
                gc.collect()
            sys.unraisablehook = unraisable
            logging.disable(quiet)
        return played

    def _played(self, caught_up: float | None) -> Played:
        end = EPOCH + self.loop.now
        steps = sum(run.process.steps for run in self.runs)
        problems = self.problems + self.loop.failures
        calm = EPOCH + self.plan.calm
        wrong = [] if caught_up is not None else self.wrong or ["the history did not end"]
        return Played(
            plan=self.plan,
            upstream=self.upstream,
            broker=self.broker,
            cluster=self.cluster,
            runs=[(run.process, run.began) for run in self.runs],
            torn=self.torn,
            calm=calm,
            settled=EPOCH + self.settled,
            caught_up=caught_up,
            wrong=wrong,
            end=end,
            problems=problems,
            steps=steps,
            searches=sum((searches(run.supervisor.metrics) for run in self.runs), Counter[str]()),
        )

    async def _play(self) -> float | None:
        populations = list(self.populations.values())
        for number, population in enumerate(populations):
            population.settle(-(-self.plan.certificates // (1 + 2 * number)), self.plan.sick if number == 0 else 0)
        for deed in self.plan.deeds:
            self.loop.outside(deed.at, populations[deed.account % len(populations)].happen, deed)
        for fault in self.plan.faults:
            self.loop.outside(fault.at, self._faults.strike, fault)
        self.start()
        keeper = asyncio.ensure_future(self._look_after())
        await asyncio.sleep(self.plan.calm)
        self._faults.calm()
        caught_up = await self._catch_up()
        if caught_up is not None and not await self._stay():
            caught_up = None
        self._over = True
        await keeper
        await self._finish()
        return caught_up

    async def _catch_up(self) -> float | None:
        """Until what was published is what is true: seconds since the calm, None where it never is."""
        begin = since = self.loop.now
        while self.loop.now - begin < BUSY:
            await asyncio.sleep(1.0)
            if self._wrong():
                since = self.loop.now
            elif self.loop.now - since >= STAYS:
                return since - begin
        self.wrong = self._wrong()
        return None

    async def _stay(self) -> bool:
        """Through the rest of the tail, in which nothing but the time changes: what is right stays right."""
        since = self.loop.now
        while (self.plan.whole and self.loop.now < self.settled + WHOLE) or self._calls() < CALLS:
            await asyncio.sleep(1.0)
            wrong = self._wrong()
            if not wrong or self.loop.now < self.settled:
                since = self.loop.now
            elif self.loop.now - since >= RELAPSE:
                self.wrong = wrong
                return False
            if self.loop.now > self.settled + WHOLE + PATIENT:
                break
        return True

    def _calls(self) -> int:
        return sum(map(len, self.upstream.calls.values()))

    def _wrong(self) -> list[str]:
        texts = self.plan.thresholds
        if not self.baselined():
            return ["no baseline"]
        return [wrong for one in self.present for wrong in one.wrong(texts[-1] if len(texts) == 1 else None)]

    def baselined(self) -> bool:
        """All of the accounts are."""
        if not self._baselined:
            found = sum(
                entry.state == COMMITTED and b"account.baselined" in (entry.message[1] or b"")
                for (topic, _), log in self.broker.logs()
                if topic == f"{PREFIX}events"
                for entry in log.entries
            )
            self._baselined = found >= self.plan.accounts
        return self._baselined

    async def _finish(self) -> None:
        """Stop in order, or not at all."""
        for run in self.living():
            if self.plan.seed % 2:
                run.stop.set()
            else:
                self.loop.kill(run.process)
        for _ in range(int(STOPS)):
            if self.living():
                await asyncio.sleep(1.0)
        for run in self.living():
            self.problems.append(f"{run.process.name} did not stop within {STOPS:g} s")

    # --- Processes ---------------------------------------------------------------------------------------------------

    def living(self) -> list[Run]:
        return [run for run in self.runs if run.process.alive and run.ended is None]

    def start(self) -> None:
        """Start the product on the host whose turn it is."""
        number = self._started
        self._started += 1
        process = Process(f"run {number + 1}", host=number % 2)
        stop = asyncio.Event()
        run = Run(process, self._build(process, number), stop, self.loop.now)
        self.runs.append(run)
        run.task = self.loop.belonging(process, self._serve(run))

    def _build(self, process: Process, number: int) -> Supervisor:
        plan = self.plan

        def boot() -> float:
            return 1000.0 + self.loop.now

        def wall() -> int:
            return round((EPOCH + self.loop.now + self.offsets[process.host]) * 1000)

        def source(account: Account, ownership: Ownership) -> SimulatedSource:
            return SimulatedSource(self.upstream, account.name, ownership, wall)

        accounts = tuple(
            Account(
                name=name,
                budget=NAMES[0],
                endpoint="http://127.0.0.1:1",
                qps=plan.qps,
                page_size=plan.page_size,
                sweep_every=plan.sweep_every,
                probe_every=plan.probe_every,
                staleness=plan.staleness,
            )
            for name in self.populations
        )
        texts = plan.thresholds[min(number, len(plan.thresholds) - 1)]
        config = Config(journal="kafka://sim:9092", thresholds=parsed(texts), accounts=accounts)
        clock = Clock(monotonic=self.loop.time, boot=boot, wall=wall, random=Random(f"{plan.seed}/{process.name}"))
        kafka = replace(kafka_config(config), clients=clients(self.cluster), instance=process.name)
        journal = KafkaJournal(kafka, clock=boot)
        return build(config, clock=clock, journal=journal, source=source)

    async def _serve(self, run: Run) -> None:
        try:
            await run.supervisor.run(run.stop)
            run.ended = "stopped"
        except Fenced as fenced:
            run.ended = str(fenced)
        except Fatal as refused:
            run.ended = str(refused)
            if not self.torn or "the topic `state`" not in run.ended:
                self.problems.append(f"{run.process.name} refused: {refused}")
        except Exception as error:
            run.ended = repr(error)
            self.problems.append(f"{run.process.name} ended with {error!r}")

    async def _look_after(self) -> None:
        """Whatever has ended, or was killed, is started again."""
        dice = self._dice("restarts")
        while not self._over:
            await asyncio.sleep(0.1 + 2.0 * dice.random() ** 2)
            if not self.living() and not self._over:
                self.start()
