"""The packed index against what a dictionary would say."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from certstream.core.packed import Subjects


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


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**24 - 1)), max_size=100, unique=True))
def test_subjects_that_are_filled_in_at_once_are_found(entries: list[tuple[int, int]]) -> None:
    subjects = Subjects()
    subjects.fill(entries[::2])
    subjects.fill(entries[1::2])
    for _ in subjects.settle():
        pass
    subjects.add(7, 7)
    for key in range(41):
        assert list(subjects.find(key)) == sorted({row for one, row in [*entries, (7, 7)] if one == key})
