"""What certstream last knew of every certificate of an account, in about 600 bytes each.

Rows are kept as the bytes of their state record and decoded when one is needed; only the two indexes, by identifier
and by the hash of the record's JSON text, are Python objects. A row keeps its number for ever.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from certstream.core.rows import Row, decode_row, encode


class Inventory:
    """Rows of one account by number, identifier and raw hash."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._by_raw: dict[bytes, int] = {}
        self._identifiers: list[str] = []
        self._values: list[bytes] = []

    def __len__(self) -> int:
        """Rows, the deleted ones included."""
        return len(self._values)

    def unchanged(self, raw: bytes) -> int | None:
        """The number of the live row whose record has this hash."""
        return self._by_raw.get(raw)

    def number(self, identifier: str) -> int | None:
        """The number of a certificate's row, deleted or not."""
        return self._numbers.get(identifier)

    def identifier(self, number: int) -> str:
        """The identifier of a row."""
        return self._identifiers[number]

    def get(self, identifier: str) -> Row | None:
        """The row of a certificate, deleted or not."""
        number = self._numbers.get(identifier)
        return None if number is None else self.row(number)

    def row(self, number: int) -> Row:
        """A row by its number."""
        return decode_row(self._values[number])

    def put(self, identifier: str, row: Row, value: bytes) -> int:
        """Replace or add a row, `value` being its encoded form; its number."""
        value = bytes(memoryview(value))  # a copy of its own size: what an encoder returns holds on to its buffer
        number = self._numbers.get(identifier)
        if number is None:
            number = self._numbers[identifier] = len(self._values)
            self._identifiers.append(identifier)
            self._values.append(value)
        else:
            self._forget_raw(number)
            self._values[number] = value
        if not row.gone:
            self._by_raw[row.raw] = number
        return number

    def alias(self, raw: bytes, number: int) -> None:
        """The same content came in other JSON text (order of keys, white space): know it by that from now on.

        Memory only: nothing is written when nothing changed.
        """
        row = msgspec.structs.replace(self.row(number), raw=raw)
        self.put(self._identifiers[number], row, encode(row))

    def _forget_raw(self, number: int) -> None:
        raw = self.row(number).raw
        if self._by_raw.get(raw) == number:
            del self._by_raw[raw]

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
