"""What an adversary once found in the service, and what must not come back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest
from aiohttp import web

from certstream.app import build
from certstream.config import Account, Config
from certstream.core.answers import Answer, Page
from certstream.core.draft import Draft
from certstream.core.errors import Transient
from certstream.core.ledger import Ledger
from certstream.core.wire import EVENTS, Put
from certstream.journal.ownership import OWNED_SECONDS, boot_time
from certstream.ports import Fenced
from certstream.service import expiry, group
from certstream.service.budget import Budget
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.doubts import Doubts
from certstream.service.metrics import Metrics
from certstream.service.observing import OLD, Observer
from certstream.service.writer import Writer
from certstream.simulator import SimulatorConfig
from tests.core import world as core
from tests.journal.places import SqlitePlace
from tests.journal.reading import opened
from tests.service import lies
from tests.service.together import together, together_for
from tests.service.world import World, _Calm, living

T = TypeVar("T")

LIE = 1_000_000_000
YEARS_MS = 20 * 365 * core.DAY


@dataclass
class Time:
    """A monotonic clock of our own."""

    now: float = 1000.0

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now)


def identifiers(world: World) -> list[str]:
    """Newest first."""
    return [identifier for identifier, _ in lies.rows(world.simulator)]


def pages(world: World) -> list[int]:
    """The numbers of the pages that were asked for."""
    return [int(call["params"]["CurrentPage"]) for call in world.calls() if "Identifier" not in call["params"]]


def observed(world: World) -> int:
    """`observedthrough`, Unix milliseconds."""
    assert world.service is not None
    moment = world.service.status()["accounts"]["prod"]["observedthrough"]
    assert isinstance(moment, int)
    return moment


def holding(world: World, times: int) -> bool:
    """Whether so many services held for the one before."""
    return len(world.said("take-over")) == times


# --- Totals that lie -------------------------------------------------------------------------------------------------


@together
async def test_a_probe_whose_total_lies_neither_stalls_nor_walks(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=12, sweep_every=30.0) as world:
        lied: list[bool] = []

        def lie(params: dict[str, str]) -> web.Response | None:
            if "Identifier" in params or params["CurrentPage"] != "1" or lied:
                return None
            lied.append(True)
            return lies.page(params, lies.rows(world.simulator), TotalCount=LIE)

        world.simulator.intercept = lie
        await world.sweeps(1)
        assert lied
        issued, gone = world.simulator.issue(), identifiers(world)[-1]
        await world.event("certificate.new", issued)
        world.simulator.delete(gone)
        await world.event("certificate.deleted", gone)
        assert [page for page in pages(world) if page > 20] == [LIE // 5], "it looked there once, then turned back"


@together
async def test_a_page_in_the_middle_of_a_backward_sweep_whose_total_lies_neither_stalls_nor_walks(
    tmp_path: Path,
) -> None:
    async with living(tmp_path, certificates=12, probe_every=30.0) as world:
        lied: list[bool] = []
        before = [0]

        def lie(params: dict[str, str]) -> web.Response | None:
            if "Identifier" in params:
                return None
            last, before[0] = before[0], int(params["CurrentPage"])
            if lied or (last, before[0]) != (3, 2):
                return None
            lied.append(True)
            return lies.page(params, lies.rows(world.simulator), TotalCount=LIE)

        world.simulator.intercept = lie
        await world.until("it lied", lambda: lied)
        issued, gone = world.simulator.issue(), identifiers(world)[-1]
        world.simulator.delete(gone)
        await world.event("certificate.new", issued)
        await world.event("certificate.deleted", gone)
        await world.sweeps()
        assert max(pages(world)) < 20


# --- Look-ups that are refused ---------------------------------------------------------------------------------------


@together
async def test_a_policy_for_one_resource_group_does_not_keep_deletions_back(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=12, resource_groups=("rg-a",))
    async with living(tmp_path, simulator=config, resource_group="rg-a") as world:
        world.simulator.intercept = lies.refusing("Forbidden.RAM", 403, lambda params: "ResourceGroupId" not in params)
        gone = identifiers(world)[0]
        world.simulator.delete(gone)
        told = await world.event("certificate.deleted", gone)
        assert told["data"]["reason"] == "gone"
        await world.sweeps()
        assert not world.said("account.denied")


@together
async def test_a_look_up_that_is_refused_for_its_identifier_stops_nothing_else(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=12) as world:
        victim, *_, gone = identifiers(world)

        def lie(params: dict[str, str]) -> web.Response | None:
            if params.get("Identifier") == victim:
                error = {"Code": "InvalidParameter", "Message": "Identifier", "RequestId": "R"}
                return web.json_response(error, status=400)
            if "Identifier" in params:
                return None
            rows = lies.rows(world.simulator)
            return lies.page(params, [rows[0], (victim, lies.edited(rows[0][1], CommonName="other")), *rows[1:]])

        world.simulator.intercept = lie
        await world.until("it was looked up", lambda: world.look_ups(victim))
        world.simulator.delete(gone)
        await world.event("certificate.deleted", gone)
        await world.sweeps()
        assert not world.said("account.denied")
        assert not world.said("account.failed")


async def test_a_look_up_that_brings_nothing_is_tried_later_and_later_until_one_brings_something() -> None:
    own = Time()
    doubts = Doubts(own.clock())
    for wait in (5, 10, 20, 40, 80, 160, 300, 300):
        doubts.again("a")
        own.now += wait - 0.5
        assert not doubts.due()
        own.now += 0.5
        assert doubts.due()
        assert await doubts.take(10) == ["a"]
        assert not doubts.open()
    doubts.again("b")
    own.now += 5
    assert await doubts.take(10) == ["b"], "each has a count of its own"
    doubts.decided("a")
    doubts.again("a")
    own.now += 5
    assert await doubts.take(10) == ["a"]


# --- Who may call ----------------------------------------------------------------------------------------------------


def test_a_budget_that_is_held_is_not_idle() -> None:
    own = Time()
    budget = Budget(10, clock=own.clock())
    assert budget.idle()
    budget.hold(11.0)
    own.now += 10.9
    assert not budget.idle()
    own.now += 0.2
    assert budget.idle()


async def test_stopped_while_it_holds_for_one_that_was_killed_the_next_one_holds_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "TAKE_OVER", 60.0)
    async with living(tmp_path) as world:
        await world.kill()
        for holds in (1, 2):
            calls = len(world.calls())
            await world.start(baselined=False)
            await world.until("it holds", partial(holding, world, holds))
            assert await world.stop() is True
            assert len(world.calls()) == calls


async def test_once_the_lock_file_is_removed_the_first_owner_soon_may_not_call(tmp_path: Path) -> None:
    journal = SqlitePlace(tmp_path / "certstream.db").journal()
    shard, _ = await opened(journal)
    assert shard.owned_until() <= boot_time() + OWNED_SECONDS
    before = shard.owned_until()
    await shard.verify()
    assert before < shard.owned_until() <= boot_time() + OWNED_SECONDS
    before = shard.owned_until()
    await shard.commit([Put(EVENTS, b"a", b"1")])
    assert before < shard.owned_until() <= boot_time() + OWNED_SECONDS
    (tmp_path / "certstream.db.lock").unlink()
    last = shard.owned_until()
    second = SqlitePlace(tmp_path / "certstream.db").journal()
    await opened(second)
    assert shard.owned_until() == last, "nothing renews it any more"
    with pytest.raises(Fenced):
        await shard.verify()
    assert shard.owned_until() < boot_time()
    await journal.close()
    await second.close()


@together
async def test_a_service_whose_lock_file_is_removed_ends(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        (world.directory / "journal.db.lock").unlink()
        with pytest.raises(Fenced):
            await world.ended()


# --- What is said of time --------------------------------------------------------------------------------------------


@together
async def test_observedthrough_does_not_pass_a_deletion_that_is_not_decided(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=12) as world:
        gone = identifiers(world)[0]
        world.simulator.intercept = lies.refusing(
            "ServiceUnavailable", 503, lambda params: params.get("Identifier") == gone
        )
        moment = time.time() * 1000
        world.simulator.delete(gone)
        await world.sweeps(3)
        assert not world.told("certificate.deleted", gone)
        assert observed(world) <= moment
        world.simulator.intercept = None
        await world.event("certificate.deleted", gone)
        await world.until("it is observed beyond", lambda: observed(world) > moment)


@together_for({"in the past": -YEARS_MS, "in the future": YEARS_MS})
async def test_a_wall_clock_that_is_wrong_at_the_start_makes_no_news_of_what_was_there(
    directory: Path, wrong: int
) -> None:
    off = [wrong]
    clock = Clock(wall=lambda: time.time_ns() // 1_000_000 + off[0], random=_Calm())
    async with living(directory, started=False) as world:
        await world.start(clock=clock, baselined=False)
        await world.until("it is assembled", lambda: world.service is not None and world.service._running)
        off[0] = 0
        await world.event("account.baselined", "prod")
        kinds = Counter(one["type"].split(".")[2] for one in world.events)
        assert (kinds["discovered"], kinds["new"]) == (7, 0)


class Calendar:
    """A source of certificates that all pass a threshold together."""

    def __init__(self, wall: Callable[[], int], count: int) -> None:
        self._wall = wall
        then = wall()
        self._records = [
            core.text(core.record(f"c{number:02}", BeforeDate=then - core.DAY, AfterDate=then + 40 * core.DAY))
            for number in range(count)
        ]

    async def list(self, *, page: int, size: int, identifier: str | None = None, anywhere: bool = False) -> Answer:
        sent, sent_at = time.monotonic(), self._wall()
        await asyncio.sleep(0)
        shown = self._records[(page - 1) * size : page * size]
        answered = Page(list(shown), len(self._records), page, size, None)
        return Answer(answered, sent, time.monotonic(), sent_at, self._wall(), self._wall())

    async def revoked(self, *, page: int, size: int) -> Answer:
        raise AssertionError("one sweep asks nobody else")

    async def uid(self) -> str | None:
        return None

    async def close(self) -> None: ...


async def test_once_tells_every_threshold_that_is_due_however_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "AT_ONCE", 3)
    monkeypatch.setattr(expiry, "BEAT", 60.0)
    off = [0]

    def wall() -> int:
        return time.time_ns() // 1_000_000 + off[0]

    source = Calendar(wall, 11)
    config = Config.model_validate(
        {"journal": f"sqlite://{tmp_path}/journal.db", "accounts": (Account(name="prod"),), "thresholds": ["30d"]}
    )
    for off[0] in (0, 11 * core.DAY):
        one = build(config, clock=Clock(wall=wall), source=lambda *_: source)
        assert await one.run(asyncio.Event(), once=True) is True
    place = build(config, source=lambda *_: source).journal
    await place.start()
    found = Counter([msgspec.json.decode(one.value or b"")["type"] async for one in place.read([EVENTS])])
    await place.close()
    assert found["certstream.certificate.expiring.v1"] == 11


# --- Answers that are held -------------------------------------------------------------------------------------------


@dataclass
class Doing:
    """A writer that decides, and a service that does not answer look-ups."""

    world: core.World
    asked: list[str] = field(default_factory=list)

    async def do(self, ledger: Ledger, act: Callable[[Draft], T]) -> T:
        assert ledger is self.world.ledger
        return self.world.commit(act)

    async def ask(self, urgency: object, *, identifier: str, **_: Any) -> Answer:
        self.asked.append(identifier)
        raise Transient("away")


async def test_held_answers_that_grew_old_are_dropped() -> None:
    world = core.watching(core.record("a"), core.record("b"))
    doing, clock = Doing(world), Clock(monotonic=lambda: world.now)
    observer = Observer(
        ledger=world.ledger,
        calls=cast(Calls, doing),
        writer=cast(Writer, doing),
        doubts=Doubts(clock),
        clock=clock,
        metrics=Metrics(),
    )
    world.now += 60
    for number in range(5):
        assert (await observer.observe(world.answer(core.record(f"foreign-{number}")))).held
        world.now += 10
    assert len(observer._held) == 5
    world.now += OLD
    newest = world.answer(core.record("foreign-5"))
    assert (await observer.observe(newest)).held
    assert observer._held == [newest]
    assert doing.asked
