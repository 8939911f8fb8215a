"""What decides when each row is due, as columns: a million rows are entered into a calendar in less than a second.

24 bytes a row. What the columns cannot say (a threshold that passed and was not told: did it count then?) they leave
to the row itself, so that `core.expiry` alone decides; and they may say a moment too early, which costs a look.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from certstream.core.calendar import LAST
from certstream.core.rows import Row
from certstream.core.times import Threshold

_NEVER = 2.0**60
_NONE = 2.0**53
"""More than any time before notAfter, in milliseconds."""

_UP = 999.25
"""Milliseconds, to round a second up. Parts are not rounded to a millisecond here: three quarters of one earlier is
never later than they are."""


class Deadlines:
    """Per row, milliseconds: notAfter, the lifetime, and how long before notAfter the last that was told lies."""

    def __init__(self) -> None:
        self._ends, self._lifetimes, self._told = array("d"), array("d"), array("d")

    def __len__(self) -> int:
        return len(self._ends)

    def note(self, number: int, row: Row) -> None:
        """Row `number`, one that is known or the next, is like this now."""
        if number == len(self._ends):
            self.extend((row,))
        else:
            self._ends[number], self._lifetimes[number], self._told[number] = _columns(row)

    def extend(self, rows: Iterable[Row]) -> None:
        """The next rows."""
        columns = [_columns(row) for row in rows]
        self._ends.extend([end for end, _, _ in columns])
        self._lifetimes.extend([lifetime for _, lifetime, _ in columns])
        self._told.extend([told for _, _, told in columns])

    def due(self, first: int, last: int, thresholds: Sequence[Threshold], now: int) -> tuple[list[int], list[int]]:
        """When the rows `first` to `last` (exclusive) are due after `now` (Unix milliseconds): the second, rounded up,
        0 for never; and the numbers of those that must be looked into."""
        spans = sorted([0.0, *(float(one.duration) for one in thresholds if one.duration is not None)])
        parts = sorted([0.0, *(one.part for one in thresholds if one.part is not None)])
        span, part = spans[-1], parts[-1]
        ends, lifetimes, told = self._ends[first:last], self._lifetimes[first:last], self._told[first:last]
        if part:
            moments = [
                (end - widest + _UP) * 0.001
                if end - now > (widest := span if span > (wide := part * lifetime) else wide)
                else 0.0  # something has passed already
                for end, lifetime in zip(ends, lifetimes, strict=True)
            ]
        else:
            bound, ahead = now + span, span - _UP
            moments = [(end - ahead) * 0.001 if end > bound else 0.0 for end in ends]
        seconds = list(map(int, moments))
        if max(seconds, default=0) > LAST:
            seconds = [0 if end == _NEVER else min(second, LAST) for second, end in zip(seconds, ends, strict=True)]
        unsure: list[int] = []
        spans.append(_NEVER)
        parts.append(_NEVER)
        for at, moment in enumerate(moments):
            if not moment:
                end, lifetime = ends[at], lifetimes[at]
                left = end - now
                span_at, part_at = bisect_left(spans, left), bisect_left(parts, left / lifetime)
                passed, of_lifetime = spans[span_at], parts[part_at] * lifetime
                if of_lifetime < passed:
                    passed = round(of_lifetime)
                if left <= 0 or (passed < told[at] and passed < lifetime):  # one that is told as expired has no end
                    unsure.append(first + at)
                else:
                    following, of_lifetime = spans[span_at - 1], parts[part_at - 1] * lifetime
                    seconds[at] = int((end - (following if following > of_lifetime else of_lifetime) + _UP) * 0.001)
        return seconds, unsure


def _columns(row: Row) -> tuple[float, float, float]:
    end, begin, told = row.not_after, row.not_before, row.told
    if end is None or row.revoked or not row.image or (told is not None and told.expired):
        return _NEVER, 1.0, _NONE
    lifetime = _NEVER if begin is None else max(end - begin, 1)
    return end, lifetime, _NONE if told is None or told.threshold is None else told.threshold
