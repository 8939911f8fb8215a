"""Ten arrivals of one user in any second: the strictest reading of the API's limit (its window shape is unknown)."""

from __future__ import annotations

import math
from collections import deque

WINDOW = 1.0
"""Seconds; an arrival counts against every other that is closer than this."""


class Quota:
    """Counts arrivals per user over a sliding second. A throttled call is an arrival too."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._arrivals: dict[str, deque[float]] = {}

    def arrive(self, uid: str, now: float) -> int | None:
        """None when the call may go on, else the milliseconds until one would. `now` is monotonic seconds."""
        if self._limit == 0:
            return None
        arrivals = self._arrivals.setdefault(uid, deque())
        while arrivals and now - arrivals[0] >= WINDOW:
            arrivals.popleft()
        arrivals.append(now)
        if len(arrivals) <= self._limit:
            return None
        return max(1, math.ceil((arrivals[-self._limit] + WINDOW - now) * 1000))
