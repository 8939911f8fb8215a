"""One pass over all pages of a list that moves while it is read (`design`, Sweeps).

A forward sweep can miss a row only because something before the cursor was deleted, a backward one only because
something was inserted; so sweeps alternate, and where two neighbouring pages carry different totals the page before is
read again. A sweep decides nothing: a complete one nominates what it did not see.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from certstream.core.answers import Page
from certstream.core.inventory import Inventory
from certstream.core.observe import Observed

_EMPTY_LIMIT = 2
"""Empty pages where rows were promised before a total is taken for a lie."""
_STALE_LIMIT = 10
"""Pages in a row that show nothing new before there is no point in asking on."""

PAGE_SIZE_CHANGED = "the page size changed"
UNREAD = "a page could not be read"
ENDED_EARLY = (
    "the list ended before its TotalCount: pages that should have held certificates came empty, or with nothing new"
)
UNSTEADY = (
    "the order of the list changes between calls: what no page shows is looked up, but whether anything was missed "
    "cannot be known (observedthrough stands still)"
)


class _Read(NamedTuple):
    records: int
    total: int | None


class Verdict(NamedTuple):
    """`complete`: what was not seen may be nominated. `shortfall`: records missing beyond what moves explain."""

    complete: bool
    shortfall: int
    why: str | None


class Sweep:
    """Which page is asked next, and whether everything has been seen. Ask `first` alone, then `next` until None."""

    def __init__(self, *, forward: bool, size: int, total: int | None, moves: int) -> None:
        self.forward = forward or not total
        self.size = size
        self.first = 1 if self.forward or not total else -(-total // size)
        self._last = self.first
        self._cursor = self._above = self.first
        self._again: deque[int] = deque()
        self._reread: set[int] = set()
        self._failed = 0
        self._empty = 0
        self._stale = 0
        self._beyond = 0
        self._stopped = False
        self._moves = moves
        self._totals: list[int | None] = []
        self._pages: dict[int, _Read] = {}
        self._twice = 0
        self.seen = bytearray()
        self.page_size_changed = False

    @property
    def pages(self) -> int:
        """How many pages there are, as far as is known."""
        return max(self._last, self.first)

    @property
    def read(self) -> int:
        """How many pages have been read."""
        return len(self._pages)

    @property
    def records(self) -> int:
        """How many records the pages held."""
        return sum(read.records for read in self._pages.values())

    @property
    def total(self) -> int | None:
        """The largest `TotalCount` of its answers, None where one had none."""
        return None if None in self._totals else max((total or 0 for total in self._totals), default=None)

    def next(self) -> int | None:
        """The next page to ask for; None when nothing is left to ask (some answers may still be under way)."""
        if self.page_size_changed or self._stopped:
            return None
        if self._again:
            return self._again.popleft()
        if self.forward and self._cursor < self._last:
            self._cursor += 1
            return self._cursor
        if not self.forward and self._above < self._last:
            self._above += 1
            return self._above
        if not self.forward and self._cursor > 1:
            self._cursor -= 1
            return self._cursor
        return None

    def answered(self, number: int, page: Page) -> None:
        """Take a page's counts into account."""
        if page.size is not None and 0 < len(page.records) == page.size < self.size:
            self.size = page.size
            self.page_size_changed = True
            return
        again = number in self._pages
        self._pages[number] = _Read(len(page.records), page.total)
        self._totals.append(page.total)
        self._extend(number, page)
        if not again:
            self._compare(number)

    def _extend(self, number: int, page: Page) -> None:
        """Follow the list's end as totals move, and distrust a total that what is seen contradicts."""
        count = len(page.records)
        if page.total is None:
            last = number + 1 if count >= self.size else number
            self._last = max(self._last, last) if count else max(min(self._last, number), 1)
            return
        last = max(-(-page.total // self.size), 1)
        if count == 0 and page.total > (number - 1) * self.size:
            self._empty += 1
            if self._empty > _EMPTY_LIMIT:
                self._give_up()
        beyond = (number - 1) * self.size + count - page.total if count else 0
        self._beyond = max(self._beyond, beyond)
        if self.forward:
            self._last = max(self._last, number + (count >= self.size)) if beyond > 0 else last
        elif count == 0 and number > last:
            # Beyond the end: a total before was too large, and walking back page by page might never end.
            self._cursor, self._last = min(self._cursor, last + 1), last
        else:
            self._last = max(last, self._last)

    def _give_up(self) -> None:
        """Asking on would not end."""
        self._stopped = True

    def _compare(self, number: int) -> None:
        """Was a row missed between this page and a neighbour that was read before it?

        Only where the lower page has the larger total: rows moved up across the border after the lower one was read
        (something was deleted), or down before it was (something was inserted). Then what was read first is read
        again, further back where the totals differ by more than a page.
        """
        now = self._pages[number].total
        for step in (-1, 1):
            before = self._pages[number + step].total if number + step in self._pages else None
            if before is None or now is None:
                continue
            moved = (now - before) * step
            for back in range(min(-(-moved // self.size), len(self._pages))):
                page = number + step * (1 + back)
                if page in self._pages and page not in self._reread:
                    self._reread.add(page)
                    self._again.append(page)

    def failed(self) -> None:
        """A page could not be had, or not be read."""
        self._failed += 1

    def mark(self, number: int, observed: Observed, inventory: Inventory) -> None:
        """Mark the rows that page `number` showed, once they are committed."""
        if len(self.seen) < len(inventory):
            self.seen.extend(bytes(len(inventory) - len(self.seen)))
        rows, seen = set(observed.unchanged), self.seen
        rows.update(row for one in observed.identifiers if (row := inventory.number(one)) is not None)
        if number not in self._reread:
            twice = sum(map(seen.__getitem__, rows))
            self._twice += twice
            self._stale = self._stale + 1 if rows and twice == len(rows) else 0
            if self._stale > _STALE_LIMIT:
                self._give_up()
        for row in rows:
            seen[row] = 1

    def moved(self, moves: int) -> bool:
        """Whether something was inserted or deleted, or TotalCount says so, since it began. `moves`: the ledger's
        counter now."""
        return moves != self._moves or len(set(self._totals)) > 1

    def proves(self, moves: int) -> bool:
        """Whether nothing that was there when it began can have escaped it. `moves`: the ledger's counter now.

        Every answer counted the same n, and n certificates were seen, none of which came since it began: then they are
        those that were there. Where one went and another came between two pages the counts are alike as well, and the
        one that came is among the n: one that was there may have slipped between the pages.
        """
        return moves == self._moves and set(self._totals) == {self.seen.count(1)}

    def verdict(self, moves: int, accepted: int | None = None, *, unsteady: bool = False) -> Verdict:
        """Was everything seen? `moves`: the ledger's counter now; `accepted`: a shortfall that the sweep before, of
        the opposite direction, had as well (then it is the service's way of counting). `unsteady`: the order changed
        in sweeps before; what was told meanwhile, often of long ago, does not excuse it then."""
        totals = [total for total in self._totals if total is not None]
        if self.page_size_changed:
            return Verdict(False, 0, PAGE_SIZE_CHANGED)
        if self._failed:
            return Verdict(False, 0, UNREAD)
        if self._stopped:
            return Verdict(False, 0, ENDED_EARLY)
        if len(totals) != len(self._totals) or not totals:
            return Verdict(False, 0, "no TotalCount")
        smallest = min(totals)
        moved = abs(totals[-1] - totals[0]) + moves - self._moves
        cap = max(smallest // 100, 2)
        if self._twice > smallest // 100 + 2 * (abs(totals[-1] - totals[0]) if unsteady else moved):
            return Verdict(False, 0, UNSTEADY)
        if max(totals) - smallest > max(smallest // 10, 10) + moves - self._moves:
            return Verdict(False, 0, "TotalCount fell or rose by too much while the list was read")
        if self._beyond > cap:
            return Verdict(False, 0, "the pages hold more than TotalCount promises")
        seen = self.records
        shortfall = max(0, smallest - seen)
        if shortfall <= min(moved, cap):
            return Verdict(True, shortfall, None)
        if accepted == shortfall:
            return Verdict(True, shortfall, f"TotalCount promises {shortfall} more than the pages hold, every time")
        return Verdict(False, shortfall, f"{shortfall} of {smallest} certificates were on no page")
