"""How often the number of rows is asked for (docs/decisions/0028)."""

from __future__ import annotations

QUIET = 600.0
"""Seconds without a change after which an account is quiet."""
SLOWEST = 1.5
"""Times `probe_every`: between two probes of a quiet account."""


def interval(probe_every: float, quiet: float) -> float:
    """Seconds until the next probe, where the list has not moved for `quiet` seconds: `probe_every` right after it did,
    growing to SLOWEST times that while it does not."""
    return probe_every * (1.0 + (SLOWEST - 1.0) * min(max(quiet, 0.0) / QUIET, 1.0))
