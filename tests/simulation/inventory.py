"""Is what was published what is true? Asked again and again in the quiet tail, so it reads only what is new."""

from __future__ import annotations

import json
from typing import Any

from tests.simulation.broker import COMMITTED, Broker
from tests.simulation.loop import EPOCH
from tests.simulation.population import Population
from tests.verify.normal import Form, audible, form, threshold_seconds

SOON = 3.0
"""Seconds that a threshold may take."""


class Present:
    """The published inventory against the list."""

    def __init__(self, broker: Broker, population: Population, prefix: str) -> None:
        self._broker, self._population, self._prefix = broker, population, prefix
        self._read: dict[int, int] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.now = 0.0

    def wrong(self, thresholds: tuple[str, ...] | None) -> list[str]:
        """What the inventory says otherwise; with `thresholds`, also what should have been told by the clock."""
        self._follow()
        there = self._population.present
        found = [f"{one} is not in the inventory" for one in there.keys() - self.rows.keys()]
        found += [f"{one} is in the inventory, but gone" for one in self.rows.keys() - there.keys()]
        for identifier in there.keys() & self.rows.keys():
            row = self.rows[identifier]
            shown, true = Form(row["certificate"], None), form(there[identifier].fields)
            if changes := audible(shown, true):
                found.append(f"{identifier} differs: {changes}")
            elif thresholds is not None and (problem := self._untold(row, shown, thresholds)):
                found.append(f"{identifier}: {problem}")
        return sorted(found)

    def _untold(self, row: dict[str, Any], shown: Form, thresholds: tuple[str, ...]) -> str | None:
        after, before = shown.not_after, shown.not_before
        if shown.revoked or after is None or before is None or row["lifecycle"] == "expired":
            return None
        now = EPOCH + self._population.now() - SOON
        if now >= after:
            return "expired, and not told"
        points = [
            (point, text)
            for text in thresholds
            if (point := threshold_seconds(text, after - before)) < after - before and now >= after - point
        ]
        if not points:
            return None
        told = row.get("threshold")
        nearest = min(points)[0]
        if told is None or threshold_seconds(told, after - before) > nearest:
            return f"{nearest} s before notAfter passed, told is {told}"
        return None

    def _follow(self) -> None:
        for (topic, number), log in self._broker.logs():
            if topic != f"{self._prefix}inventory":
                continue
            start, end = self._read.get(number, 0), log.stable()
            for entry in log.entries[start:end]:
                if entry.state != COMMITTED:
                    continue
                key, value, _ = entry.message
                identifier = key.decode().partition("/")[2]
                if value is None:
                    self.rows.pop(identifier, None)
                else:
                    self.rows[identifier] = json.loads(value)
            self._read[number] = end
