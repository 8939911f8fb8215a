"""The clocks that the service is given, so that a test can own them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field


def _boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _wall() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` and `boot` (runs through a suspend) in seconds, `wall` in Unix milliseconds; and the dice."""

    monotonic: Callable[[], float] = time.monotonic
    boot: Callable[[], float] = _boot
    wall: Callable[[], int] = _wall
    random: random.Random = field(default_factory=random.SystemRandom)
