"""What certstream last knew of every certificate of an account, in about 550 bytes each.

Rows are kept as the bytes of their state record and decoded when one is needed. A row keeps its number for ever, and
what is known of all rows at once is in arrays over these numbers: no Python object beside the identifier and the bytes.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Container, Iterable, Iterator

import msgspec

from certstream.core.normal import identifier_of
from certstream.core.rows import RAW, Row, decode_row, decode_rows, encode
from certstream.core.slices import Slice

STEP = 1000
"""Rows of one step of what goes through all of them: 1 to 3 ms, between which others have their turn."""


def own_size(value: bytes) -> bytes:
    """A copy of its own size: what an encoder returns holds on to its buffer."""
    return bytes(memoryview(value))


class Inventory:
    """Rows of one account by number and identifier; and which one a record is, told by its hash."""

    def __init__(self) -> None:
        self._identifiers: list[str] = []
        self._values: list[bytes] = []
        self._table = array("I", bytes(4 * 64))
        """hash table with open addressing: number + 1 of a row, 0 where there is none"""
        self._next = array("I")
        """per row: the one that followed it on a page the last time; a list has an order, mostly the same"""

    def __len__(self) -> int:
        """Rows, the deleted ones included."""
        return len(self._values)

    def recognise(
        self, records: Iterable[Slice], undecided: Container[str] = ()
    ) -> tuple[list[int], list[tuple[Slice, bytes]]]:
        """The records of a page: numbers of the rows that they show unchanged; and the others, each with the first 16
        bytes of its SHA-256, those of an `undecided` identifier among them. The hash decides; the row that followed the
        one before the last time is only tried first, so that most records are never looked into.
        """
        values, following, sha256 = self._values, self._next, hashlib.sha256
        end = len(values)
        unchanged: list[int] = []
        others: list[tuple[Slice, bytes]] = []
        before, guess = -1, end
        for record in records:
            digest = sha256(record).digest()[:16]
            if guess < end and values[guess][RAW] == digest:
                before, same = guess, True
            else:
                identifier = identifier_of(record)
                number = None if identifier is None else self.number(identifier)
                if number is None:
                    before, guess = -1, end
                    others.append((record, digest))
                    continue
                if before >= 0:
                    following[before] = number
                before, same = number, values[number][RAW] == digest
            if same and not (undecided and self._identifiers[before] in undecided):
                unchanged.append(before)
            else:
                others.append((record, digest))
            guess = following[before]
        return unchanged, others

    def number(self, identifier: str) -> int | None:
        """The number of a certificate's row, deleted or not."""
        entry = self._table[self._slot(identifier)]
        return entry - 1 if entry else None

    def _slot(self, identifier: str) -> int:
        """Where an identifier is in the table, or where it would go."""
        table, mask = self._table, len(self._table) - 1
        at = hash(identifier) & mask
        while (entry := table[at]) and self._identifiers[entry - 1] != identifier:
            at = at + 1 & mask
        return at

    def identifier(self, number: int) -> str:
        """The identifier of a row."""
        return self._identifiers[number]

    def get(self, identifier: str) -> Row | None:
        """The row of a certificate, deleted or not."""
        number = self.number(identifier)
        return None if number is None else self.row(number)

    def row(self, number: int) -> Row:
        """A row by its number."""
        return decode_row(self._values[number])

    def rows(self, first: int, last: int) -> list[Row]:
        """The rows `first` to `last` (exclusive)."""
        return decode_rows(self._values[first:last])

    def put(self, identifier: str, value: bytes) -> int:
        """Replace or add a row, given in its encoded form (`own_size`, where an encoder made it); its number."""
        table, identifiers = self._table, self._identifiers
        mask = len(table) - 1
        at = hash(identifier) & mask
        while entry := table[at]:  # as in `_slot`: a million rows are put here one after the other
            if identifiers[entry - 1] == identifier:
                self._values[entry - 1] = value
                return entry - 1
            at = at + 1 & mask
        identifiers.append(identifier)
        self._values.append(value)
        table[at] = after = len(identifiers)
        self._next.append(after)  # rows are met in the order of the list at first
        if 3 * after > 2 * mask:
            self._grow()
        return after - 1

    def _grow(self) -> None:
        self._table = table = array("I", bytes(8 * len(self._table)))
        mask = len(table) - 1
        for number, identifier in enumerate(self._identifiers, 1):
            at = hash(identifier) & mask
            while table[at]:  # somebody else's, always: each is entered once
                at = at + 1 & mask
            table[at] = number

    def alias(self, raw: bytes, number: int) -> None:
        """The same content came in other JSON text (order of keys, white space): know it by that from now on.

        Memory only: nothing is written when nothing changed.
        """
        self._values[number] = own_size(encode(msgspec.structs.replace(self.row(number), raw=raw)))

    def live(self) -> Iterator[tuple[int, str, Row]]:
        """Every row that is not gone, decoded: about 1 µs each."""
        for number, identifier in enumerate(self._identifiers):
            row = self.row(number)
            if not row.gone:
                yield number, identifier, row

    def unseen(self, seen: bytearray) -> list[str]:
        """Identifiers of live rows whose number is not marked in `seen`."""
        return [
            identifier
            for number, identifier in enumerate(self._identifiers)
            if (number >= len(seen) or not seen[number]) and not self.row(number).gone
        ]
