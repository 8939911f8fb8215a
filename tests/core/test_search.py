"""The search for where a list moved, against lists of every kind."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable
from copy import deepcopy
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certstream.core.order import MANY, NOBODY, learnt
from certstream.core.probes import QUIET, SLOWEST, interval
from certstream.core.search import Outcome, Search


class Listed:
    """A list of rows, by number + 1, and how it is searched. `before_call`: what happens while a search runs."""

    def __init__(self, rows: int, size: int, seed: int = 0) -> None:
        self.dice = Random(seed)
        self.rows = array("I", self.dice.sample(range(1, rows + 1), rows))
        self.first, self.next = rows, rows + 1
        self.size = size
        self.missing: set[int] = set()
        self.sent = itertools.count(1.0)
        self.search = Search(size)
        self.search.learn(learnt(self.page(number) for number in range(1, self.pages() + 1)), len(self.rows))

    def pages(self) -> int:
        return max(-(-len(self.rows) // self.size), 1)

    def page(self, number: int) -> array[int]:
        return self.rows[(number - 1) * self.size : number * self.size]

    def insert(self, place: float) -> None:
        self.rows.insert(int(place * (len(self.rows) + 1)), self.next)
        self.next += 1

    def delete(self, place: float) -> int:
        return self.rows.pop(int(place * len(self.rows)))

    def edit(self, inserted: bool, place: float) -> int | None:
        """The row that was deleted, if one was."""
        if not inserted:
            return self.delete(place)
        self.insert(place)
        return None

    def inserted(self) -> int:
        return self.next - 1 - self.first

    def read(self, number: int, *, total: int | None = None) -> None:
        shown, size = self.page(number), self.size
        total = len(self.rows) if total is None else total
        self.missing.update(row + 1 for row in self.search.read(number, size, shown, total, sent=next(self.sent)))

    def run(self, *, meanwhile: dict[int, float] | None = None, resize: dict[int, int] | None = None) -> int:
        self.search.begin()
        for call in range(1000):
            page = self.search.next()
            if page is None:
                return call
            if meanwhile and call in meanwhile:
                self.insert(meanwhile[call])
            if resize and call in resize:  # the service answers with pages of another size
                self.size = resize[call]
            self.read(page)
        raise AssertionError("it does not end")


places = st.floats(0, 0.9999)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(300, 3000),
    size=st.integers(1, 10),
    edits=st.lists(st.tuples(st.booleans(), places), min_size=1, max_size=3),
    seed=st.integers(0, 9),
)
def test_whatever_a_search_ends_with_its_order_is_true_and_what_it_misses_is_gone(
    rows: int, size: int, edits: list[tuple[bool, float]], seed: int
) -> None:
    listed = Listed(rows, size, seed)
    deleted = {gone for inserted, place in edits if (gone := listed.edit(inserted, place))}
    listed.read(1)
    listed.run()
    assert listed.missing <= deleted
    assert not set(listed.search.order.rows) - set(listed.rows) - deleted
    if not listed.search.wanted and abs(listed.inserted() - len(deleted)) == len(edits):
        assert listed.search.order.rows == listed.rows
        assert listed.missing == deleted - set(range(rows + 1, rows + 4))


@given(
    place=places,
    inserted=st.booleans(),
    other=st.none() | st.tuples(st.integers(0, 20), places),
)
@example(place=0.0, inserted=False, other=None)
@example(place=0.99999, inserted=True, other=None)
@settings(max_examples=60, deadline=None)
def test_a_change_among_ten_thousand_pages_takes_log2_of_them_and_a_few_calls(
    place: float, inserted: bool, other: tuple[int, float] | None
) -> None:
    listed = deepcopy(STEADY)
    gone = listed.edit(inserted, place)
    listed.read(2)
    calls = listed.run(meanwhile=dict([other] if other else []))
    if other and not inserted and listed.search.outcome is Outcome.NOTHING:
        return  # TotalCount is what it was, before anything was found: nothing says that there is something to find
    assert listed.search.outcome is Outcome.FOUND
    assert listed.missing == ({gone} if gone else set())
    assert listed.search.order.rows == listed.rows
    alone = 14 + 1 + 2 + 2  # log2(10,000), its end, both edges, a border between two pages
    assert calls <= (alone if other is None else 3 * alone)


STEADY = Listed(30_000, 3)


def test_hostile_answers_raise_nothing_and_every_search_ends() -> None:
    for seed in range(300):
        dice, listed = Random(seed), Listed(500, 7)
        for number in range(dice.randrange(60)):
            if number % 5 == 0:
                listed.search.begin()
            page = listed.search.next() or dice.randint(1, 80)
            rows = [dice.randint(NOBODY, 600) for _ in range(dice.randrange(11))]
            total = dice.choice((None, 0, 2**62, *(dice.randint(0, 600) for _ in range(9))))
            listed.search.read(page, dice.choice((7, 7, 7, 5)), rows, total, sent=next(listed.sent))
        assert ends(listed, lambda: [3, 3, 9], 400), f"seed {seed}"


def ends(listed: Listed, rows: Callable[[], list[int]], total: int) -> bool:
    """Whether a search ends that is answered like this."""
    listed.search.begin()
    for _ in range(400):
        page = listed.search.next()
        if page is None:
            return True
        listed.search.read(page, listed.search.size, rows(), total, sent=next(listed.sent))
    return False


def test_another_order_is_noticed_within_a_few_pages_and_nothing_is_missed_for_it() -> None:
    listed = Listed(5000, 20)
    listed.dice.shuffle(listed.rows)
    listed.rows.pop()
    listed.read(1)
    assert listed.run() <= 5
    assert listed.search.outcome in (Outcome.UNSTEADY, None)
    assert not listed.search.ready
    assert not listed.missing


def test_a_total_that_is_wrong_always_costs_nothing_and_one_that_flaps_nothing_but_searches_that_end() -> None:
    listed = Listed(5000, 20)
    listed.search.learn(array("I", listed.rows), len(listed.rows) + 7)
    listed.read(3, total=len(listed.rows) + 7)
    assert not listed.search.wanted
    for wrong in (-1, 0, 5, 12):
        listed.read(3, total=len(listed.rows) + wrong)
        listed.run()
    assert not listed.missing
    assert listed.search.order.rows == listed.rows


def test_bulk_issues_are_left_to_the_sweep() -> None:
    listed = Listed(5000, 20)
    for _ in range(1000):
        listed.insert(0.3)
    listed.read(1)
    assert listed.run() <= 3
    assert listed.search.outcome is Outcome.BULK


def test_an_insert_and_a_delete_that_cancel_are_found_once_a_page_shows_one_of_them() -> None:
    listed = Listed(5000, 20)
    listed.insert(0.0)
    gone = listed.delete(0.7)
    listed.read(230)
    assert not listed.search.wanted
    for page in (9, 1):
        searched = deepcopy(listed)
        searched.read(page)
        assert searched.search.wanted
        searched.run()
        assert searched.missing == {gone}
        assert searched.search.order.rows == listed.rows


def test_an_answer_that_was_asked_for_before_a_newer_one_teaches_nothing() -> None:
    listed = Listed(500, 20)
    before = listed.rows[:20]
    listed.insert(0.0)
    listed.read(1)
    order = list(listed.search.order.rows)
    assert listed.search.read(1, 20, before, 500, sent=0.5) == []
    assert list(listed.search.order.rows) == order


def test_a_page_that_misses_more_than_a_change_could_take_is_another_order() -> None:
    listed = Listed(5000, 20)
    del listed.rows[10 : 20 + MANY]
    listed.read(1)
    assert not listed.missing


def test_a_change_that_cancels_what_is_searched_for_hides_neither_of_them() -> None:
    for call, place in itertools.product(range(3), (0.1, 0.6)):
        listed = Listed(5000, 20)
        gone = listed.delete(0.7)
        listed.read(1)
        listed.run(meanwhile={call: place})
        assert listed.search.outcome is Outcome.FOUND
        assert listed.missing == {gone}
        assert listed.search.order.rows == listed.rows


def test_without_a_number_nothing_is_searched_for_and_nothing_learnt() -> None:
    listed = Listed(5000, 20)
    listed.insert(0.0)
    assert listed.search.read(1, 20, listed.page(1), None, sent=2.0) == []
    assert not listed.search.wanted
    assert listed.search.order.rows != listed.rows


@pytest.mark.parametrize("size", [1, 3, 50, 100])
@pytest.mark.parametrize("call", range(5))
def test_another_page_size_in_the_middle_of_a_search_does_not_end_it(size: int, call: int) -> None:
    listed = Listed(5000, 20)
    gone = listed.delete(0.7)
    listed.read(1)
    listed.run(resize={call: size})
    assert listed.search.outcome is Outcome.FOUND
    assert listed.missing == {gone}
    assert listed.search.order.rows == listed.rows


def test_a_list_of_one_page_has_any_order_and_says_at_once_what_is_gone() -> None:
    listed = Listed(30, 50)
    for _ in range(5):
        listed.dice.shuffle(listed.rows)
        listed.insert(0.5)
        gone = {listed.delete(0.1), listed.delete(0.2)}
        listed.missing.clear()
        listed.read(1)
        assert listed.search.ready
        assert not listed.search.wanted
        assert listed.missing == gone - {listed.next - 1}


def test_an_order_that_begins_elsewhere_is_another_one_and_changes_that_cancel_are_not() -> None:
    listed = Listed(5000, 20)
    for _ in range(20):
        listed.insert(0.0)
        listed.delete(0.99)
    for page in range(1, listed.pages() + 1):
        listed.read(page)
    assert listed.search.ready
    assert listed.search.order.rows == listed.rows
    listed.rows = listed.rows[2000:] + listed.rows[:2000]
    for page in (30, 31, 32):
        listed.read(page)
    assert not listed.search.ready


def test_pages_of_another_order_are_noticed_without_a_search_too() -> None:
    listed = Listed(5000, 20)
    listed.dice.shuffle(listed.rows)
    for page in (1, 2):
        listed.read(page)
        assert listed.search.ready
    listed.read(1)
    assert not listed.search.ready
    assert not listed.missing


def test_a_quiet_account_is_probed_less_often_and_never_more_often_than_configured() -> None:
    assert interval(1.0, -5.0) == interval(1.0, 0.0) == 1.0
    assert interval(1.0, QUIET / 2) == 1.125
    assert interval(5.0, QUIET) == interval(5.0, 1e9) == 5.0 * SLOWEST == 6.25


def test_after_bulk_issues_a_sweep_that_the_list_moved_under_teaches_an_order_that_can_be_searched() -> None:
    listed = Listed(5000, 20)
    for _ in range(1000):
        listed.insert(0.3)
    listed.read(1)
    listed.run()
    swept = [listed.page(number) for number in range(1, listed.pages() + 1)]
    listed.insert(0.0)  # when the sweep has seen its first page
    listed.search.learn(learnt(swept), len(listed.rows), moved=True)
    assert listed.search.surplus == 1
    listed.run()
    gone = listed.delete(0.6)
    listed.read(3)
    listed.run()
    assert listed.search.order.rows == listed.rows
    assert listed.missing == {gone}
