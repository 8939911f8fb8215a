"""Which rows are due when: a bucket for each day, in which the rows stand in no order until the day comes.

About 9 bytes a row. Nothing here takes long at once: a row is entered into its day, and only the nearest day is put in
order, which a million certificates have a few thousand rows of. Entries are hints: whoever takes a row out looks into
the row itself; what is entered too early costs a look, and what a row was due at before is passed over.
"""

from __future__ import annotations

import heapq
from array import array
from collections import defaultdict
from collections.abc import Sequence

from certstream.core.packed import BITS, ROW

_DAY = 86_400
LAST = (1 << 32) - 1
"""Early in the year 2106: what is due later is looked at then."""


class Calendar:
    """Moments are whole seconds since 1970, rounded up, so that nothing fires early."""

    def __init__(self) -> None:
        self._due = array("I")
        """per row: the second at which it is due, 0: never"""
        self._days: defaultdict[int, array[int]] = defaultdict(lambda: array("I"))
        """rows of the days that were not begun yet"""
        self._begun = -1
        """the last day whose rows are in `_near`, and so are those of all days before"""
        self._near: list[int] = []
        """a heap of second and row in one number"""

    def enter(self, number: int, due: int | None) -> None:
        """Row `number` is due at `due` (Unix milliseconds), or never: what was entered for it before does not count."""
        if number >= len(self._due):
            self._due.frombytes(bytes(4 * (number + 1 - len(self._due))))
        second = 0 if due is None else min(max(-(-due // 1000), 1), LAST)
        if second == self._due[number]:
            return
        self._due[number] = second
        day = second // _DAY
        if not second:
            pass
        elif day > self._begun:
            self._days[day].append(number)
        else:
            heapq.heappush(self._near, second << BITS | number)

    def fill(self, first: int, seconds: Sequence[int]) -> None:
        """Enter the rows from `first` on, none of which was entered before, each with its second, up to `LAST`; 0
        where it is due never. Of a calendar that was not asked for anything yet."""
        assert self._begun < 0
        missing = first - len(self._due)
        if missing > 0:
            self._due.frombytes(bytes(4 * missing))
        self._due[first : first + len(seconds)] = array("I", seconds)
        days = self._days
        for number, second in enumerate(seconds, first):
            if second:
                days[second // _DAY].append(number)

    def next(self) -> int | None:
        """When the first entry is due, Unix milliseconds."""
        while True:
            while self._near:
                entry = self._near[0]
                if self._due[entry & ROW] == entry >> BITS:
                    return (entry >> BITS) * 1000
                heapq.heappop(self._near)
            if not self._days:
                return None
            self._begin(min(self._days))

    def _begin(self, day: int) -> None:
        """Its rows come next."""
        seconds = self._due
        # A row that was entered elsewhere since and came back is here twice.
        numbers = {number for number in self._days.pop(day) if seconds[number] // _DAY == day}
        self._near = [seconds[number] << BITS | number for number in numbers]
        heapq.heapify(self._near)
        self._begun = day

    def pop(self, now: int, limit: int) -> list[int]:
        """Take up to `limit` rows that are due at `now` (Unix milliseconds), earliest first."""
        found: list[int] = []
        while len(found) < limit and (due := self.next()) is not None and due <= now:
            number = heapq.heappop(self._near) & ROW
            self._due[number] = 0
            found.append(number)
        return found
