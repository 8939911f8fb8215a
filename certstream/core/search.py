"""Where in a list of unknown but steady order something was inserted or deleted (`design`, Sweeps: bisection).

An insert or a delete at one place shifts every row behind it by one. So the order of the last sweep is kept, 4 bytes a
row; a page shows by how much its rows are shifted, and on which side the change lies. What a page shows is also put
into the order at once, whoever asked for it. Nothing is decided here: `read` names rows that are not where they were,
`next` a page that would say more, and neither raises, whatever the answers are.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from enum import StrEnum

from certstream.core.measured import Gap, Measured, Span
from certstream.core.order import MANY, Order, Place

DISORDER = 2
"""Pages one after the other that show an order which is not the known one, before it is given up."""
SPREAD = (8, 4, 12, 2, 6, 10, 14, 1, 3, 5, 7, 9, 11, 13, 15)
"""Sixteenths of the list that are looked at where an insert and a delete may cancel."""
RESTARTS = 2
"""How often one search may contradict itself."""
GOLDEN = 0.618034
"""Multiples of it, modulo 1, leave no part of the list unseen for long."""


class Outcome(StrEnum):
    """What became of a search."""

    FOUND = "found"
    NOTHING = "nothing"
    """the list does not move any more, or no page shows where it did"""
    BULK = "bulk"
    """so many changes that a sweep finds them sooner"""
    UNSTEADY = "unsteady"
    """the order has changed: there is nothing to search by until a sweep has learnt it again"""


class Search:
    """The order of one account's list, and the search for where it moved. Rows are given as their number + 1."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.order = Order()
        self.outcome: Outcome | None = None
        """of the last search"""
        self.calls = 0
        """of the search that runs, or the last one"""
        self._ready = self._active = False
        self._total = self._odd = 0
        self._asked_at = float("-inf")
        self._measured = Measured()
        self._again: list[int] = []
        self._spread: list[int] = []
        self._asked: set[int] = set()
        self._gap: Gap | None = None
        self._limit = self._found = self._restarts = self._disorder = 0
        self._edges = [True, True]
        """whether the first, the last page are asked first: where certificates were inserted the last time"""
        self._probes = 0

    # --- The order ----------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether an order is known."""
        return self._ready

    @property
    def surplus(self) -> int:
        """Rows that the list has more than the order (less, if negative), by its last TotalCount."""
        return self._total - self._odd - len(self.order)

    def learn(self, rows: array[int], total: int, *, moved: bool = False) -> None:
        """A sweep saw the list in this order. What its TotalCount promises beyond that is how this service counts;
        where the list has `moved` meanwhile, what the sweep has missed of that, which is still to be searched for."""
        self.order, self._ready = Order(rows), True
        self._total = total
        if not moved:
            self._odd = total - len(rows)
        self._disorder = 0
        self._stop(None)

    def forget(self) -> None:
        """The order is not known any more."""
        if self._active:
            self._stop(Outcome.UNSTEADY)
        self._ready, self.order = False, Order()

    def read(self, number: int, size: int, rows: Sequence[int], total: int | None, *, sent: float) -> list[int]:
        """A page of `size` showed these rows; it was asked for at `sent`. Gives rows that were between them and are
        not."""
        if not self._ready or total is None or sent < self._asked_at:
            return []  # nothing to compare it with, or older than what is known
        self._asked_at = sent
        if size != self.size:
            self.size = size
            self._again, self._spread, self._asked = [], [], set()  # pages by their number
        if total != self._total:
            more, self._total = total > self._total, total
            self._moved(more=more)
        at = (number - 1) * size
        if not rows or at + len(rows) > total + size:
            return []
        last = len(rows) < size and at + len(rows) >= total - self._odd
        missing = self._take(at, array("I", rows), last=last) + self._close()
        return [row - 1 for row in missing if row]

    def _take(self, at: int, rows: array[int], *, last: bool) -> list[int]:
        """Put a page that begins at position `at` of the list into the order."""
        left, right = self._measured.around(at, len(self.order), self.surplus)
        for shift in {left.shift, right.shift}:
            place = Place(at - shift, at - shift + len(rows))
            whole = (at > 0 or place.start == 0) and (not last or place.end == len(self.order))
            if whole and self.order.shows(place, rows):
                self._measure(Span(*place, shift))
                return []
        stands = self._place(at, rows, left, right, last=last)
        if stands is None:
            return []
        missing = self.order.without(stands, rows)
        if len(missing) > MANY and not (at == 0 and last):
            self._disordered()
            return []
        self._splice(stands, rows)
        self._measure(Span(stands.start, stands.start + len(rows), at - stands.start))
        return missing

    def _place(self, at: int, rows: array[int], left: Span, right: Span, *, last: bool) -> Place | None:
        """Which part of the order a page stands for, from edge to edge of the list where it reaches these."""
        if at == 0 and last:
            return Place(0, len(self.order))  # the whole list, whatever its order
        place = self.order.align(at, rows, at - left.shift)
        if place is None:
            if 2 * self.order.listed(rows) > len(rows):
                self._disordered()
                return None
            if not last and left.end + left.shift != at:
                return None  # all of it is new: nothing says yet where that is
            place = Place(*(len(self.order),) * 2) if last else Place(left.end, left.end)
        start, end = 0 if at == 0 else place.start, len(self.order) if last else place.end
        bound = max(MANY, len(self.order) // 100)
        if not min(left.shift, right.shift) - bound <= at - start <= max(left.shift, right.shift) + bound:
            self._disordered()  # further than changes that cancel would take it
            return None
        return Place(start, end)

    def _splice(self, place: Place, rows: array[int]) -> None:
        """These rows stand there now. Moves what was measured behind it along."""
        start, end = place
        at_the_end = end == len(self.order)
        grown = self.order.splice(place, rows)
        if self._active:
            self._found += 1
            self._limit = min(self._limit + self._depth(), 400)
            if grown > 0:
                self._edges = [start == 0, at_the_end]
        self._measured.spliced(place, grown)

    # --- The search ---------------------------------------------------------------------------------------------

    @property
    def wanted(self) -> bool:
        """Whether something says that the list has moved: TotalCount, or a page that is shifted although TotalCount is
        what it was, for an insert and a delete have cancelled."""
        return self._ready and not self._measured.even(self.surplus)

    def begin(self) -> None:
        """Search. Ask `next` for pages until it gives None; `outcome` then says why."""
        self._active, self.outcome = True, None
        self.calls = self._found = self._restarts = self._disorder = 0
        self._limit = 3 * self._depth()
        self._again = self._at_the_edges() if self.surplus > 0 else []

    def next(self) -> int | None:
        """The page to ask for next; None when the search is over."""
        if not self._active:
            return None
        gaps = self._measured.gaps(len(self.order), self.surplus)
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

    def probe(self) -> int:
        """The page that a probe reads: by turns the one where something was inserted the last time, and ever another of
        the others. What cancels shows itself by its shift on every page between."""
        self._probes += 1
        if not self._ready or (self._edges[0] and self._probes % 2):
            return 1
        return int((self._probes * GOLDEN) % 1 * self._pages()) + 1

    def failed(self) -> None:
        """A page could not be had."""
        self._stop(Outcome.NOTHING)

    def _choose(self, gaps: list[Gap]) -> int | None:
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
            self._measured.clear()
            self._asked = set()
            gaps = self._measured.gaps(len(self.order), self.surplus)
        return None

    def _at_the_edges(self) -> list[int]:
        """Pages at which something may have been inserted, as it was the last time."""
        return [page for wanted, page in zip(self._edges, (1, self._pages()), strict=True) if wanted]

    def _depth(self) -> int:
        """Calls that one change takes."""
        return self._pages().bit_length() + 2

    def _pages(self) -> int:
        return max(-(-max(self._total, 1) // self.size), 1)

    def _stop(self, outcome: Outcome | None) -> None:
        self._active = False
        self.outcome = outcome
        self._measured.clear()
        self._again, self._spread, self._asked, self._gap = [], [], set(), None

    def _moved(self, *, more: bool) -> None:
        """TotalCount is another than before, `more` or less: what was measured may be shifted since. The ends of the
        gap that is searched are measured again; where they still hold, what lies between is as narrow as before."""
        if self._active:
            ends = [] if self._gap is None else [self._gap[0].end - 1 + self._gap[0].shift, sum(self._gap[1][::2])]
            # Where it is what it was: what was searched for may be there still, and something else that cancels it.
            places = [len(self.order) * part // 16 for part in SPREAD] if self.surplus == 0 else []
            self._spread = [place // self.size + 1 for place in places]
            self._again = self._at_the_edges() if more else []
            self._again += [position // self.size + 1 for position in ends]
            self._asked, self._gap = set(), None
        self._measured.clear()

    def _measure(self, span: Span) -> None:
        self._disorder = 0
        if self._active or span.shift or not self._measured.even(self.surplus):
            self._measured.add(span)

    def _disordered(self) -> None:
        self._disorder += 1
        if self._disorder > DISORDER and not self._active:
            self.forget()

    def _close(self) -> list[int]:
        """Rows between two measured pages that stand side by side now."""
        missing: list[int] = []
        for left, right in list(itertools.pairwise(self._measured.spans)):
            between = right.start - left.end
            if 0 < between <= MANY and left.end + left.shift == right.start + right.shift:
                start = left.end - len(missing)
                place = Place(start, start + between)
                missing += self.order.without(place, ())
                self._splice(place, array("I"))
        return missing
