"""May this host's clock be trusted with what cannot be taken back? (`design`, Expiry)

The anchor is the last `Date` header together with the boot time then, which runs on through a suspend. Thresholds
fire while wall time and anchor plus progress agree within five minutes.
"""

from __future__ import annotations

TOLERANCE = 300_000
"""Milliseconds."""
PATIENCE = 600.0
"""Seconds without any `Date` after which the wall clock itself may become the anchor."""
DAY = 86_400_000


class Anchor:
    """One process's knowledge of the true time. `boot` is seconds of the boot-time clock, `wall` Unix milliseconds."""

    def __init__(self, *, boot: float) -> None:
        self._started = boot
        self._anchor: tuple[int, float] | None = None

    def date(self, date: int, boot: float) -> None:
        """An answer carried this `Date` (Unix milliseconds)."""
        self._anchor = (date, boot)

    def agrees(self, *, wall: int, boot: float, newest: int) -> bool:
        """Whether thresholds may fire now. `newest` is the time of the newest event in the restored heads."""
        if self._anchor is None:
            if boot - self._started < PATIENCE or not newest <= wall <= newest + DAY:
                return False
            self._anchor = (wall, boot)
        date, then = self._anchor
        return abs(date + (boot - then) * 1000 - wall) <= TOLERANCE
