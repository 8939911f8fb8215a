"""The plan that a seed stands for."""

from __future__ import annotations

from random import Random

import msgspec

from tests.simulation.lies import BLINKING, LIES, REORDERED, SHORT
from tests.simulation.population import Deed, Order
from tests.simulation.weather import Fault

BEGIN, END = 3.0, 12.0
"""Seconds between which the list moves and the service is odd; before that is the baseline."""
ODD = (
    "unsteady",
    "list.double",
    "list.count",
    "list.total",
    "list.small",
    "list.beyond",
    REORDERED,
    "api.stale",
    "api.error",
    "api.late",
    "api.garbled",
)
"""What may be odd about answers, beside lies."""
STEADY = frozenset({"list.beyond", "list.small", "api.error", "api.late", "api.garbled", SHORT})
"""Faults under which the list has one order and its counts are right: what a complete sweep vouches for is exact."""
DEEDS = ("issue", "issue", "delete", "delete", "drop", "revoke", "edit", "move", "return")


class Plan(msgspec.Struct, frozen=True):
    """One world. Times in seconds from its beginning. `words`: when an operator confirms what is missing."""

    seed: int
    certificates: int
    page_size: int
    largest: int
    order: Order
    latency: float
    staleness: float
    sweep_every: float
    deeds: tuple[Deed, ...]
    faults: tuple[Fault, ...]
    words: tuple[float, ...]

    def kinds(self) -> set[str]:
        """What is odd in it, for the table."""
        kinds = {fault.kind for fault in self.faults} | {f"list {self.order}"}
        kinds |= {"moves"} if any(deed.what == "move" for deed in self.deeds) else set()
        kinds |= {"an operator's word"} if self.words else set()
        return kinds | ({"page size lowered"} if self.largest < self.page_size else set())

    def steady(self) -> bool:
        """Whether the order of the list never changed and its counts were right."""
        moved = any(deed.what in ("move", "return") for deed in self.deeds)
        return not moved and {fault.kind for fault in self.faults} <= STEADY


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    dice = Random(f"{seed}/sweeps")
    size = dice.choice((1, 2, 3, 5, 10))
    faults = [_odd(dice) for _ in range(dice.choice((0, 1, 1, 2, 3)))]
    if dice.random() < 0.4:
        at = BEGIN + 6.0 * dice.random()
        faults.append(Fault(round(at, 3), dice.choice(LIES), dice.choice((1.0, 3.0, 6.0))))
    if dice.random() < 0.05:
        faults = [Fault(BEGIN, BLINKING, END - BEGIN)]  # alone: with answers that are late a blink may pass between
    words = [round(BEGIN + 20.0 * dice.random(), 3) for _ in range(4)] if dice.random() < 0.25 else []
    deeds = [_deed(dice) for _ in range(dice.choice((0, 3, 8, 20, 40)))]
    if dice.random() < 0.05:
        return _short(seed, dice)
    return Plan(
        seed=seed,
        certificates=min(dice.choice((4, 8, 12, 20, 40)), 12 * size),
        page_size=size,
        largest=size if dice.random() < 0.9 else max(1, size // 2),
        order=dice.choice(("newest", "oldest", "identifier")),
        latency=dice.choice((0.02, 0.05, 0.2)),
        staleness=dice.choice((2.0, 4.0)),
        sweep_every=dice.choice((0.0, 0.0, 2.0)),
        deeds=tuple(sorted(deeds, key=lambda deed: deed.at)),
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
        words=tuple(sorted(words)),
    )


def _short(seed: int, dice: Random) -> Plan:
    """Nothing but pages that lack one that is new: in one sweep (two that lack as many would be believed), in which
    nothing else comes or goes."""
    size = dice.choice((2, 3, 5, 10))
    deeds = [_deed(dice) for _ in range(8)]
    return Plan(
        seed=seed,
        certificates=dice.choice((2, 3)) * size,
        page_size=size,
        largest=size,
        order=dice.choice(("newest", "oldest", "identifier")),
        latency=0.05,
        staleness=2.0,
        sweep_every=2.0,
        deeds=tuple(sorted((one for one in deeds if one.what in ("edit", "revoke")), key=lambda deed: deed.at)),
        faults=(Fault(BEGIN + 0.8, SHORT, 1.5), Fault(BEGIN + 4.8, SHORT, 1.5)),
        words=(),
    )


def _odd(dice: Random) -> Fault:
    kind = dice.choice(ODD)
    at = round(BEGIN + 6.0 * dice.random(), 3)
    size = {"list.count": 30.0, "list.total": 8.0, REORDERED: round(dice.random(), 3)}.get(kind, 0.0)
    share = dice.choice((0.1, 0.3) if kind.startswith("api.err") or kind == "api.garbled" else (0.1, 0.5, 1.0))
    return Fault(at, kind, dice.choice((2.0, 6.0)), share, size)


def _deed(dice: Random) -> Deed:
    return Deed(round(BEGIN + (END - BEGIN) * dice.random(), 3), dice.choice(DEEDS), dice.random())
