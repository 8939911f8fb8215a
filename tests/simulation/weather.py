"""What goes wrong, and when: windows of faults, and the dice that decide whether one strikes."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from tests.simulation.loop import Loop


class Fault(msgspec.Struct, frozen=True):
    """From `at` for `length` seconds, `kind` strikes with probability `share`; `size` is what the kind makes of it."""

    at: float
    kind: str
    length: float = 0.0
    share: float = 1.0
    size: float = 0.0


@dataclass(slots=True)
class Weather:
    """The faults whose window is open now."""

    loop: Loop
    dice: Random
    faults: tuple[Fault, ...]
    calm: bool = False
    """the quiet tail has begun: nothing goes wrong any more"""

    def strikes(self, kind: str) -> Fault | None:
        """The fault of this kind that strikes now."""
        if self.calm:
            return None
        now = self.loop.now
        for fault in self.faults:
            if fault.kind == kind and fault.at <= now < fault.at + fault.length and self.dice.random() < fault.share:
                return fault
        return None

    def first(self, kinds: tuple[str, ...]) -> str | None:
        """The first of these that strikes now."""
        if self.calm or not self.faults:
            return None
        now = self.loop.now
        for fault in self.faults:
            if fault.at <= now < fault.at + fault.length and fault.kind in kinds and self.dice.random() < fault.share:
                return fault.kind
        return None

    def left(self, kind: str) -> float:
        """Seconds until the open window of this kind closes; 0 where there is none."""
        if self.calm:
            return 0.0
        now = self.loop.now
        return max(
            (one.at + one.length - now for one in self.faults if one.kind == kind and one.at <= now), default=0.0
        )


def encoded(value: Any) -> str:
    """For people: the JSON text of a plan or a part of it."""
    return msgspec.json.encode(value).decode()
