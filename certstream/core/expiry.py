"""When a certificate's next threshold passes, and what is to be told (`contract`, What becomes which event)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from certstream.core.rows import Row, Told
from certstream.core.times import Threshold


class Due(NamedTuple):
    """What is to be told now. `threshold` is None for `expired`; `told` is what the row remembers of it; `moment` is
    when it passed, Unix milliseconds."""

    threshold: Threshold | None
    told: Told
    moment: int


def lifecycle(row: Row, now: int) -> str:
    """`revoked`, `expired` or `valid` at `now` (Unix milliseconds).

    What was told as expired stays so until its notAfter changes, also where the clock was set back since.
    """
    if row.revoked:
        return "revoked"
    if row.told is not None and row.told.expired:
        return "expired"
    return "expired" if row.not_after is not None and now >= row.not_after else "valid"


def due(row: Row, thresholds: Sequence[Threshold], since: Mapping[str, int], now: int) -> Due | None:
    """What is to be told about a live row at `now`: `expired`, or the nearest threshold passed and not told yet.

    `since` says when each threshold came into the configuration; one added later tells only those certificates that
    cross it later (or whose notAfter became known later).
    """
    if row.not_after is None or row.revoked:
        return None
    told = row.told or Told(row.not_after)
    if told.expired:
        return None  # also where the clock was set back since
    if now >= row.not_after:
        return Due(None, Told(row.not_after, told.threshold, told.text, True), row.not_after)
    nearest: tuple[int, Threshold] | None = None
    for threshold, span in spans(row, thresholds):
        passed = row.not_after - span
        added = since.get(threshold.text, 0)
        counts = added >= 0 and (passed > added or row.known > added)
        if counts and passed <= now and (nearest is None or span < nearest[0]):
            nearest = (span, threshold)
    if nearest is None or (told.threshold is not None and nearest[0] >= told.threshold):
        return None
    span, threshold = nearest
    return Due(threshold, Told(row.not_after, span, threshold.text, told.expired), row.not_after - span)


def next_due(row: Row, thresholds: Sequence[Threshold], now: int) -> int | None:
    """When the next threshold, or notAfter, of this row passes after `now`; Unix milliseconds."""
    if row.gone or row.not_after is None or row.revoked:
        return None
    moments = [row.not_after, *(row.not_after - span for _, span in spans(row, thresholds))]
    return min((moment for moment in moments if moment > now), default=None)


def spans(row: Row, thresholds: Sequence[Threshold]) -> list[tuple[Threshold, int]]:
    """The thresholds that can fire for a row, each with how many milliseconds before notAfter it lies."""
    found = []
    for threshold in thresholds:
        if row.not_before is None:
            span = threshold.duration
        else:
            span = threshold.before(row.not_before, row.not_after or row.not_before)
        if span is not None:
            found.append((threshold, span))
    return found
