"""A list whose order changes between calls: what its sweeps have seen together (docs/decisions/0026).

Each sweep of such a list leaves out a share of it: a little over a third where every call has an order of its own. Per
row it is counted how many sweeps ended since one, or a look-up, has shown it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from certstream.core.inventory import Inventory

MOST = 255
"""Sweeps that are counted."""
LONG = 8
"""Sweeps that did not see a row, after which it is missing: by chance it is one in three thousand, and the ones that
were not seen for longest are looked up sooner."""
MORE = 4 / 3
"""Times as many as chance leaves: then a quarter of them are gone."""

RANDOM = math.exp(-1)
"""The share that a sweep leaves out where every call has an order of its own: the largest that chance explains."""
LITTLE = 0.02
"""The smallest that is reckoned with."""
SHARES = 5
"""Sweeps whose shares are averaged."""

_OLDER = bytes(min(age + 1, MOST) for age in range(256))
_UNSEEN = bytes([MOST]) + bytes(MOST)
"""Of a mark of a sweep: what is left of an age where it stands."""


def doubtful(size: int, left_out: float = RANDOM) -> int:
    """Sweeps that did not see a row, after which it is worth a look-up, where each leaves out this share of the rows.

    So many that no more rows than half as many as there are pages, `size` rows on each, are unseen by chance:
    n * size * left_out^k <= n / 2.
    """
    return max(math.ceil(math.log(2 * size) / -math.log(left_out)), 2)


class Together:
    """Of one account, from the first sweep that found the order unsteady to the next one that is complete."""

    def __init__(self) -> None:
        self._ages = bytearray()
        self._began: deque[int | None] = deque(maxlen=MOST)
        """of each sweep, newest last: the suspicion that there was as it began"""
        self._unseen_rows = deque[int](maxlen=SHARES)
        """of each sweep, newest last; rows of what is deleted are among them"""

    def add(self, seen: bytearray, inventory: Inventory, suspicion: int | None) -> None:
        """A sweep ended. `suspicion`: since when the account was suspect as it began."""
        rows = len(inventory)
        marks = seen + bytes(rows - len(seen))
        ages = (self._ages + bytes(rows - len(self._ages))).translate(_OLDER)
        left = int.from_bytes(ages, "big") & int.from_bytes(marks.translate(_UNSEEN), "big")
        self._ages = bytearray(left.to_bytes(rows, "big"))
        self._began.append(suspicion)
        self._unseen_rows.append(marks.count(0))

    def left_out(self, rows: int, live: int) -> float:
        """The share of the live rows, of so many in all, that the last sweeps have left out."""
        unseen = sum(self._unseen_rows) / max(len(self._unseen_rows), 1) - (rows - live)
        return min(max(unseen / max(live, 1), LITTLE), RANDOM)

    def shown(self, number: int) -> None:
        """A look-up after the newest sweep has shown this row."""
        if number < len(self._ages):
            self._ages[number] = 0

    def oldest(self, inventory: Inventory, *, live: int, size: int, least: int, most: int) -> list[str]:
        """Live certificates that are worth a look-up, those that were not seen for longest first.

        These are what was not seen for `doubtful` sweeps with pages of this size; what was not seen for fewer, where
        there are a third more of these, or more, than chance leaves of `live` certificates; and others that the
        newest sweep did not see, up to the least.
        """
        left_out = self.left_out(len(inventory), live)
        since = doubtful(size, left_out)
        soonest = min(max(math.ceil(math.log(max(live, 1) / most) / -math.log(left_out)), 1), since)
        found = list(islice(self._unseen(inventory, since=soonest), 2 * most))
        for sweeps in range(soonest, since):
            if sum(self._ages[number] >= sweeps for number in found) >= MORE * live * left_out**sweeps:
                since = sweeps
                break
        worth = [number for number in found if self._ages[number] >= since]
        if len(worth) < least:
            worth = list(islice(self._unseen(inventory, since=1), least))
        return [inventory.identifier(number) for number in worth[:most]]

    def alike(self, inventory: Inventory, chosen: Sequence[str]) -> int:
        """How many live certificates were not seen for as long as one of these."""
        numbers = [number for one in chosen if (number := inventory.number(one)) is not None]
        since = min((self._ages[number] for number in numbers if number < len(self._ages)), default=0)
        return sum(1 for _ in self._unseen(inventory, since=since)) if since else len(chosen)

    def missing(self, inventory: Inventory) -> list[str]:
        """Live certificates that were not seen for long."""
        return [inventory.identifier(number) for number in self._unseen(inventory, since=LONG)]

    def whole(self, inventory: Inventory) -> bool:
        """Whether every live certificate was shown since the first of these sweeps began."""
        return bool(self._began) and next(self._unseen(inventory, since=len(self._began)), None) is None

    @property
    def suspicion(self) -> int | None:
        """The one that `missing` answers: which was there already when the first of so many last sweeps began."""
        return self._began[-LONG] if len(self._began) >= LONG else None

    def _unseen(self, inventory: Inventory, *, since: int) -> Iterator[int]:
        """Numbers of live rows that so many last sweeps did not see, oldest first."""
        for age in range(max(self._ages, default=0), since - 1, -1):
            at = self._ages.find(age)
            while at >= 0:
                if not inventory.row(at).gone:
                    yield at
                at = self._ages.find(age, at + 1)
