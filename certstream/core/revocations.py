"""Whom the list of the revoked names, and which of its pages to read for that (`ListRevokeCertificate`).

Its order is unknown, it holds what the user has revoked in every resource group, and it shrinks when something revoked
is deleted. So a count that grew says that something was revoked, and pages are read until they have named as many, as
few as the order allows. Nothing is decided here, and nothing raises, whatever the answers are: who is named is looked
up, and the look-up gives the event.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from certstream.core.ledger import Ledger

Names = Sequence[str | None]
"""The identifiers of a page, in its order; None for a record in which none can be read."""
Pages = Generator[int, Names, bool]
"""A search: gives numbers of pages, is sent what they name, and says at its end whether they named all."""

MOST = 200
"""Pages that one search reads, at most: in a longer list only what stands on the first or the last page is found."""
FARTHEST = 100_000
"""No list has its last page behind this one: it counts wrong."""
REMEMBERED = 10_000
"""Names that are not to be looked up (again), at most; the oldest is forgotten."""
FIRST = 1.0
"""Seconds until a certificate that was named, and whose look-up did not show it revoked, is looked up again; twice as
long after each further time: replicas lag, and this list may be ahead of the other one."""
LONGEST = 300.0
TRIES = 12


@dataclass(slots=True)
class _Open:
    due: float = 0.0
    tries: int = 0


class Named:
    """Who was named as revoked and is not known as such. Times are monotonic seconds."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._open: dict[str, _Open] = {}
        self._passed: dict[str, bool] = {}
        """named, and not to be looked up (again); whether it was known then"""
        self._elsewhere = 0

    def take(self, names: Names) -> tuple[int, list[str]]:
        """A page named these. Of those whom nobody had named before: how many are certificates that are not known as
        revoked; and which are not known at all."""
        self._hear()
        fresh, strangers = 0, list[str]()
        for name in dict.fromkeys(names):
            if name is None or name in self._open or self._settled(name):
                continue
            known, before = self._ledger.inventory.number(name) is not None, self._passed.get(name)
            if known and not before:
                fresh += before is None
                self._passed.pop(name, None)
                self._open[name] = _Open()
            elif before is None:
                strangers.append(name)
                self._pass(name, False)
        return fresh, strangers

    def elsewhere(self) -> int:
        """How many were told as revoked since the last time that nobody had named: the sweep was sooner."""
        self._hear()
        count, self._elsewhere = self._elsewhere, 0
        return count

    def due(self, now: float) -> list[str]:
        """Whom to look up now."""
        self._hear()
        for name in [name for name in self._open if self._settled(name)]:
            del self._open[name]
        return [name for name, one in self._open.items() if one.due <= now]

    def asked(self, names: Sequence[str], now: float) -> None:
        """They were looked up: who is not known as revoked then is looked up again later, and at last no more."""
        for name in names:
            if (one := self._open.get(name)) is None:
                continue
            one.due = now + min(FIRST * 2.0**one.tries, LONGEST)
            one.tries += 1
            if one.tries == TRIES:
                del self._open[name]
                self._pass(name, True)

    def _settled(self, name: str) -> bool:
        """It is known as revoked, or as deleted."""
        row = self._ledger.inventory.get(name)
        return row is not None and (row.revoked or row.gone)

    def _hear(self) -> None:
        while self._ledger.revoked:
            name = self._ledger.revoked.popleft()
            if self._open.pop(name, None) is None and self._passed.pop(name, None) is None:
                self._elsewhere += 1

    def _pass(self, name: str, known: bool) -> None:
        self._passed[name] = known
        if len(self._passed) > REMEMBERED:
            del self._passed[next(iter(self._passed))]


class Revocations:
    """One account's list of the revoked, as far as it was read."""

    def __init__(self, ledger: Ledger) -> None:
        self.named = Named(ledger)
        self._total: int | None = None
        self._named = 0
        """how much of the list is known by name, or was there when the first answer came; more than `_total`, where
        what was told as revoked is not counted yet"""
        self._order: list[str | None] | None = None
        """the list as it was read whole, where that was needed; kept up as long as it can be"""

    def forget(self) -> None:
        """Somebody else is asked from now on: his first count is no growth."""
        self._total = self._order = None

    def first(self, names: Names, total: int | None, *, size: int) -> Pages | None:
        """The first page was read, whole pages hold `size`. Gives a search, where more has come than is named."""
        elsewhere = self.named.elsewhere()
        if total is None:
            self.named.take(names)
            return None
        before, self._total = self._total, total
        if before is None or total < before:
            self._order, self._named = None, total
        self._read(names, 0)
        if before is not None and total >= before:
            self._named += elsewhere
        return self._search(names, size) if self._missing() > 0 and size > 0 else None

    def _missing(self) -> int:
        return (self._total or 0) - self._named

    def _read(self, names: Names, start: int | None) -> bool:
        """A page begins at `start` of the list (None: it is its last one). Whether it named, or placed, anybody new.

        Somebody not known here is new where the order says so, and at the front of a list that has grown; elsewhere
        growth may have moved him here.
        """
        placed = self._place(names, start)
        fresh, strangers = self.named.take(names)
        if placed is not None:
            fresh += len(placed.intersection(strangers))
        elif start == 0:
            fresh += len(strangers)
        self._named = max(self._named, min(self._named + fresh, self._total or 0))
        return bool(placed or fresh)

    def _search(self, first: Names, size: int) -> Pages:
        """Look where lists grow, which is at an end, and then by the order; what is not found then is the sweep's."""
        pages = -(-(self._total or 0) // size)
        last: Names = ()
        if 1 < pages <= FARTHEST:
            last = yield pages
            self._read(last, None)
        if self._missing() > 0 and 2 < pages <= MOST:
            if self._order is not None and self._missing() * (pages.bit_length() + 1) < pages:
                yield from self._bisect(self._order, size, pages)
            else:
                yield from self._whole(first, last, size, pages)
        found = self._missing() <= 0
        self._named = max(self._named, self._total or 0)
        return found

    def _whole(self, first: Names, last: Names, size: int, pages: int) -> Generator[int, Names, None]:
        """Read all of it, and learn its order for the next time. Whoever can be named is named then."""
        order = [*first]
        for number in range(2, pages):
            names = yield number
            self._read(names, (number - 1) * size)
            order += names
        order += last
        self._order = order if len(order) == self._total else None
        if self._order is not None and None not in order:
            self._named = max(self._named, len(order))

    def _bisect(self, order: list[str | None], size: int, pages: int) -> Generator[int, Names, None]:
        """Find the first page that is not what it was, again and again: before a place where something was inserted
        every row stands where it stood, behind it none does."""
        read: dict[int, Names] = {}
        low = 0
        while self._missing() > 0 and low < pages:
            high = pages - 1
            while low < high:
                middle = (low + high) // 2
                if middle not in read:
                    read[middle] = yield middle + 1
                same = list(read[middle]) == order[middle * size : (middle + 1) * size]
                low, high = (middle + 1, high) if same else (low, middle)
            if low not in read:
                read[low] = yield low + 1
            if not self._read(read[low], low * size) or self._order is None:
                return
            low += 1

    def _place(self, names: Names, start: int | None) -> set[str | None] | None:
        """Enter a page into the order; who was not in it there. None where the order is not known, or not any more,
        because the page does not fit."""
        if (order := self._order) is None:
            return None
        there = set(order[start : start + len(names)] if start is not None else order[-len(names) :])
        kept = [name for name in names if name in there]
        begin = start if start is not None else len(order) - len(kept)
        if kept != order[begin : begin + len(kept)]:
            self._order = None
            return None
        order[begin : begin + len(kept)] = names
        return set(names) - there
