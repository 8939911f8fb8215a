"""Sweeping a list that moves, and services that lie about it. The list is a plain Python list."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certstream.core.answers import Page
from certstream.core.inventory import Inventory
from certstream.core.observe import Observed
from certstream.core.rows import Row, encode
from certstream.core.sweep import PAGE_SIZE_CHANGED, UNSTEADY, Sweep, Verdict

ROW = Row(1, b"", 1, b"", b"", 0, 0, 0, 0, None, None, None, (), False, False, 0, 0, b"x")
BYTES = encode(ROW)


@dataclass
class Account:
    """A list of identifiers on a server, and what a sweeper remembers of it."""

    rows: list[str]
    inventory: Inventory = field(default_factory=Inventory)
    moves: int = 0

    def page(self, number: int, size: int) -> Page:
        """An honest answer."""
        return Page(
            [row.encode() for row in self.rows[(number - 1) * size : number * size]], len(self.rows), *[None] * 3
        )

    def sweep(
        self,
        *,
        forward: bool,
        size: int,
        between: Callable[[], None] = lambda: None,
        ask: Callable[[int, int], Page] | None = None,
        total: int | None = None,
        accepted: int | None = None,
        flight: int = 1,
        limit: int = 10_000,
    ) -> tuple[Sweep, Verdict, int]:
        """Sweep; `between` happens before every answer. Up to `flight` calls are under way, answered in any order."""
        sweep = Sweep(forward=forward, size=size, total=len(self.rows) if total is None else total, moves=self.moves)
        asked = 0
        under_way = [sweep.first]
        dice = random.Random(7)
        while under_way:
            number = under_way.pop(dice.randrange(len(under_way)))
            asked += 1
            assert asked <= limit, "the sweep does not end"
            between()
            page = (ask or self.page)(number, sweep.size)
            found = [bytes(one).decode() for one in page.records]
            for name in found:
                if self.inventory.number(name) is None:
                    self.inventory.put(name, BYTES)
                    self.moves += 1
            sweep.answered(number, page)
            numbers = [self.inventory.number(name) for name in found]
            observed = Observed(unchanged=[one for one in numbers if one is not None], records=len(found))
            sweep.mark(number, observed, self.inventory)
            while len(under_way) < flight and (following := sweep.next()) is not None:
                under_way.append(following)
        return sweep, sweep.verdict(self.moves, accepted), asked

    def seen(self, sweep: Sweep) -> set[str]:
        """Identifiers."""
        return {self.inventory.identifier(number) for number, mark in enumerate(sweep.seen) if mark}


def account(count: int) -> Account:
    """An account whose certificates are all known."""
    made = Account([f"r{number}" for number in range(count)])
    for row in made.rows:
        made.inventory.put(row, BYTES)
    return made


@given(count=st.integers(0, 60), size=st.integers(1, 20), forward=st.booleans(), flight=st.integers(1, 10))
def test_a_quiet_list_is_seen_whole_with_one_call_a_page(count: int, size: int, forward: bool, flight: int) -> None:
    world = account(count)
    sweep, verdict, asked = world.sweep(forward=forward, size=size, flight=flight)
    assert verdict == (True, 0, None)
    assert world.seen(sweep) == set(world.rows)
    assert asked == max(1, math.ceil(count / size))


@given(count=st.integers(0, 60), size=st.integers(1, 20), believed=st.integers(0, 200), forward=st.booleans())
def test_a_list_of_another_length_than_before_is_seen_whole(
    count: int, size: int, believed: int, forward: bool
) -> None:
    world = account(count)
    sweep, verdict, _ = world.sweep(forward=forward, size=size, total=believed)
    assert verdict.complete
    assert world.seen(sweep) == set(world.rows)


_edit = st.none() | st.tuples(st.booleans(), st.floats(0, 1, exclude_max=True))


class Mover:
    """Edits a list before each answer and remembers which edits there were."""

    def __init__(self, world: Account, edits: list[tuple[bool, float] | None]) -> None:
        self.world, self.edits, self.made = world, list(edits), 0
        self.stayed = set(world.rows)
        self.inserted = self.deleted = 0

    def __call__(self) -> None:
        edit = self.edits.pop(0) if self.edits else None
        if edit is None:
            return
        inserts, where = edit
        rows = self.world.rows
        at = int(where * (len(rows) + inserts))
        if inserts:
            self.made += 1
            self.inserted += 1
            rows.insert(at, f"n{self.made}")
        elif rows:
            self.deleted += 1
            self.stayed.discard(rows.pop(at))


@settings(max_examples=300, deadline=None)
@given(
    count=st.integers(1, 60),
    size=st.integers(1, 12),
    forward=st.booleans(),
    edits=st.lists(_edit, max_size=20),
)
@example(count=8, size=2, forward=True, edits=[None, None, (False, 0.0)])
@example(count=8, size=2, forward=False, edits=[None, None, (True, 0.0)])
def test_a_complete_sweep_misses_only_what_its_direction_permits(
    count: int, size: int, forward: bool, edits: list[tuple[bool, float] | None]
) -> None:
    world = account(count)
    mover = Mover(world, edits)
    sweep, verdict, _ = world.sweep(forward=forward, size=size, between=mover)
    missed = mover.stayed - world.seen(sweep)
    if missed and verdict.complete:
        assert mover.deleted if sweep.forward else mover.inserted or mover.deleted
    both = mover.inserted and mover.deleted
    if verdict.complete and not both:
        assert len(missed) <= mover.inserted + mover.deleted
    following, second, _ = world.sweep(forward=not sweep.forward, size=size)
    assert second.complete
    assert world.seen(following) >= set(world.rows)


@settings(max_examples=200, deadline=None)
@given(count=st.integers(6, 60), size=st.integers(2, 12), at=st.integers(1, 10), where=st.floats(0, 0.99))
def test_one_row_deleted_under_a_forward_sweep_or_inserted_under_a_backward_one_hides_nothing(
    count: int, size: int, at: int, where: float
) -> None:
    """Because the page before is read again."""
    for forward in (True, False):
        world = account(count)
        mover = Mover(world, [*[None] * at, (not forward, where)])
        sweep, verdict, _ = world.sweep(forward=forward, size=size, between=mover)
        assert verdict.complete
        assert mover.stayed <= world.seen(sweep)


@settings(max_examples=300, deadline=None)
@given(
    count=st.integers(2, 60),
    size=st.integers(1, 12),
    flight=st.integers(1, 4),
    forward=st.booleans(),
    unknown=st.lists(st.floats(0, 1), max_size=3),
    edits=st.lists(_edit, max_size=20),
)
@example(count=8, size=2, flight=1, forward=True, unknown=[0.3], edits=[None, (False, 0.0), (True, 0.99)])
def test_what_a_sweep_proves_is_that_all_that_was_there_was_seen(
    count: int, size: int, flight: int, forward: bool, unknown: list[float], edits: list[tuple[bool, float] | None]
) -> None:
    """Two edits come before each answer, so that counts are often alike."""
    world = account(count)
    for number, where in enumerate(unknown):
        world.rows.insert(int(where * len(world.rows)), f"u{number}")
    there, mover = set(world.rows), Mover(world, edits)
    known = {world.inventory.identifier(number) for number in range(count)}

    def twice() -> None:
        mover()
        mover()

    sweep, _, _ = world.sweep(forward=forward, size=size, flight=flight, between=twice)
    if sweep.proves(world.moves):
        assert mover.stayed <= world.seen(sweep)
    if not unknown and not (mover.inserted or mover.deleted):
        assert there == known == world.seen(sweep)
        assert sweep.proves(world.moves)


def test_one_that_goes_and_one_that_comes_between_two_pages_prove_nothing() -> None:
    world, calls = account(7), itertools.count()
    world.rows.insert(4, "new")

    def swap() -> None:
        if next(calls) == 2:
            world.rows.pop(0)
            world.rows.append("newer")

    sweep, verdict, _ = world.sweep(forward=True, size=2, between=swap)
    assert verdict.complete
    assert "new" not in world.seen(sweep)
    assert not sweep.proves(world.moves)


def test_many_rows_deleted_at_once_are_made_good_from_further_back() -> None:
    world = account(40)

    calls = itertools.count()

    def cut() -> None:
        if next(calls) == 5:
            del world.rows[0:9]

    stayed = set(world.rows[9:])
    sweep, _, _ = world.sweep(forward=True, size=4, between=cut)
    assert stayed <= world.seen(sweep)


def test_the_pages_at_a_grown_end_of_a_backward_sweep_are_read_too() -> None:
    world = account(10)

    calls = itertools.count()

    def grow() -> None:
        if next(calls) == 1:
            world.rows.extend(f"n{number}" for number in range(9))

    sweep, _, _ = world.sweep(forward=False, size=4, between=grow)
    assert world.seen(sweep) == set(world.rows)


# --- Lies -------------------------------------------------------------------------------------------------------------


def lying(world: Account, total: Callable[[int], int | None], *, repeats: bool = False) -> Callable[[int, int], Page]:
    """Answers with another `TotalCount`; past the end they repeat the last page, or are empty."""

    def ask(number: int, size: int) -> Page:
        last = max(1, math.ceil(len(world.rows) / size))
        honest = world.page(min(number, last) if repeats else number, size)
        return Page(honest.records, total(len(world.rows)), None, None, None)

    return ask


LIES: list[tuple[str, Callable[[int], int | None]]] = [
    ("zero", lambda true: 0),
    ("one", lambda true: 1),
    ("half", lambda true: true // 2 + 1),  # on a page's border nobody could tell
    ("huge", lambda true: 10**15),
    ("twice", lambda true: true * 2),
    ("none", lambda true: None),
]


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("count", [50, 53, 400])
@pytest.mark.parametrize(("name", "total"), LIES)
def test_a_lie_about_the_total_never_makes_a_sweep_complete_nor_endless(
    name: str, total: Callable[[int], int | None], count: int, forward: bool, repeats: bool
) -> None:
    world = account(count)
    ask = lying(world, total, repeats=repeats)
    believed = total(count) or 0
    for flight in (1, 10):
        sweep, verdict, asked = world.sweep(
            forward=forward, size=10, ask=ask, total=believed, flight=flight, limit=count // 10 + 60
        )
        assert not verdict.complete
        if forward and name in ("zero", "one", "huge", "none"):
            assert world.seen(sweep) == set(world.rows)
        assert asked >= 1


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("totals", [(8, 10**18), (10**18, 8), (10**18, 10**18)])
def test_the_largest_total_costs_no_time(forward: bool, totals: tuple[int, int]) -> None:
    sweep = Sweep(forward=forward, size=5, total=totals[0], moves=0)
    sweep.answered(sweep.first, Page([b""] * 5, totals[0], None, None, None))
    number = sweep.next()
    assert number is not None
    sweep.answered(number, Page([b""] * 3, totals[1], None, None, None))
    sweep.next()


def test_a_promise_that_is_never_kept_is_accepted_when_the_next_sweep_misses_as_much() -> None:
    world = account(50)
    ask = lying(world, lambda true: true + 5)
    _, first, _ = world.sweep(forward=True, size=10, ask=ask)
    assert (first.complete, first.shortfall) == (False, 5)
    _, second, _ = world.sweep(forward=False, size=10, ask=ask, total=55, accepted=first.shortfall)
    assert second.complete
    assert second.why is not None
    _, third, _ = world.sweep(forward=True, size=10, ask=ask, accepted=4)
    assert not third.complete


@pytest.mark.parametrize("forward", [True, False])
def test_a_page_size_that_the_service_lowers_ends_the_sweep(forward: bool) -> None:
    world = account(50)

    def ask(number: int, size: int) -> Page:
        page = world.page(number, min(size, 7))
        return Page(page.records, page.total, None, 7, None)

    sweep, verdict, asked = world.sweep(forward=forward, size=10, ask=ask)
    assert (verdict.complete, verdict.why) == (False, PAGE_SIZE_CHANGED)
    assert (sweep.size, asked) == (7, 1)
    _, verdict, _ = world.sweep(forward=forward, size=7, ask=ask)
    assert verdict.complete


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(), count=st.integers(20, 200), forward=st.booleans())
def test_a_list_whose_order_changes_between_calls_is_never_complete_unless_all_was_seen(
    seed: int, count: int, forward: bool
) -> None:
    world = account(count)
    dice = random.Random(seed)
    sweep, verdict, _ = world.sweep(forward=forward, size=10, between=lambda: dice.shuffle(world.rows))
    if world.seen(sweep) != set(world.rows):
        assert (verdict.complete, verdict.why) == (False, UNSTEADY)


def test_a_page_that_failed_makes_a_sweep_incomplete() -> None:
    sweep = Sweep(forward=True, size=10, total=None, moves=0)
    sweep.answered(1, account(5).page(1, 10))
    sweep.failed()
    assert not sweep.verdict(0).complete


@pytest.mark.parametrize(
    ("missing", "moved", "complete"), [(0, 0, True), (1, 0, False), (1, 1, True), (2, 9, True), (3, 9, False)]
)
def test_what_moved_explains_a_shortfall_but_never_more_than_one_percent_or_two(
    missing: int, moved: int, complete: bool
) -> None:
    world = account(50 - missing)
    sweep = Sweep(forward=True, size=100, total=None, moves=0)
    sweep.answered(1, Page(world.page(1, 100).records, 50, None, None, None))
    assert sweep.verdict(moved).complete is complete


def test_records_of_one_certificate_twice_on_a_page_are_no_unsteady_order() -> None:
    world = account(40)
    world.rows = sorted([*world.rows, *world.rows[:10]], key=lambda row: int(row[1:]))
    _, verdict, _ = world.sweep(forward=True, size=10)
    assert verdict.complete
