"""The packed indexes against what a dictionary would say."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from certstream.core.packed import Calendar, Subjects

_rows = st.integers(0, 50)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.just("add"), st.integers(-5_000, 100_000), _rows)
        | st.tuples(st.just("pop"), st.integers(-5_000, 110_000), st.integers(1, 20))
        | st.tuples(st.just("settle"), st.just(0), st.just(0)),
        max_size=60,
    )
)
def test_a_calendar_gives_each_row_when_its_second_has_begun_and_not_before(
    steps: list[tuple[str, int, int]],
) -> None:
    calendar, naive = Calendar(), set[tuple[int, int]]()
    for what, at, number in steps:
        if what == "add":
            calendar.add(at, number)
            naive.add((max(-(-at // 1000), 0), number))
        elif what == "settle":
            calendar.settle()
        else:
            found = calendar.pop(at, number)
            due = sorted(entry for entry in naive if entry[0] * 1000 <= max(at, 0))
            taken = set(found)
            assert taken <= {row for _, row in due}
            assert len(found) <= number
            if len(found) < number:
                assert taken == {row for _, row in due}
                naive -= set(due)
            else:  # doubled entries may have used the limit up: start again from what is certain
                while calendar.pop(at, 100):
                    pass
                naive -= set(due)
    earliest = min(naive, default=None)
    assert calendar.next() == (earliest[0] * 1000 if earliest is not None else None)


def test_a_calendar_stays_in_order_through_many_entries() -> None:
    calendar = Calendar()
    for number in range(20_000):
        calendar.add((number * 7919) % 20_000 * 1000, number)
    days = [(number * 7919) % 20_000 for number in calendar.pop(10**9, 20_000)]
    assert days == sorted(days)
    assert len(days) == 20_000
    assert calendar.next() is None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "find"]), st.sampled_from([0, 1, 2, 2**40 - 1]), st.integers(0, 2**24 - 1)),
        max_size=200,
    )
)
def test_subjects_are_found_each_once(steps: list[tuple[str, int, int]]) -> None:
    subjects, naive = Subjects(), dict[int, set[int]]()
    for what, key, number in steps:
        if what == "add":
            subjects.add(key, number)
            naive.setdefault(key, set()).add(number)
        else:
            assert list(subjects.find(key)) == sorted(naive.get(key, set()))
    for _ in range(10_000):
        subjects.add(7, 7)
    assert list(subjects.find(7)) == [7]
