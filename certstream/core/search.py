"""Where in a list of unknown but steady order something was inserted or deleted (`design`, Sweeps: bisection).

An insert or a delete at one place shifts every row behind it by one. So the order of the last sweep is kept, 4 bytes a
row; a page shows by how much its rows are shifted, and on which side the change lies. What a page shows is also put
into the order at once, whoever asked for it. Nothing is decided here: `read` names rows that are not where they were,
`next` a page that would say more, and neither raises, whatever the answers are.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from statistics import median_low
from typing import NamedTuple

NOBODY = 0
"""In place of a row number + 1: a record that cannot be read."""
MANY = 50
"""Rows that one page may miss; more than that is another order, not a change."""
DISORDER = 2
"""Pages one after the other that show an order which is not the known one, before it is given up."""
SPREAD = (8, 4, 12, 2, 6, 10, 14, 1, 3, 5, 7, 9, 11, 13, 15)
"""Sixteenths of the list that are looked at where an insert and a delete may cancel."""
RESTARTS = 2
"""How often one search may contradict itself."""


class Outcome(StrEnum):
    """What became of a search."""

    FOUND = "found"
    NOTHING = "nothing"
    """the list does not move any more, or no page shows where it did"""
    BULK = "bulk"
    """so many changes that a sweep finds them sooner"""
    UNSTEADY = "unsteady"
    """the order has changed: there is nothing to search by until a sweep has learnt it again"""


class _Span(NamedTuple):
    """Measured: `order[start:end]` lies at these positions of the list + `shift`."""

    start: int
    end: int
    shift: int


def learnt(pages: Iterable[Sequence[int]]) -> array[int]:
    """The order that a whole sweep saw, from its pages, first page first; a row that was seen twice counts once."""
    order, met = array("I"), set[int]()
    for page in pages:
        fresh = [row for row in dict.fromkeys(page) if row and row not in met]
        met.update(fresh)
        order.extend(fresh if len(fresh) == len(page) else [row for row in page if row == NOBODY or row in fresh])
    return order


class Search:
    """The order of one account's list, and the search for where it moved. Rows are given as their number + 1."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.order = array("I")
        self.outcome: Outcome | None = None
        """of the last search"""
        self.calls = 0
        """of the search that runs, or the last one"""
        self._listed = bytearray()
        self._ready = self._active = False
        self._total = self._odd = 0
        self._asked_at = float("-inf")
        self._spans: list[_Span] = []
        self._again: list[int] = []
        self._spread: list[int] = []
        self._asked: set[int] = set()
        self._gap: tuple[_Span, _Span] | None = None
        self._limit = self._found = self._restarts = self._disorder = 0
        self._edges = [True, True]
        """whether the first, the last page are asked first: where certificates were inserted the last time"""

    # --- The order ----------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether an order is known."""
        return self._ready

    @property
    def surplus(self) -> int:
        """Rows that the list has more than the order (less, if negative), by its last TotalCount."""
        return self._total - self._odd - len(self.order)

    def learn(self, order: array[int], total: int) -> None:
        """A sweep saw the list in this order. What its TotalCount promises beyond that is how this service counts."""
        self.order, self._ready = order, True
        self._listed = bytearray(max(order, default=0) + 1)
        for row in order:
            self._listed[row] = 1
        self._total, self._odd = total, total - len(order)
        self._disorder = 0
        self._stop(None)

    def swept(self) -> None:
        """A complete sweep has shown every page: the order is right, whatever TotalCount says."""
        if self._ready and not self._active:
            self._odd = self._total - len(self.order)

    def forget(self) -> None:
        """The order is not known any more."""
        if self._active:
            self._stop(Outcome.UNSTEADY)
        self._ready, self.order, self._listed = False, array("I"), bytearray()

    def read(self, number: int, size: int, rows: Sequence[int], total: int | None, *, sent: float) -> list[int]:
        """A page showed these rows; it was asked for at `sent`. Gives rows that were between them and are not."""
        if not self._ready or total is None:
            return []
        if size != self.size:
            self.size = size
            self.forget()
            return []
        if sent < self._asked_at:
            return []  # older than what is known
        self._asked_at = sent
        if total != self._total:
            self._total = total
            self._moved()
        at = (number - 1) * size
        if not rows or at + len(rows) > total + size:
            return []
        last = len(rows) < size and at + len(rows) >= total - self._odd
        missing = self._take(at, array("I", rows), last=last) + self._close()
        return [row - 1 for row in missing if row]

    def _take(self, at: int, rows: array[int], *, last: bool) -> list[int]:
        """Put a page that begins at position `at` of the list into the order."""
        left, right = self._around(at)
        for shift in {left.shift, right.shift}:
            start = at - shift
            whole = (at > 0 or start == 0) and (not last or start + len(rows) == len(self.order))
            if whole and start >= 0 and self.order[start : start + len(rows)] == rows:
                self._measured(_Span(start, start + len(rows), shift))
                return []
        place = self._align(at, rows, left)
        if place is None:
            listed = sum(map(self._is_listed, rows))
            if 2 * listed > len(rows):
                self._disordered()
                return []
            if not last and left.end + left.shift != at:
                return []  # all of it is new: nothing says yet where that is
            place = (len(self.order),) * 2 if last else (left.end, left.end)
        start, end = place
        start, end = 0 if at == 0 else start, len(self.order) if last else end
        shown = set(rows)
        missing = [row for row in self.order[start:end] if row not in shown]
        if len(missing) > MANY:
            self._disordered()
            return []
        self._splice(start, end, rows)
        self._measured(_Span(start, start + len(rows), at - start))
        return missing

    def _align(self, at: int, rows: array[int], left: _Span) -> tuple[int, int] | None:
        """Which part of the order a page stands for; None where most of what it shows is somewhere else."""
        around = self._near(at - left.shift, rows)
        if not around:
            return None
        shifts = [at + index - around[row] for index, row in enumerate(rows) if row in around]
        middle = median_low(shifts)
        ascending: list[int] = []
        for index, row in enumerate(rows):
            found = around.get(row)
            if found is None or abs(at + index - found - middle) > MANY or (ascending and found <= ascending[-1]):
                continue
            ascending.append(found)
        listed = sum(map(self._is_listed, rows))
        return (ascending[0], ascending[-1] + 1) if ascending and 2 * len(ascending) >= listed else None

    def _near(self, expected: int, rows: array[int]) -> dict[int, int]:
        """Where rows of a page are in the order, near where they are expected, or near where its middle is."""
        window = self.size + MANY
        wanted = set(rows) - {NOBODY}
        for centre in (expected, None):
            if centre is None:
                probe = next((row for row in rows[len(rows) // 2 :] if self._is_listed(row)), NOBODY)
                if not probe:
                    return {}
                try:
                    centre = self.order.index(probe) - len(rows) // 2
                except ValueError:
                    return {}
            begin = max(0, centre - window)
            part = self.order[begin : centre + len(rows) + window] if centre + len(rows) + window > 0 else ()
            found = {row: index for index, row in enumerate(part, begin) if row in wanted}
            if found:
                return found
        return {}

    def _is_listed(self, row: int) -> bool:
        return row != NOBODY and row < len(self._listed) and bool(self._listed[row])

    def _splice(self, start: int, end: int, rows: array[int]) -> None:
        """`order[start:end]` is these rows. Moves what was measured behind it along."""
        before = self.order[start:end]
        grown = len(rows) - len(before)
        if self._active:
            self._found += 1
            self._limit = min(self._limit + self._depth(), 400)
            if grown > 0:
                self._edges = [start == 0, end == len(self.order)]
        for row in before:
            self._listed[row] = 0
        if (top := max(rows, default=0)) >= len(self._listed):
            self._listed.extend(bytes(top + 1 - len(self._listed)))
        for row in rows:
            self._listed[row] = 1
        self.order[start:end] = rows
        self._spans = [span for span in self._spans if span.end <= start] + [
            _Span(span.start + grown, span.end + grown, span.shift - grown) for span in self._spans if span.start >= end
        ]

    # --- The search ---------------------------------------------------------------------------------------------

    @property
    def wanted(self) -> bool:
        """Whether something says that the list has moved."""
        return self._ready and self.surplus != 0

    def begin(self) -> None:
        """Search. Ask `next` for pages until it gives None; `outcome` then says why."""
        self._stop(None)
        self._active = True
        self.calls = self._found = self._restarts = self._disorder = 0
        self._limit = 3 * self._depth()
        pages = self._pages()
        edges = zip(self._edges, (1, pages), strict=True)
        self._again = [page for wanted, page in edges if wanted] if self.surplus > 0 else []

    def next(self) -> int | None:
        """The page to ask for next; None when the search is over."""
        if not self._active:
            return None
        gaps = list(self._gaps())
        moved = sum(abs(right.shift - left.shift) for left, right in gaps)
        if not (gaps or self._again or self._spread):
            self._stop(Outcome.FOUND if self._found else Outcome.NOTHING)
        elif self._disorder > DISORDER:
            self.forget()
        elif moved * self._depth() > max(self._pages(), 2 * self._depth()):
            self._stop(Outcome.BULK)
        elif self.calls >= self._limit:
            self._stop(Outcome.NOTHING)
        else:
            self.calls += 1
            page = self._choose(gaps)
            if page is not None:
                self._asked.add(page)
                return page
            self._stop(Outcome.NOTHING)
        return None

    def failed(self) -> None:
        """A page could not be had."""
        self._stop(Outcome.NOTHING)

    def _choose(self, gaps: list[tuple[_Span, _Span]]) -> int | None:
        while self._again:
            if (page := self._again.pop(0)) not in self._asked and 1 <= page <= self._pages():
                return page
        while self._spread and not gaps:
            if (page := self._spread.pop(0)) not in self._asked:
                return page
        for _ in range(2):
            for left, right in sorted(gaps, key=lambda gap: (gap[1].start - gap[0].end, gap[0].start)):
                self._gap = left, right
                middle = (left.end + right.start) // 2 + left.shift
                for position in (middle, left.end + left.shift, right.start - 1 + right.shift):
                    page = min(max(position // self.size + 1, 1), self._pages())
                    if page not in self._asked:
                        return page
            if self._restarts == RESTARTS:
                return None
            self._restarts += 1  # measured at different times, it does not fit together
            self._spans, self._asked = [], set()
            gaps = list(self._gaps())
        return None

    def _depth(self) -> int:
        """Calls that one change takes."""
        return self._pages().bit_length() + 2

    def _pages(self) -> int:
        return max(-(-max(self._total, 1) // self.size), 1)

    def _stop(self, outcome: Outcome | None) -> None:
        self._active = False
        self.outcome = outcome
        self._spans, self._again, self._spread, self._asked, self._gap = [], [], [], set(), None

    def _moved(self) -> None:
        """TotalCount is another than before: what was measured may be shifted since. The ends of the gap that is being
        searched are measured again; where they still hold, what lies between is as narrow as before."""
        if self._active:
            ends = [] if self._gap is None else [self._gap[0].end - 1 + self._gap[0].shift, sum(self._gap[1][::2])]
            # Where it is what it was: what was searched for may be there still, and something else that cancels it.
            places = [len(self.order) * part // 16 for part in SPREAD] if self.surplus == 0 else []
            self._spread = [place // self.size + 1 for place in places]
            self._again = [position // self.size + 1 for position in ends]
            self._spans, self._asked, self._gap = [], set(), None

    def _ends(self) -> Iterator[_Span]:
        end = len(self.order)
        yield _Span(0, 0, 0)
        yield from self._spans
        yield _Span(end, end, self.surplus)

    def _gaps(self) -> Iterator[tuple[_Span, _Span]]:
        """Between what was measured: where shifts differ, something lies between."""
        return (pair for pair in itertools.pairwise(self._ends()) if pair[0].shift != pair[1].shift)

    def _around(self, position: int) -> tuple[_Span, _Span]:
        """What was measured before and behind a position of the list."""
        left = right = _Span(0, 0, 0)
        for right in self._ends():
            if right.start + right.shift > position:
                break
            left = right
        return left, right

    def _measured(self, span: _Span) -> None:
        self._disorder = 0
        if self._active:
            kept = [one for one in self._spans if one.end <= span.start or one.start >= span.end]
            self._spans = sorted([*kept, span])

    def _disordered(self) -> None:
        self._disorder += 1
        if self._disorder > DISORDER and not self._active:
            self.forget()

    def _close(self) -> list[int]:
        """Rows between two measured pages that stand side by side now."""
        missing: list[int] = []
        for left, right in list(itertools.pairwise(self._spans)):
            between = right.start - left.end
            if 0 < between <= MANY and left.end + left.shift == right.start + right.shift:
                start = left.end - len(missing)
                missing += self.order[start : start + between]
                self._splice(start, start + between, array("I"))
        return missing
