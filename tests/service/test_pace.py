"""Never more than ten in a second, and yet fast. (Every test of the service looks at the arrivals at its end.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from certstream.service import poller
from certstream.simulator import SimulatorConfig
from tests.service.together import together
from tests.service.world import living


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
