"""The search in the whole service, in virtual time: what it finds, what it costs, and what bad counts make of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from certstream.config import Account
from certstream.core.answers import Answer
from certstream.service.budget import Budget, Urgency
from certstream.service.lookups import LookUps
from certstream.service.searching import UNSTEADY_ORDER
from tests.simulation.lies import REORDERED
from tests.simulation.loop import EPOCH
from tests.simulation.played import searches
from tests.simulation.population import Deed
from tests.simulation.upstream import Upstream
from tests.simulation.weather import Fault
from tests.sweeps.judge import Told, Truth, events, falsehoods
from tests.sweeps.world import ACCOUNT, World

BASELINE = 20.0
"""Seconds after which forty pages have been swept, and their order is known."""
SOON = 3.0
"""Seconds in which a search finds, between two probes a second apart and with its look-ups."""


def world_of(
    *,
    certificates: int = 400,
    sweep_every: float = 3000.0,
    faults: tuple[Fault, ...] = (),
    order: str = "identifier",
    revocations: bool = False,
) -> World:
    """Forty pages, a sweep at the beginning, and then probes each second."""
    account = Account(
        name=ACCOUNT,
        endpoint="http://127.0.0.1:1",
        page_size=10,
        sweep_every=sweep_every,
        probe_every=1.0,
        revocations=revocations,  # what most of these tests count is about one list
        staleness=2.0,
    )
    return World(seed=1, certificates=certificates, order=order, account=account, faults=faults, limit=20_000.0)


def told_after(world: World, since: float) -> list[Told]:
    """What was told of certificates after that, expiry left out; nothing of it is false."""
    told = [one for one in events(world.journal.kept) if not one.kind.startswith(("expir", "account"))]
    assert not falsehoods(told, Truth(world.population), world.lies, lag=world.lag)
    return [one for one in told if one.at >= since]


def pages(world: World, start: float, end: float = float("inf")) -> int:
    """Calls for pages that arrived in between."""
    return sum(one.identifier is None and start <= one.arrival - EPOCH < end for one in world.upstream.calls[ACCOUNT])


def reasons(world: World) -> list[str | None]:
    """Of the account's records in `accounts`."""
    return [json.loads(put.value or b"").get("reason") for _, put in world.journal.kept if put.topic == "accounts"]


def order_known(world: World) -> float | None:
    return world.service.metrics.registry.get_sample_value("certstream_order_known", {"account": ACCOUNT})


def issue(world: World, what: str = "issue", pick: float = 0.5) -> float:
    """Something happens to the list now; gives when."""
    world.population.happen(Deed(0.0, what, pick))
    return world.loop.now


def counted(monkeypatch: pytest.MonkeyPatch, count: Callable[[int], int | None]) -> None:
    """The service counts like this from now on."""
    page = Upstream._page

    def odd(self: Upstream, under: Any, rows: Any) -> tuple[Any, Any]:
        shown, total = page(self, under, rows)
        return shown, count(total)

    monkeypatch.setattr(Upstream, "_page", odd)


@pytest.mark.parametrize("what", ["issue", "delete"])
@pytest.mark.parametrize("pick", [0.0, 0.37, 0.999])
def test_what_moved_is_told_in_seconds_without_a_sweep(what: str, pick: float) -> None:
    world = world_of()

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        at = issue(world, what, pick)
        await asyncio.sleep(SOON)
        assert [one.kind for one in told_after(world, at)] == ["new" if what == "issue" else "deleted"]
        assert pages(world, at) <= 4 + 10  # probes; log2 of forty pages, edges, the control of the count

    world.run(story())
    assert len(world.sweeps) == 1


def test_what_cancels_in_the_count_does_not_wait_for_a_sweep_that_takes_long() -> None:
    world = world_of(certificates=4000, sweep_every=0.0, order="newest")  # 400 pages, 42 s

    async def story() -> None:
        await asyncio.sleep(100.0)
        for place in (0.1, 0.5, 0.3, 0.7, 0.2, 0.6):
            at = issue(world)
            issue(world, "delete", place)
            await asyncio.sleep(6.0)
            assert sorted(one.kind for one in told_after(world, at)) == ["deleted", "new"]

    world.run(story())


@pytest.mark.parametrize(("inserted", "deleted"), [(0.1, 0.9), (0.8, 0.3)])
def test_what_cancels_in_the_count_is_found_by_probes_of_the_pages_between(inserted: float, deleted: float) -> None:
    world = world_of()

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        issue(world)
        await asyncio.sleep(2 * SOON)  # now it is known that certificates are inserted anywhere
        at = issue(world, "issue", inserted)
        issue(world, "delete", deleted)
        await asyncio.sleep(4 * SOON)
        assert sorted(one.kind for one in told_after(world, at)) == ["deleted", "new"]

    world.run(story())
    assert len(world.sweeps) == 1


def test_what_else_the_pages_of_a_search_show_is_told_at_once() -> None:
    world = world_of()

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        at = issue(world)
        names = [row.identifier for _, row in world.population.at(at)]
        new = names.index(world.population.changes[-1].identifier)
        neighbour = names[new + (1 if new % 10 < 9 else -1)]
        pick = (sorted(world.population.present).index(neighbour) + 0.5) / len(names)
        issue(world, "edit", pick)
        assert world.population.changes[-1].identifier == neighbour
        await asyncio.sleep(SOON)
        assert sorted(one.kind for one in told_after(world, at)) == ["changed", "new"]

    world.run(story())


def test_what_a_search_misses_is_looked_up_and_not_deleted_where_it_is_there() -> None:
    world = world_of()

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        world.upstream.unlisted = frozenset(sorted(world.population.present)[200:201])
        at = world.loop.now
        await asyncio.sleep(3 * SOON)
        assert searches(world.service.metrics)["found"]
        assert any(one.identifier in world.upstream.unlisted for one in world.upstream.calls[ACCOUNT])
        assert not told_after(world, at)

    world.run(story())


def test_a_mass_that_a_search_misses_is_left_to_the_sweep_which_suspects() -> None:
    world = world_of()

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        for _ in range(60):
            at = issue(world, "drop", 0.5)
        await asyncio.sleep(60.0)
        assert world.state() is not None
        assert not told_after(world, at)
        assert sum(one.identifier is not None for one in world.upstream.calls[ACCOUNT]) <= 25  # the sweep's sample

    world.run(story())


def test_what_a_search_misses_is_judged_as_a_mass_before_it_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where `TotalCount`, which stops a mass as well, has come to say otherwise meanwhile; and a search suspects
    nobody."""

    async def enough(self: LookUps, total: int | None) -> bool:
        return True

    monkeypatch.setattr(LookUps, "_enough", enough)
    world = world_of(certificates=100)

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        for _ in range(10):  # a tenth
            issue(world, "drop", 0.5)
            await asyncio.sleep(SOON)
        assert [one.kind for one in told_after(world, BASELINE)] == ["deleted"] * 10
        at = issue(world, "drop", 0.5)
        await asyncio.sleep(SOON)
        assert not told_after(world, at)
        assert world.state() is None

    world.run(story())
    assert searches(world.service.metrics)["found"] >= 9  # a probe may happen upon one
    assert len(world.sweeps) == 1


def test_what_the_list_of_the_revoked_names_and_no_look_up_shows_is_not_told_as_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content, hidden = Upstream._content, set[str]()

    def narrowed(self: Upstream, under: Any, listing: Any) -> tuple[Any, Any]:
        return ([], 0) if under.identifier in hidden else content(self, under, listing)

    monkeypatch.setattr(Upstream, "_content", narrowed)
    world = world_of(revocations=True)

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        at = world.loop.now
        for pick in (0.2, 0.8):
            issue(world, "revoke", pick)
            hidden.add(world.population.changes[-1].identifier)
        await asyncio.sleep(10 * SOON)
        assert {one.identifier for one in world.upstream.calls[ACCOUNT] if one.identifier is not None} >= hidden
        assert not told_after(world, at)
        hidden.clear()
        await asyncio.sleep(100 * SOON)
        assert [one.kind for one in told_after(world, at)] == ["revoked"] * 2

    world.run(story())
    assert len(world.sweeps) == 1


def test_after_bulk_issues_a_list_that_goes_on_moving_is_searched_again() -> None:
    world = world_of(sweep_every=0.0, order="newest")

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        for _ in range(150):
            issue(world)
        found = searches(world.service.metrics)["found"]
        for _ in range(30):  # two in each sweep
            issue(world)
            await asyncio.sleep(2.9)
        assert searches(world.service.metrics)["bulk"]
        assert searches(world.service.metrics)["found"] >= found + 10

    world.run(story())


def test_while_a_search_runs_its_accounts_sweep_takes_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Urgency] = []
    call = Budget.call

    async def noted(self: Budget, urgency: Urgency, ask: Callable[[], Awaitable[Answer]], **words: Any) -> Answer:
        def asked() -> Awaitable[Answer]:
            called.append(urgency)
            return ask()

        return await call(self, urgency, asked, **words)

    monkeypatch.setattr(Budget, "call", noted)
    world = world_of(sweep_every=0.0)

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        for _ in range(10):
            issue(world)
            await asyncio.sleep(5.0)

    world.run(story())
    runs = "".join({Urgency.SEARCH: "s", Urgency.SWEEP: "."}.get(one, "") for one in called)
    assert runs.count(".") > 300
    assert runs.count("s") > 30
    assert sum(map(bool, runs.split("."))) == searches(world.service.metrics)["found"]  # each is one run of calls


def test_searches_that_replicas_of_different_age_lead_astray_leave_the_sweep_half_of_the_calls() -> None:
    account = Account(
        name=ACCOUNT,
        endpoint="http://127.0.0.1:1",
        page_size=10,
        sweep_every=0.0,
        probe_every=1.0,
        revocations=False,
        staleness=30.0,
    )
    stale = Fault(BASELINE, "api.stale", 1200.0, 0.5)
    world = World(seed=3, certificates=1000, order="identifier", account=account, faults=(stale,), limit=20_000.0)

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        for at in range(60):
            issue(world, "issue" if at % 2 else "delete", at * 0.618 % 1)
            await asyncio.sleep(5.0)

    world.run(story())
    assert searches(world.service.metrics).total() > 10
    assert sum(at > BASELINE for at, _ in world.sweeps) >= 10  # of some 28 where nothing is searched for
    told_after(world, 0.0)


def test_a_list_that_is_reordered_once_is_told_and_searched_again_after_the_next_sweep() -> None:
    world = world_of(sweep_every=60.0)
    known: list[float | None] = []

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        known.append(order_known(world))
        world.strike(Fault(0.0, REORDERED, size=7.0))
        at = world.loop.now
        await asyncio.sleep(8.0)
        assert UNSTEADY_ORDER in reasons(world)
        known.append(order_known(world))
        assert pages(world, at) <= 10
        await asyncio.sleep(60.0)
        known.append(order_known(world))
        before = searches(world.service.metrics)["found"]
        at = issue(world)
        await asyncio.sleep(SOON)
        assert searches(world.service.metrics)["found"] == before + 1
        assert [one.kind for one in told_after(world, at)] == ["new"]
        await asyncio.sleep(60.0)
        assert reasons(world)[-1] is None

    world.run(story())
    assert known == [1.0, 0.0, 1.0]


def test_an_order_that_changes_at_every_call_switches_the_search_off_within_a_few_calls() -> None:
    world = world_of(faults=(Fault(BASELINE, "unsteady", 1e6, 1.0),))

    async def story() -> None:
        await asyncio.sleep(BASELINE + 8.0)
        assert order_known(world) == 0.0
        assert UNSTEADY_ORDER in reasons(world)
        assert pages(world, BASELINE) <= 10
        ended = searches(world.service.metrics)
        for _ in range(10):
            issue(world)
            await asyncio.sleep(60.0)
        assert searches(world.service.metrics) == ended
        told_after(world, 0.0)

    world.run(story())


FLAPPING = (
    Fault(BASELINE, "list.total", 1200.0, 0.5, 3.0),
    Fault(BASELINE, "list.count", 1200.0, 0.7, 45.0),
)


@pytest.mark.parametrize("fault", FLAPPING, ids=["flapping between replicas", "stale"])
def test_a_count_that_is_wrong_at_times_costs_few_calls_and_tells_nothing_false(fault: Fault) -> None:
    world = world_of(faults=(fault,))

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        for at in range(6):
            issue(world, "issue" if at % 2 else "delete", at / 6)
            await asyncio.sleep(200.0)
        await asyncio.sleep(60.0)
        assert len(told_after(world, BASELINE)) == 6

    world.run(story())
    assert pages(world, BASELINE) <= 2 * 1260  # a probe a second, and less than one call beside it
    assert searches(world.service.metrics).total() <= 40


@pytest.mark.parametrize("more", [-3, 7, None], ids=["too few", "too many", "no number"])
def test_a_count_that_is_always_wrong_costs_no_search(more: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(monkeypatch, lambda total: None if more is None else total + more)
    world = world_of(sweep_every=100.0)

    async def story() -> None:
        await asyncio.sleep(300.0)
        assert not searches(world.service.metrics)
        at = issue(world)
        await asyncio.sleep(110.0)
        assert [one.kind for one in told_after(world, at)] == ["new"]

    world.run(story())


@pytest.mark.parametrize("largest", [4, 7])
def test_a_page_size_that_changes_in_the_middle_of_a_search_does_not_end_it(largest: int) -> None:
    world = world_of()

    async def story() -> None:
        await asyncio.sleep(BASELINE)
        at = issue(world, "delete", 0.7)
        for _ in range(100):
            if pages(world, at) < 4:
                await asyncio.sleep(0.02)
        assert not told_after(world, at)
        world.upstream.largest = largest
        await asyncio.sleep(SOON)
        assert [one.kind for one in told_after(world, at)] == ["deleted"]

    world.run(story())
    assert len(world.sweeps) == 1


def test_probes_are_as_often_as_configured_after_a_change_and_fewer_on_a_quiet_account() -> None:
    world = world_of(certificates=60)

    async def story() -> None:
        await asyncio.sleep(1000.0)
        quiet = pages(world, 880.0, 1000.0)
        assert 90 <= quiet <= 97  # every 1.25 s, and a round trip
        at = issue(world)
        await asyncio.sleep(60.0)
        assert [one.kind for one in told_after(world, at)] == ["new"]
        assert 50 <= pages(world, at, at + 60.0) <= 60 + 10

    world.run(story())
