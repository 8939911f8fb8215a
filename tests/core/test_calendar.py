"""The calendar against what a dictionary would say; what enters many rows at once against what each of them says."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from certstream.core.calendar import LAST, Calendar
from certstream.core.deadlines import Deadlines
from certstream.core.expiry import due, next_due
from certstream.core.rows import Row, Told
from certstream.core.times import thresholds
from tests.core.world import DAY

_rows = st.integers(0, 50)
_moments = st.one_of(st.integers(-5_000, 100_000), st.integers(-DAY, 5 * DAY))


def rounded(due: int) -> int:
    """The second of a moment in milliseconds."""
    return min(max(-(-due // 1000), 1), LAST)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.just("enter"), _moments | st.none() | st.just(10**15), _rows)
        | st.tuples(st.just("pop"), _moments, st.integers(1, 20))
        | st.tuples(st.just("next"), st.just(0), st.just(0)),
        max_size=80,
    )
)
def test_a_calendar_gives_each_row_when_its_second_has_begun_and_not_before(
    steps: list[tuple[str, int | None, int]],
) -> None:
    calendar, naive = Calendar(), dict[int, int]()
    for what, at, number in steps:
        if what == "enter":
            calendar.enter(number, at)
            naive.pop(number, None)
            if at is not None:
                naive[number] = rounded(at)
        elif what == "pop":
            assert at is not None
            found = calendar.pop(at, number)
            passed = sorted(second for second in naive.values() if second * 1000 <= at)
            assert [naive.pop(row) for row in found] == passed[:number]
        earliest = min(naive.values(), default=None)
        assert calendar.next() == (earliest * 1000 if earliest is not None else None)


def test_a_calendar_that_is_filled_at_once_is_one_that_was_entered_row_by_row() -> None:
    seconds = [(number * 7919) % 400_000 + 1 for number in range(20_000)]
    seconds[500:600] = [0] * 100
    calendar = Calendar()
    calendar.enter(7_000, 5_000)  # while it is being filled
    calendar.enter(21_000, 5_000)
    for first in range(0, 20_000, 3_000):
        calendar.fill(first, seconds[first : first + 3_000])
    found = calendar.pop(10**9, 30_000)
    assert len(found) == 20_000 - 100 + 1
    assert [5 if number == 21_000 else seconds[number] for number in found] == sorted(
        [5, *(second for second in seconds if second)]
    )
    assert calendar.next() is None


# --- Many rows at once ------------------------------------------------------------------------------------------------

TEXTS: tuple[list[str], ...] = (["60d", "30d", "1d", "90m"], ["33%", "10%", "0.001%"], ["30d", "7d", "50%", "2.5%"], [])
NOW = 1_780_000_000_123
_spans = st.sampled_from([one * DAY for one in (-400, -1, 0, 1, 7, 15, 30, 60, 90, 365)]) | st.integers(
    -800 * DAY, 800 * DAY
)


def row(not_before: int | None, not_after: int | None, told: Told | None, *, known: int, revoked: bool) -> Row:
    """One that is there, as far as thresholds go."""
    return Row(
        form=1,
        raw=b"",
        sequence=1,
        hash=b"",
        inventory=b"",
        first=0,
        at=0,
        asked=0,
        known=known,
        not_before=not_before,
        not_after=not_after,
        told=told,
        past=(),
        revoked=revoked,
        baseline=False,
        subject=0,
        lineage=0,
        image=b"x",
    )


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_what_is_entered_at_once_comes_no_later_than_the_row_says_and_mostly_then(data: st.DataObject) -> None:
    texts = data.draw(st.sampled_from(TEXTS))
    configured = thresholds(texts)
    since = {text: data.draw(st.sampled_from([0, -1, NOW - 10 * DAY, NOW])) for text in texts}
    end = data.draw(st.none() | _spans.map(lambda span: NOW + span))
    begin = data.draw(st.none() | _spans.map(lambda span: (end or NOW) - span))
    told = None
    if end is not None and data.draw(st.booleans()):
        spans = [
            span
            for one in configured
            if (span := one.before(begin if begin is not None else end - DAY, end)) is not None
        ]
        told = Told(end, data.draw(st.sampled_from([None, *spans])), None, data.draw(st.booleans()))
    known = data.draw(st.sampled_from([0, NOW - DAY]))
    one = row(begin, end, told, known=known, revoked=data.draw(st.booleans()))
    deadlines = Deadlines()
    deadlines.note(0, row(None, None, None, known=0, revoked=False))
    deadlines.note(0, one)
    seconds, unsure = deadlines.due(0, 1, configured, NOW)
    untold = due(one, configured, since, NOW)
    moment = untold.moment if untold is not None else next_due(one, configured, NOW)
    if unsure:
        assert unsure == [0]
        return
    if untold is not None:
        raise AssertionError("it would be told late")
    if moment is not None and not (told is not None and told.expired):
        assert seconds[0], "it would never be told"
        assert seconds[0] <= rounded(moment)
        if begin is not None and begin < NOW:
            assert seconds[0] >= rounded(moment) - 1


def test_a_year_of_rows_at_once_is_exact() -> None:
    """Certificates as they are: nobody is looked into but those whose threshold passed and was not told."""
    configured = thresholds(["60d", "30d", "7d", "33%"])
    rows = []
    for number in range(2_000):
        end = NOW + number * DAY // 5 - (123 if number % 2 else 0)  # whole seconds, and others
        begin = end - (90 if number % 3 else 365) * DAY
        passed = [span for one in configured if (span := one.before(begin, end)) is not None and end - span <= NOW]
        told = Told(end, min(passed)) if passed and number % 50 else None
        rows.append(row(begin, end, told, known=0, revoked=False))
    deadlines = Deadlines()
    deadlines.extend(rows)
    seconds, unsure = deadlines.due(0, len(rows), configured, NOW)
    since = dict.fromkeys(("60d", "30d", "7d", "33%"), 0)
    assert unsure == [number for number, one in enumerate(rows) if due(one, configured, since, NOW) is not None]
    for number, one in enumerate(rows):
        if number not in unsure:
            exact = next_due(one, configured, NOW)
            assert exact is not None
            assert seconds[number] == rounded(exact)
