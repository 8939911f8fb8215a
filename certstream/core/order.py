"""In which order an account's list shows its rows: unknown beforehand, mostly steady (`design`, Sweeps: bisection).

4 bytes a row, and one that says whether a row is in it. Rows are given as their number + 1.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from statistics import median_low
from typing import NamedTuple

NOBODY = 0
"""In place of a row number + 1: a record that cannot be read."""
MANY = 50
"""Rows that one page may miss; more than that is another order, not a change."""


class Place(NamedTuple):
    """`rows[start:end]` of the order."""

    start: int
    end: int


def learnt(pages: Iterable[Sequence[int]]) -> array[int]:
    """The order that a whole sweep saw, from its pages, first page first; a row that was seen twice counts once."""
    order, met = array("I"), set[int]()
    for page in pages:
        fresh = [row for row in dict.fromkeys(page) if row and row not in met]
        met.update(fresh)
        order.extend(fresh if len(fresh) == len(page) else [row for row in page if row == NOBODY or row in fresh])
    return order


class Order:
    """Of one list, as far as its pages have shown it."""

    def __init__(self, rows: array[int] | None = None) -> None:
        self.rows = rows if rows is not None else array("I")
        self._listed = bytearray(max(self.rows, default=0) + 1)
        for row in self.rows:
            self._listed[row] = 1

    def __len__(self) -> int:
        return len(self.rows)

    def shows(self, place: Place, rows: array[int]) -> bool:
        """Whether it is these rows that stand there."""
        return place.start >= 0 and self.rows[place.start : place.end] == rows

    def listed(self, rows: Sequence[int]) -> int:
        """How many of these are in it."""
        return sum(map(self._is_listed, rows))

    def without(self, place: Place, rows: Iterable[int]) -> list[int]:
        """What stands there, but for these."""
        shown = set(rows)
        return [row for row in self.rows[place.start : place.end] if row not in shown]

    def align(self, at: int, rows: array[int], expected: int) -> Place | None:
        """Which part of the order a page stands for that begins at position `at` of the list, and is expected at
        `expected` of the order; None where most of what it shows is somewhere else, or in another order."""
        around = self._near(expected, rows)
        if not around:
            return None
        middle = median_low([at + index - around[row] for index, row in enumerate(rows) if row in around])
        ascending: list[int] = []
        for index, row in enumerate(rows):
            found = around.get(row)
            if found is None or abs(at + index - found - middle) > MANY or (ascending and found <= ascending[-1]):
                continue
            ascending.append(found)
        if not ascending or 2 * len(ascending) < self.listed(rows):
            return None
        return Place(ascending[0], ascending[-1] + 1)

    def splice(self, place: Place, rows: array[int]) -> int:
        """These rows stand there from now on; how many more than before."""
        before = self.rows[place.start : place.end]
        for row in before:
            self._listed[row] = 0
        if (top := max(rows, default=0)) >= len(self._listed):
            self._listed.extend(bytes(top + 1 - len(self._listed)))
        for row in rows:
            self._listed[row] = 1
        self.rows[place.start : place.end] = rows
        return len(rows) - len(before)

    def _near(self, expected: int, rows: array[int]) -> dict[int, int]:
        """Where rows of a page are, near where they are expected, or near where its middle is."""
        window = len(rows) + MANY
        wanted = set(rows) - {NOBODY}
        for centre in (expected, None):
            if centre is None:
                probe = next((row for row in rows[len(rows) // 2 :] if self._is_listed(row)), NOBODY)
                if not probe:
                    return {}
                try:
                    centre = self.rows.index(probe) - len(rows) // 2
                except ValueError:
                    return {}
            begin = max(0, centre - window)
            part = self.rows[begin : centre + len(rows) + window] if centre + len(rows) + window > 0 else ()
            found = {row: index for index, row in enumerate(part, begin) if row in wanted}
            if found:
                return found
        return {}

    def _is_listed(self, row: int) -> bool:
        return row != NOBODY and row < len(self._listed) and bool(self._listed[row])
