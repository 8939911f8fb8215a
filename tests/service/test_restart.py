"""Stop, kill, start again: nothing is told twice, nothing is missed, and nobody calls too early."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from certstream.app import build, build_journal
from certstream.core.errors import Fatal
from certstream.core.sharding import shard_of
from certstream.core.sweep import Verdict
from certstream.ports import Held
from certstream.service import group, poller, working
from certstream.service.clock import Clock
from certstream.service.metrics import Metrics
from certstream.service.poller import Poller
from certstream.service.probing import Pace
from certstream.simulator import SimulatorConfig
from tests.service import lies
from tests.service.together import together, together_for
from tests.service.world import World, living

TAKE_OVER = group.TAKE_OVER
"""Before a test made it shorter."""


async def released(world: World) -> bool:
    """What the next owner of the shard would find."""
    journal = build_journal(world.config)
    await journal.start()
    try:
        shard = await journal.open(shard_of("prod", journal.partitions), lambda key, value: None)
        opened = shard.opened
        await shard.close(release=opened.released)
        return opened.released
    finally:
        await journal.close()


@together_for({"an orderly stop": True, "a kill": False})
async def test_changes_made_while_it_was_down_are_told_after_and_nothing_twice(directory: Path, orderly: bool) -> None:
    async with living(directory, certificates=8) as world:
        before = world.simulator.issue()
        await world.event("certificate.new", before)
        await (world.stop() if orderly else world.kill())
        told = len(world.events)
        revoked, renamed, deleted, *_ = world.simulator.identifiers()
        world.simulator.revoke(revoked)
        world.simulator.edit(renamed, Locality="Nanjing")
        world.simulator.delete(deleted)
        issued = world.simulator.issue(days=365)
        gone_already = world.simulator.issue()
        world.simulator.delete(gone_already)
        await world.start(baselined=False)
        await world.event("certificate.new", issued)
        await world.event("certificate.revoked", revoked)
        await world.event("certificate.changed", renamed)
        await world.event("certificate.deleted", deleted)
        await world.sweeps()
        later = [(one["type"].split(".")[2], one["subject"]) for one in world.events[told:]]
        assert sorted(later) == sorted(
            [("new", issued), ("revoked", revoked), ("changed", renamed), ("deleted", deleted)]
        )


@together
async def test_killed_again_and_again_it_tells_everything_once(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=20, rate=8.0, stop_changes_after=4.0)
    async with living(tmp_path, simulator=config, started=False) as world:
        for wait in (0.05, 0.35, 0.1, 0.6):
            await world.start(baselined=False)
            seen = len(world.calls())
            await world.until("it calls", partial(calls_beyond, world, seen))
            await asyncio.sleep(wait)  # a moment that no condition describes is the point
            await world.kill()
        await world.start()
        await world.until("the changes have ended", lambda: time.time() > world.born + 4.2)
        await world.sweeps(3)
        rows = {row.blueprint.identifier for row in world.simulator.population}
        there = {one["subject"]: one["type"].split(".")[2] for one in world.events if "certificate" in one["type"]}
        assert {one for one, kind in there.items() if kind != "deleted"} == rows


@together
async def test_an_orderly_stop_ends_within_ten_seconds_and_releases_the_shard(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        began = time.monotonic()
        assert await world.stop() is True
        assert time.monotonic() - began < 10
        assert await released(world)


@together
async def test_it_stops_in_time_while_the_service_does_not_answer(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=7, faults={"slow": 1.0}, slow_seconds=60)
    async with living(tmp_path, simulator=config, started=False) as world:
        await world.start(baselined=False)
        await world.until("a call is under way", lambda: world.simulator.calls > 0)
        began = time.monotonic()
        await world.stop()
        assert time.monotonic() - began < 10
        assert await released(world)


@together
async def test_after_a_kill_the_shard_is_not_released(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        await world.kill()
        assert not await released(world)


def calls_beyond(world: World, count: int) -> bool:
    return len(world.calls()) > count


def arrivals_after(world: World, moment: float) -> list[float]:
    return [call["arrival"] for call in world.calls() if call["arrival"] > moment]


@together
async def test_after_an_orderly_stop_the_next_one_calls_at_once_after_a_kill_it_waits(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        await world.stop()
        moment = time.time()
        await world.start(baselined=False)
        await world.until("it calls", lambda: arrivals_after(world, moment))
        assert not world.said("take-over")
        await world.kill()
        await world.start(baselined=False)
        held = await world.until_said("take-over")
        assert getattr(held, "seconds") == group.TAKE_OVER  # noqa: B009 - an extra of the record
        await world.until("it calls", lambda: arrivals_after(world, held.created))
        assert arrivals_after(world, held.created)[0] - held.created >= group.TAKE_OVER


@together_for({"stopped": True, "killed": False})
async def test_the_next_one_on_this_host_waits_after_a_kill_with_any_journal(directory: Path, orderly: bool) -> None:
    async with living(directory, sweep_every=0.0) as world:
        await (world.stop() if orderly else world.kill())
        moment = time.time()
        other = build(world.config.model_copy(update={"journal": f"sqlite://{directory}/other.db"}), clock=Clock())
        stop = asyncio.Event()
        running = asyncio.create_task(other.run(stop))
        await world.until("it calls", lambda: arrivals_after(world, moment))
        assert bool(world.said("take-over")) is not orderly
        waited = arrivals_after(world, moment)[0] - moment
        assert orderly or waited >= 0.9 * group.TAKE_OVER
        stop.set()
        await running


def test_a_take_over_waits_for_ownership_deadline_and_a_second() -> None:
    assert group.OWNERSHIP + working.DEADLINE + 1.0 == TAKE_OVER == 11.0


@together
async def test_a_second_process_on_the_same_file_is_refused_and_disturbs_nobody(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        with pytest.raises(Held, match="makes the ten calls a second of access key"):
            await build(world.config, clock=Clock()).run(asyncio.Event())
        unlocked = world.config.model_copy(update={"lock_dir": f"{tmp_path}/another"})
        with pytest.raises(Fatal, match="written by"):
            await build(unlocked, clock=Clock()).run(asyncio.Event())
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)


def _trigger(world: World, text: str) -> None:
    path = world.config.journal_path
    assert path is not None
    other = sqlite3.connect(path, timeout=10)
    other.execute(text)
    other.commit()
    other.close()


@together
async def test_while_the_journal_refuses_every_commit_nobody_is_called_in_a_hurry_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    async with living(tmp_path) as world:
        _trigger(world, "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        issued = world.simulator.issue()
        world.simulator.revoke(world.simulator.identifiers()[0])
        await world.says("journal.doubt")
        assert world.service is not None
        await world.until("it says so", lambda: world.service.status()["journal"]["state"] == "away")  # type: ignore[union-attr]
        _trigger(world, "DROP TRIGGER full")
        await world.event("certificate.new", issued)
        await world.event("certificate.revoked", world.simulator.identifiers()[0])
        await world.sweeps()
        assert world.service.status()["journal"]["state"] == "ok"


@together
async def test_a_journal_that_refuses_every_commit_is_tried_with_pauses(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        await world.start(clock=Clock())
        _trigger(world, "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        world.simulator.issue()
        first = await world.says("journal.doubt")
        await world.until("a second has passed", lambda: time.time() > first.created + 1.0)
        tries = len(world.said("journal.doubt"))
        _trigger(world, "DROP TRIGGER full")
        assert tries < 25, f"{tries} commits were tried within a second"


@together
async def test_a_commit_that_happened_though_it_was_reported_failed_is_not_repeated(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        assert world.service is not None
        journal: Any = world.service.journal
        real, lost = journal._writer.commit, asyncio.Event()

        async def commit(*words: Any) -> Any:
            end = await real(*words)
            if not lost.is_set() and any(put.topic == "events" for put in words[1]):
                lost.set()
                raise sqlite3.OperationalError("disk I/O error")
            return end

        journal._writer.commit = commit
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        await world.until_said("journal.resumed")
        await world.sweeps()
        assert lost.is_set()
        assert world.said("journal.doubt")
        assert len(world.told("certificate.new", issued)) == 1


@together
async def test_once_sweeps_once_tells_what_it_saw_and_ends(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        assert await build(world.config, clock=Clock()).run(asyncio.Event(), once=True) is True
        await world.event("account.baselined")
        assert await released(world)
        gone = world.simulator.identifiers()[0]
        world.simulator.delete(gone)
        issued = world.simulator.issue()
        await asyncio.sleep(0.6)  # what was seen first a moment ago may not be undone before `staleness`
        assert await build(world.config, clock=Clock()).run(asyncio.Event(), once=True) is True
        await world.event("certificate.new", issued)
        await world.event("certificate.deleted", gone)


@together
async def test_once_says_when_no_sweep_was_complete(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=12, started=False) as world:
        world.simulator.intercept = lies.refusing("InternalError", 500, lambda params: params["CurrentPage"] == "2")
        assert await build(world.config, clock=Clock()).run(asyncio.Event(), once=True) is False
        await world.until("page 1 is told", lambda: len(world.told("certificate.discovered")) >= 5)
        assert not world.told("account.baselined")


@together
async def test_it_waits_for_a_journal_that_is_away_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        away = build(world.config.model_copy(update={"journal": "kafka://127.0.0.1:9"}), clock=Clock())
        stop = asyncio.Event()
        running = asyncio.create_task(away.run(stop))
        await world.until_said("journal.away")
        assert away.status()["journal"]["state"] == "away"
        assert not running.done()
        stop.set()
        assert await asyncio.wait_for(running, 10) is True
        assert world.simulator.calls == 0


@pytest.mark.parametrize("steps", range(12))
async def test_an_account_that_is_denied_while_the_service_stops_ends_too(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python 3.11 forgets a cancellation that meets an error in a task group.
    monkeypatch.setattr(poller, "DENIED_PAUSE", 0.0)
    calls = SimpleNamespace(denied=None)
    observer = SimpleNamespace(ledger=SimpleNamespace(name="prod"))
    look_ups = SimpleNamespace(run=asyncio.Event().wait)
    refreshing = confirming = sampling = searching = SimpleNamespace(run=asyncio.Event().wait)
    parts: Any = {"calls": calls, "observer": observer, "look_ups": look_ups, "confirming": confirming}
    parts |= {"refreshing": refreshing, "sampling": sampling, "searching": searching}
    parts |= {"probing": SimpleNamespace(rest=asyncio.sleep), "revoked": searching}
    found = Poller(clock=Clock(), metrics=Metrics(), pace=Pace(5, 1, 1), **parts)

    async def sweep() -> Verdict:
        await asyncio.sleep(0)
        raise Fatal("no permission")

    monkeypatch.setattr(found, "sweep", sweep)
    running = asyncio.create_task(found.run())
    for _ in range(20 + steps):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=0.2)
    ended = running.done()
    while not running.done():
        running.cancel()
        await asyncio.sleep(0)
    assert ended
