"""Parts of an order whose place in the list has been measured, and the gaps between them in which something lies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from certstream.core.order import Place


class Span(NamedTuple):
    """Measured: `rows[start:end]` of the order lie at these positions of the list + `shift`."""

    start: int
    end: int
    shift: int


Gap = tuple[Span, Span]


class Measured:
    """What pages have shown since TotalCount moved. `length`: of the order; `surplus`: rows that the list has more."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def clear(self) -> None:
        """Nothing is measured any more."""
        self.spans = []

    def add(self, span: Span) -> None:
        """In place of what was measured there before; one with what adjoins it and is shifted alike."""
        start, end, shift = span
        kept = []
        for one in self.spans:
            if one.shift == shift and one.start <= end and one.end >= start:
                start, end = min(start, one.start), max(end, one.end)
            elif one.end <= span.start or one.start >= span.end:
                kept.append(one)
        self.spans = sorted([*kept, Span(start, end, shift)])

    def spliced(self, place: Place, grown: int) -> None:
        """The order is so much longer there: what lies behind it moves along in the order, not in the list."""
        self.spans = [span for span in self.spans if span.end <= place.start] + [
            Span(span.start + grown, span.end + grown, span.shift - grown)
            for span in self.spans
            if span.start >= place.end
        ]

    def even(self, surplus: int) -> bool:
        """Whether nothing is shifted, as far as is known."""
        return surplus == 0 and all(span.shift == 0 for span in self.spans)

    def gaps(self, length: int, surplus: int) -> list[Gap]:
        """Where shifts differ between two neighbours, something lies between."""
        return [gap for gap in itertools.pairwise(self._ends(length, surplus)) if gap[0].shift != gap[1].shift]

    def around(self, position: int, length: int, surplus: int) -> Gap:
        """What was measured before and behind a position of the list."""
        left = right = Span(0, 0, 0)
        for right in self._ends(length, surplus):
            if right.start + right.shift > position:
                break
            left = right
        return left, right

    def _ends(self, length: int, surplus: int) -> Iterator[Span]:
        yield Span(0, 0, 0)
        yield from self.spans
        yield Span(length, length, surplus)
