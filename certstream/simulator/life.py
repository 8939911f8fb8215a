"""The life script: which change comes next, and when. Seeded, so that two runs differ only in their clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from certstream.simulator import blueprint as blueprints
from certstream.simulator.population import Population, What

MIX: tuple[tuple[What, float], ...] = (
    ("issue", 0.20),
    ("renew", 0.15),
    ("revoke", 0.15),
    ("delete", 0.30),
    ("edit", 0.20),
)
"""Share of each kind of change. As many are deleted as are added, so that the list keeps about its size."""

_NAP = 0.5
"""Seconds; the longest sleep, so that the end is not overslept by a long gap."""


class Life:
    """Draws changes for a population."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self._rng = Random(f"{population.config.seed}/life")

    def step(self) -> What:
        """One change, and which it was: an issue where the list is empty or nothing is left to revoke."""
        what = self._rng.choices([kind for kind, _ in MIX], [share for _, share in MIX])[0]
        identifier = self._subject(what)
        if identifier is None:
            self._population.issue()
            return "issue"
        match what:
            case "renew":
                self._population.renew(identifier)
            case "revoke":
                self._population.revoke(identifier)
            case "delete":
                self._population.delete(identifier)
            case _:
                self._population.edit(identifier, self._edit(identifier))
        return what

    async def run(self, *, quiet: Callable[[], None]) -> None:
        """Changes at `rate` a second until `stop_changes_after`, then calls `quiet`; for ever without it."""
        config = self._population.config
        clock = asyncio.get_running_loop().time
        end = float("inf") if config.stop_changes_after is None else clock() + config.stop_changes_after
        due = clock() + self._gap(config.rate)
        while min(due, end) < float("inf"):
            if due >= end and clock() >= end:
                break
            if due < end and clock() >= due:
                self.step()
                due += self._gap(config.rate)
            await asyncio.sleep(min(_NAP, max(0.0, min(due, end) - clock())))
        if end < float("inf"):
            quiet()

    def _gap(self, rate: float) -> float:
        return self._rng.expovariate(rate) if rate else float("inf")

    def _subject(self, what: What) -> str | None:
        if what == "issue":
            return None
        for _ in range(20):
            row = self._population.pick(self._rng)
            if row is None:
                return None
            if row.revoked_at is None or what in ("delete", "edit"):
                return row.blueprint.identifier
        return None

    def _edit(self, identifier: str) -> dict[str, object]:
        row = self._population.select(identifier=identifier, group=None)[0]
        others = [group for group in self._population.config.resource_groups if group != row.group]
        if others and self._rng.random() < 0.4:
            return {"ResourceGroupId": self._rng.choice(others)}
        # A counter makes sure that the new name differs from the old one.
        return {"AliasName": f"{blueprints.alias(self._rng, row.blueprint.common_name)}/{row.version + 1}"}
