"""A service that is wrong for a while about what there is: in its list, in its look-ups, or in both alike."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.loop import Loop
from tests.simulation.population import Deed, Population
from tests.simulation.upstream import FOREIGN, Upstream
from tests.simulation.weather import Fault

LIES = ("hide", "hide.many", "foreign", "empty")
REORDERED = "list.reordered"
BLINKING = "hide.blinking"
SHORT = "list.short"
BLINK = 2.5
"""Seconds: longer than from one control to the other, so that one of them meets what the look-ups between met."""


@dataclass(slots=True)
class Lies:
    """Strikes one upstream; one lie at a time. `told`: from when until when, and which (None: all) were hidden."""

    loop: Loop
    upstream: Upstream
    population: Population
    told: list[tuple[float, float, frozenset[str] | None]] = field(default_factory=list)

    def strike(self, fault: Fault) -> None:
        """Hide a few and find none ("hide"); hide most of them, as a permission that was narrowed does ("hide.many");
        show another user's ("foreign"), or nothing ("empty"), as a wrong region does; take another order for good;
        leave a few out of the list, and find nothing at times ("hide.blinking"); or leave one that is new out of
        its page, and count it ("list.short").
        """
        upstream = self.upstream
        if fault.kind == SHORT:
            self.population.happen(Deed(0.0, "issue", 0.0))
            upstream.dropped = self.population.changes[-1].identifier
            self.loop.outside(fault.length, self._show)
            return
        if fault.kind == BLINKING:
            upstream.unlisted = frozenset(sorted(self.population.present)[:2])
            self._blink()
            return
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

    def _show(self) -> None:
        self.upstream.dropped = None

    def _blink(self) -> None:
        if self.upstream.unlisted:
            self.upstream.blind = not self.upstream.blind
            self.loop.outside(BLINK, self._blink)

    def end(self) -> None:
        """It is right again."""
        self.upstream.unlisted = frozenset()
        self.upstream.hidden, self.upstream.instead, self.upstream.blind = frozenset(), None, False
