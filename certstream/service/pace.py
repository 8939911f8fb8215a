"""What the configuration says of how often an account is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How often: `sweep_every` from one sweep's begin to the next, `probe_every` between probes; seconds.
    `revocations`: whether the list of the revoked is probed too."""

    page_size: int
    sweep_every: float
    probe_every: float
    revocations: bool = True
