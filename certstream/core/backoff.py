"""Full-jitter backoff: how long to wait before the next try."""

from __future__ import annotations


def full_jitter(attempt: int, roll: float, *, base: float = 0.2, cap: float = 20.0) -> float:
    """Seconds before try `attempt` + 1 (from 0), for a `roll` drawn uniformly from [0, 1)."""
    return roll * min(cap, base * 2.0 ** min(attempt, 16))
