"""What an adversary once found in the core, and what must not come back."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import msgspec
import pytest

from certstream.core import deletion
from certstream.core.answers import Page
from certstream.core.draft import Draft
from certstream.core.ledger import UNSET, begin
from certstream.core.observe import observe
from certstream.core.sweep import Sweep
from tests.core.world import DAY, LINEAGE, START, World, at_once, kind_of, record, watching

LIE = 1_000_000_000
YEARS = 20 * 365 * DAY


def honest(number: int, rows: int, size: int) -> Page:
    """A page of a list of `rows`."""
    return Page([b"{}"] * max(0, min(size, rows - (number - 1) * size)), rows, number, size, None)


def asked(sweep: Sweep, rows: int, lies: dict[int, int]) -> list[int]:
    """The pages that a sweep asks for; `lies`: the total that a page carries the first time."""
    pages: list[int] = []
    number: int | None = sweep.first
    while number is not None:
        pages.append(number)
        assert len(pages) < 50, f"the sweep walks: {pages[-3:]}"
        page = honest(number, rows, sweep.size)
        sweep.answered(number, replace(page, total=lies.pop(number, rows)))
        number = sweep.next()
    return pages


# --- Sweeps ----------------------------------------------------------------------------------------------------------


def test_a_backward_sweep_that_begins_beyond_the_end_jumps_down_to_it() -> None:
    sweep = Sweep(forward=False, size=5, total=LIE, moves=0)
    assert asked(sweep, 12, {}) == [LIE // 5, 3, 2, 1]
    assert sweep.verdict(0).complete


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_total_that_lies_on_one_page_does_not_make_a_sweep_walk(forward: bool, page: int) -> None:
    sweep = Sweep(forward=forward, size=5, total=12, moves=0)
    pages = asked(sweep, 12, {page: LIE})
    assert set(pages) >= {1, 2, 3}
    assert max(pages) <= 4
    assert not sweep.verdict(0).complete, "its totals contradict each other"


def test_an_answer_with_more_records_than_it_says_fit_does_not_lower_the_page_size() -> None:
    sweep = Sweep(forward=True, size=5, total=12, moves=0)
    sweep.answered(1, replace(honest(1, 12, 5), size=1))
    assert (sweep.size, sweep.page_size_changed) == (5, False)
    sweep.answered(2, honest(2, 12, 3))
    assert (sweep.size, sweep.page_size_changed) == (3, True)


# --- A deletion and a page in one commit -----------------------------------------------------------------------------


def test_what_a_page_of_the_same_commit_shows_is_not_deleted_by_a_look_up_that_was_asked_earlier() -> None:
    world = watching(record("a"), record("b"))
    world.now += 100
    empty = world.answer()
    world.now += 1
    later = world.answer(record("a"), record("b"))
    draft = Draft(world.ledger, now=world.wall, fires=True)
    observe(draft, later)
    assert deletion.delete(draft, {"a": empty}, ()) == {"a": 0.0}
    assert draft.kinds == []


def test_what_a_page_of_the_same_commit_showed_before_the_look_up_was_asked_is_deleted() -> None:
    world = watching(record("a"), record("b"))
    world.now += 100
    earlier = world.answer(record("a"), record("b"))
    world.now += 1
    empty = world.answer()
    draft = Draft(world.ledger, now=world.wall, fires=True)
    observe(draft, earlier)
    assert deletion.delete(draft, {"a": empty}, ()) == {}
    assert draft.kinds == ["certificate.deleted"]


def test_what_a_page_of_the_commit_before_shows_is_not_deleted_by_a_look_up_that_was_asked_earlier() -> None:
    """The writer decides the next commit before whoever waits for the last one is awake."""
    world = watching(record("a"), record("b"))
    world.now += 100
    empty = world.answer()
    world.now += 1
    later = world.answer(record("a"), record("b"))
    world.commit(lambda draft: observe(draft, later))
    assert world.commit(lambda draft: deletion.delete(draft, {"a": empty}, ())) == {"a": 0.0}


def test_what_a_suspect_account_shows_again_and_changed_is_not_confirmed_as_gone() -> None:
    world = watching(*(record(name) for name in "abcde"))
    world.commit(lambda draft: deletion.suspect(draft, "three disappeared", 3))
    world.now += 100
    empty = {name: world.answer() for name in "abc"}
    nominated = world.wall - 50_000
    world.page(record("a", Days=7), record("d"), record("e"))
    confirm = partial(deletion.confirm, answers=empty, moved=(), nominated=nominated, by="alice", why="retired")
    world.commit(confirm)
    assert [event["subject"] for event in world.events if kind_of(event) == "deleted"] == ["b", "c"]


def test_what_was_listed_again_since_it_was_nominated_is_not_gone_because_a_later_look_up_is_empty() -> None:
    world = watching(*(record(name) for name in "abcde"))
    world.commit(lambda draft: deletion.suspect(draft, "three disappeared", 3))
    nominated = world.wall
    world.page(record("a"), record("d"), record("e"), wait=10.0)
    world.now += 100
    empty = {name: world.answer() for name in "abc"}
    confirm = partial(deletion.confirm, answers=empty, moved=(), nominated=nominated, by="alice", why="retired")
    world.commit(confirm)
    assert [event["subject"] for event in world.events if kind_of(event) == "deleted"] == ["b", "c"]


# --- A clock that is wrong at the start ------------------------------------------------------------------------------


def beginning(skew: int = 0) -> World:
    """A history that begins while the clock cannot be trusted."""
    world = World(fires=False, skew=skew)
    world.ledger.head = begin(world.ledger.settings, lineage=LINEAGE)
    at_once(world.ledger.schedule(world.wall))
    return world


def moments(world: World) -> tuple[int, dict[str, int]]:
    """When the history began, and since when each threshold counts."""
    assert world.ledger.head is not None
    return world.ledger.head.began, world.ledger.head.thresholds


@pytest.mark.parametrize("skew", [-YEARS, YEARS])
def test_a_history_that_begins_by_a_wrong_clock_is_dated_when_the_clock_is_trusted(skew: int) -> None:
    world = beginning(skew)
    assert world.page(record("a"), record("b")) == ["discovered", "discovered"]
    assert moments(world)[0] == UNSET
    world.skew, world.fires = 0, True
    world.page(record("a"), record("b"), record("c"))
    assert moments(world)[0] == world.wall
    dated = world.wall
    world.page(record("a"), wait=60.0)
    assert moments(world)[0] == dated


def test_a_trusted_draft_dates_the_head_and_the_date_is_committed_with_it() -> None:
    world = beginning()
    head = world.ledger.head
    assert head is not None
    assert Draft(world.ledger, now=world.wall, fires=False).head.began == UNSET
    world.ledger.head = msgspec.structs.replace(head, thresholds={"30d": UNSET, "7d": 5})
    held = Draft(world.ledger, now=world.wall, fires=False).head
    assert (held.began, held.thresholds) == (UNSET, {"30d": UNSET, "7d": 5})
    dated = Draft(world.ledger, now=world.wall, fires=True).head
    assert (dated.began, dated.thresholds) == (world.wall, {"30d": world.wall, "7d": 5})
    assert moments(world)[1]["30d"] == UNSET, "a draft that is thrown away leaves no date"


@pytest.mark.parametrize("skew", [-YEARS, YEARS])
def test_a_threshold_that_is_added_by_a_wrong_clock_counts_from_when_it_is_trusted(skew: int) -> None:
    passed, coming = record("a", AfterDate=START + 20 * DAY), record("b", AfterDate=START + 40 * DAY)
    world = watching(passed, coming, texts=("1d",))
    world.skew, world.fires = skew, False
    world.configure("1d", "30d")
    assert moments(world)[1]["30d"] == UNSET
    world.skew, world.fires = 0, True
    at_once(world.ledger.schedule(world.wall))
    told = len(world.events)
    assert world.tick(0.1) == [], "it had passed before it was configured"
    assert moments(world)[1]["30d"] == world.wall
    assert world.tick(10) == ["expiring"]
    assert [(one["subject"], one["data"]["threshold"]) for one in world.events[told:]] == [("b", "30d")]
