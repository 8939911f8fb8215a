"""A list whose order changes between calls: what its sweeps have seen together (docs/decisions/0026).

Each sweep of such a list shows about two thirds of it. Per row it is counted how many sweeps ended since one, or a
look-up, has shown it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import islice

from certstream.core.inventory import Inventory

MOST = 255
"""Sweeps that are counted."""
LONG = 8
"""Sweeps that did not see a row, after which it is missing: by chance it is one in three thousand, and the ones that
were not seen for longest are looked up sooner."""
MORE = 4 / 3
"""Times as many as chance leaves: then a quarter of them are gone."""

_OLDER = bytes(min(age + 1, MOST) for age in range(256))
_UNSEEN = bytes([MOST]) + bytes(MOST)
"""Of a mark of a sweep: what is left of an age where it stands."""


def doubtful(size: int) -> int:
    """Sweeps that did not see a row, after which it is worth a look-up.

    A sweep of n pages shows a row with a chance of 1 - (1 - 1/n)^n, more than 1 - 1/e. So after these no more rows than
    half as many as there are pages, `size` rows on each, are unseen by chance: n * size / e^k <= n / 2.
    """
    return math.ceil(math.log(2 * size))


class Together:
    """Of one account, from the first sweep that found the order unsteady to the next one that is complete."""

    def __init__(self) -> None:
        self._ages = bytearray()
        self._began: deque[int | None] = deque(maxlen=MOST)
        """of each sweep, newest last: the suspicion that there was as it began"""

    def add(self, seen: bytearray, inventory: Inventory, suspicion: int | None) -> None:
        """A sweep ended. `suspicion`: since when the account was suspect as it began."""
        rows = len(inventory)
        marks = seen + bytes(rows - len(seen))
        ages = (self._ages + bytes(rows - len(self._ages))).translate(_OLDER)
        left = int.from_bytes(ages, "big") & int.from_bytes(marks.translate(_UNSEEN), "big")
        self._ages = bytearray(left.to_bytes(rows, "big"))
        self._began.append(suspicion)

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
        since = doubtful(size)
        soonest = min(max(math.ceil(math.log(max(live, 1) / most)), 1), since)
        found = list(islice(self._unseen(inventory, since=soonest), 2 * most))
        for sweeps in range(soonest, since):
            if sum(self._ages[number] >= sweeps for number in found) >= MORE * live * math.exp(-sweeps):
                since = sweeps
                break
        worth = [number for number in found if self._ages[number] >= since]
        if len(worth) < least:
            worth = list(islice(self._unseen(inventory, since=1), least))
        return [inventory.identifier(number) for number in worth[:most]]

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
