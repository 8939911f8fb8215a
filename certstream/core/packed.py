"""The index of subjects: which rows may have a given one, about 9 bytes a row.

An entry is one 64-bit number, key in the high 40 bits and row number in the low 24, so that plain sorted arrays and
`bisect` do it all. Entries are hints: whoever finds a row there checks the row itself, and stale entries are harmless.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

BITS = 24
"""Of a row number: an account can have 16.7 million rows."""
ROW = (1 << BITS) - 1

_PART = BITS + 28
"""Keys are hashes: their first 12 bits part a million entries into arrays of 250, into which one more goes quickly."""


class Subjects:
    """Which rows may have a given subject: keys are 40 bits of a hash."""

    def __init__(self) -> None:
        self._parts: dict[int, array[int]] = {}
        """each sorted"""

    def add(self, key: int, number: int) -> None:
        """Row `number` has a subject that hashes to `key`."""
        entry = key << BITS | number
        part = self._parts.get(entry >> _PART)
        if part is None:
            self._parts[entry >> _PART] = array("Q", (entry,))
            return
        at = bisect_left(part, entry)
        if at == len(part) or part[at] != entry:
            part.insert(at, entry)

    def fill(self, entries: Iterable[tuple[int, int]]) -> None:
        """Add many keys, each with its row; `settle` ends it."""
        parts = self._parts
        for key, number in entries:
            entry = key << BITS | number
            part = parts.get(entry >> _PART)
            if part is None:
                parts[entry >> _PART] = array("Q", (entry,))
            else:
                part.append(entry)

    def settle(self) -> Iterator[None]:
        """Sort what was filled in, in steps."""
        for at, (first, part) in enumerate(self._parts.items(), 1):
            self._parts[first] = array("Q", sorted(part))
            if not at % 32:
                yield

    def find(self, key: int) -> Iterator[int]:
        """Numbers of rows whose subject may be the one of `key`."""
        part = self._parts.get(key << BITS >> _PART, ())
        for at in range(bisect_left(part, key << BITS), len(part)):
            if part[at] >> BITS != key:
                break
            yield part[at] & ROW
