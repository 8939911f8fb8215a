"""Never more than ten in a second, and yet fast. (Every test of the service looks at the arrivals at its end.)"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from certstream.core.answers import Answer, Page
from certstream.core.errors import Throttled
from certstream.service import poller
from certstream.service.budget import Budget, Share, Urgency
from certstream.service.clock import Clock
from certstream.simulator import SimulatorConfig
from certstream.simulator.quota import Quota
from tests.service import lies
from tests.service.together import together
from tests.service.world import living
from tests.simulation.loop import Loop


@together
async def test_pages_are_fetched_concurrently_where_the_round_trip_is_long(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=75, latency=0.3)
    async with living(tmp_path, simulator=config, page_size=5) as world:
        calls = sorted((call["arrival"], call["answered"]) for call in world.calls()[:16])
        together_ = [sum(begin < moment < end for begin, end in calls) for moment, _ in calls[3:]]
        assert max(together_) >= 2
        assert sum(together_) / len(together_) >= 1.2, "a serial reader has none under way when it asks"


@together
async def test_a_sweep_without_pauses_never_exceeds_the_budget(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=60, latency=0.02, jitter=0.05)
    async with living(tmp_path, simulator=config, page_size=5, sweep_every=0.0, probe_every=60.0) as world:
        await world.sweeps(3)
        assert world.pace(10) == []


async def test_a_long_sweep_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "PROGRESS", 0.0)
    async with living(tmp_path, certificates=10, page_size=2) as world:
        told = [vars(line) for line in world.lines.records if line.getMessage() == "sweep.progress"]
        assert {"account": "prod", "pages": 5, "of": 5}.items() <= told[4].items()


@together
async def test_lowering_qps_leaves_room_for_others(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=10, page_size=2, qps=3) as world:
        await world.sweeps(1)
        assert world.pace(3) == []


@together
async def test_jitter_and_faults_never_bring_an_eleventh_call(tmp_path: Path) -> None:
    config = SimulatorConfig(
        certificates=40,
        latency=0.05,
        jitter=0.25,
        faults={"reset": 0.1, "truncated": 0.1, "unavailable": 0.1, "html": 0.1},
    )
    async with living(tmp_path, simulator=config, page_size=5, sweep_every=0.0, started=False) as world:
        await world.start()
        for _ in range(3):
            world.simulator.delete(world.simulator.identifiers()[0])
        await world.event("certificate.deleted", count=3)


@pytest.mark.parametrize("told_when", [True, False])
def test_two_processes_of_one_user_share_its_calls_and_both_make_progress(told_when: bool) -> None:
    loop, quota = Loop(), Quota(10)
    good, throttled = [0, 0], [0, 0]

    async def call(number: int) -> Answer:
        sent = loop.time()
        await asyncio.sleep(0.025)
        wait = quota.arrive("1", loop.time())
        await asyncio.sleep(0.025)
        if wait is not None:
            throttled[number] += 1
            raise Throttled("Throttling.User", retry_after=wait / 1000 if told_when else None)
        good[number] += 1
        page = Page(records=[], total=0, number=1, size=10, request_id=None)
        return Answer(page=page, sent=sent, received=loop.time(), sent_at=0, received_at=0, date=None)

    async def reader(number: int, budget: Budget) -> None:
        while True:
            with suppress(Throttled):
                await budget.call(Urgency.SWEEP, partial(call, number))

    async def both() -> None:
        clocks = [Clock(monotonic=loop.time, random=random.Random(number)) for number in range(2)]
        budgets = [Budget(10, clock=clock) for clock in clocks]
        readers = [asyncio.create_task(reader(n, budget)) for n, budget in enumerate(budgets) for _ in range(10)]
        await asyncio.sleep(60)
        assert all(budget.contested() for budget in budgets)
        assert min(good) > 200, "of 300 each at most"
        assert sum(throttled) < 0.1 * sum(good)
        for one in readers[10:]:
            one.cancel()
        before = good[0]
        await asyncio.sleep(60)
        assert good[0] - before > 480, "alone again, it soon has all of them"
        assert not budgets[0].contested()
        for one in readers:
            one.cancel()

    loop.run_until_complete(loop.create_task(both()))
    assert not loop.failures
    loop.close()


async def test_one_throttle_answer_is_no_contest() -> None:
    now = [100.0]
    share = Share(10, clock=Clock(monotonic=lambda: now[0]))
    share.cut(100.5)
    share.cut(100.5)
    assert 1 / share.gap() == pytest.approx(7.0), "calls that were under way together cut once"
    assert not share.contested()
    now[0] += 2
    share.cut(102.5)
    assert share.contested()
    now[0] += 30
    assert share.gap() == 0.0
    assert not share.contested()


@together
async def test_an_account_whose_user_is_spent_by_others_is_throttled_also_before_its_baseline(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=60, started=False, page_size=1, paced=False) as world:
        world.simulator.intercept = lies.refusing("Throttling.User", 400, lambda _: True, **{"x-acs-retry-after": "50"})
        await world.start(baselined=False)
        throttled = await world.health("throttled")
        assert "somebody else" in throttled["reason"]
        before = len(world.calls())
        await asyncio.sleep(3)
        assert len(world.calls()) - before <= 12
        world.simulator.intercept = None
        await world.event("certificate.discovered")
