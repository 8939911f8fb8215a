"""Two sorted indexes over row numbers, 8 bytes a row: the calendar of expiry and the index of subjects.

An entry is one 64-bit number, key in the high 40 bits and row number in the low 24, so that a plain sorted array and
`bisect` do it all. Entries are hints: whoever finds a row there checks the row itself, and stale entries are harmless.
"""

from __future__ import annotations

import heapq
import itertools
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

_BITS = 24
_ROW = (1 << _BITS) - 1
_KEY = (1 << 40) - 1
ROWS_LIMIT = 1 << _BITS
"""Rows that an account can have: 16.7 million."""


def _merged(one: Iterable[int], other: Iterable[int]) -> array[int]:
    """Two runs as one, sorted and without repeats. For a moment all entries are objects, 40 bytes each: merging them
    one by one would save these, and take several times as long."""
    return array("Q", (entry for entry, _ in itertools.groupby(sorted(itertools.chain(one, other)))))


def _entry(due: int, number: int) -> int:
    return min(max(-(-due // 1000), 0), _KEY) << _BITS | number


class Calendar:
    """Which rows are due when. Keys are whole seconds since 1970, rounded up, so that nothing fires early."""

    def __init__(self, entries: Iterable[tuple[int, int]] = ()) -> None:
        """`entries`: as for `add`, all at once."""
        self._settled = _merged((), (_entry(due, number) for due, number in entries))
        self._position = 0
        self._fresh: list[int] = []

    def add(self, due: int, number: int) -> None:
        """Row `number` is due at `due` (Unix milliseconds)."""
        heapq.heappush(self._fresh, _entry(due, number))
        if len(self._fresh) > 4096 + len(self._settled) // 8:
            self.settle()

    def settle(self) -> None:
        """Pack what was added since."""
        self._settled = _merged(self._settled[self._position :], self._fresh)
        self._position, self._fresh = 0, []

    def next(self) -> int | None:
        """When the first entry is due, Unix milliseconds."""
        heads = [self._fresh[0]] if self._fresh else []
        if self._position < len(self._settled):
            heads.append(self._settled[self._position])
        return (min(heads) >> _BITS) * 1000 if heads else None

    def pop(self, now: int, limit: int) -> list[int]:
        """Take up to `limit` rows that are due at `now` (Unix milliseconds), earliest first."""
        bound = (max(now, 0) // 1000 + 1) << _BITS
        found: list[int] = []
        while len(found) < limit:
            settled = self._settled[self._position] if self._position < len(self._settled) else bound
            fresh = self._fresh[0] if self._fresh else bound
            if min(settled, fresh) >= bound:
                break
            if settled <= fresh:
                self._position += 1
                found.append(settled & _ROW)
            else:
                found.append(heapq.heappop(self._fresh) & _ROW)
        return found


class Subjects:
    """Which rows may have a given subject: keys are 40 bits of a hash."""

    def __init__(self) -> None:
        self._sorted = array("Q")
        self._fresh = array("Q")

    def add(self, key: int, number: int) -> None:
        """Row `number` has a subject that hashes to `key`."""
        self._fresh.append(key << _BITS | number)
        if len(self._fresh) > 4096 + len(self._sorted):
            self._settle()

    def _settle(self) -> None:
        self._sorted, self._fresh = _merged(self._sorted, self._fresh), array("Q")

    def find(self, key: int) -> Iterator[int]:
        """Numbers of rows whose subject may be the one of `key`."""
        if len(self._fresh) > 64:
            self._settle()
        for entry in self._fresh:
            at = bisect_left(self._sorted, entry)
            if at == len(self._sorted) or self._sorted[at] != entry:
                self._sorted.insert(at, entry)
        del self._fresh[:]
        at = bisect_left(self._sorted, key << _BITS)
        while at < len(self._sorted) and self._sorted[at] >> _BITS == key:
            yield self._sorted[at] & _ROW
            at += 1
