"""A service that is wrong for a while about what there is: in its list, in its look-ups, or in both alike."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.loop import Loop
from tests.simulation.population import Population
from tests.simulation.upstream import FOREIGN, Upstream
from tests.simulation.weather import Fault

LIES = ("hide", "hide.many", "foreign", "empty")
REORDERED = "list.reordered"


@dataclass(slots=True)
class Lies:
    """Strikes one upstream; one lie at a time. `told`: from when until when, and which (None: all) were hidden."""

    loop: Loop
    upstream: Upstream
    population: Population
    told: list[tuple[float, float, frozenset[str] | None]] = field(default_factory=list)

    def strike(self, fault: Fault) -> None:
        """Hide a few and find none ("hide"); hide most of them, as a permission that was narrowed does ("hide.many");
        show another user's ("foreign"), or nothing ("empty"), as a wrong region does; or take another order for good.
        """
        upstream = self.upstream
        if fault.kind == REORDERED:
            upstream.salt = str(fault.size)
            return
        if upstream.hidden or upstream.blind or upstream.instead is not None:
            return
        names = sorted(self.population.present)
        hidden: frozenset[str] | None = None
        if fault.kind in ("foreign", "empty"):
            upstream.instead = FOREIGN if fault.kind == "foreign" else []
        else:
            hidden = upstream.hidden = frozenset(names[: 2 if fault.kind == "hide" else int(len(names) * 0.7)])
            upstream.blind = fault.kind == "hide"
        self.told.append((self.loop.now, self.loop.now + fault.length, hidden))
        self.loop.outside(fault.length, self.end)

    def end(self) -> None:
        """It is right again."""
        self.upstream.hidden, self.upstream.instead, self.upstream.blind = frozenset(), None, False
