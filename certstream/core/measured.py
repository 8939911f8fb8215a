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
    """What one search has measured. `length`: of the order; `surplus`: rows that the list has more than it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def clear(self) -> None:
        """Nothing is measured any more."""
        self.spans = []

    def add(self, span: Span) -> None:
        """In place of what was measured there before."""
        kept = [one for one in self.spans if one.end <= span.start or one.start >= span.end]
        self.spans = sorted([*kept, span])

    def spliced(self, place: Place, grown: int) -> None:
        """The order is so much longer there: what lies behind it moves along in the order, not in the list."""
        self.spans = [span for span in self.spans if span.end <= place.start] + [
            Span(span.start + grown, span.end + grown, span.shift - grown)
            for span in self.spans
            if span.start >= place.end
        ]

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
