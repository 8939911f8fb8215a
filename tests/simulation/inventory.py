"""Is what was published what is true? Asked again and again in the quiet tail, so it reads only what is new."""

from __future__ import annotations

import json
from typing import Any

from tests.simulation.broker import COMMITTED, Broker
from tests.simulation.loop import EPOCH
from tests.simulation.population import Certificate, Population
from tests.verify.normal import Form, audible, form, threshold_seconds

SOON = 3.0
"""Seconds that a threshold may take."""


class Present:
    """The published inventory against the list."""

    def __init__(self, broker: Broker, account: str, population: Population, prefix: str, *, ahead: float) -> None:
        self._broker, self._account, self._population, self._prefix = broker, account, population, prefix
        self._compared: dict[str, tuple[int, int, Form, dict[str, Any]]] = {}
        """by identifier: the row and the version that were compared last, and what came of it"""
        self._numbers: dict[str, int] = {}
        self._read: dict[tuple[str, int], int] = {}
        self._expired: set[tuple[str, Any]] = set()
        """identifier and notAfter of what was told as expired"""
        self._ahead = ahead
        """seconds by which a clock that was believed may have been ahead when a certificate was discovered"""
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
            shown, changes = self._compare(identifier, row, there[identifier])
            if changes:
                found.append(f"{identifier} differs: {changes}")
            elif thresholds is not None and (problem := self._untold(row, shown, thresholds)):
                found.append(f"{identifier}: {problem}")
        return sorted(found)

    def _compare(self, identifier: str, row: dict[str, Any], true: Certificate) -> tuple[Form, dict[str, Any]]:
        key = self._numbers[identifier], true.version
        if (known := self._compared.get(identifier)) is None or known[:2] != key:
            shown = Form(row["certificate"], None)
            known = self._compared[identifier] = (*key, shown, audible(shown, form(true.fields)))
        return known[2:]

    def _untold(self, row: dict[str, Any], shown: Form, thresholds: tuple[str, ...]) -> str | None:
        after, before = shown.not_after, shown.not_before
        if shown.revoked or after is None or before is None:
            return None
        now = EPOCH + self._population.now() - SOON
        found_expired = row["lifecycle"] == "expired" and now + 2 * SOON + self._ahead >= after
        if found_expired or (row["identifier"], shown.certificate.get("notAfter")) in self._expired:
            return None
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
            name = topic.removeprefix(self._prefix)
            if name not in ("inventory", "certificate.expired"):
                continue
            start, end = self._read.get((name, number), 0), log.stable()
            for entry in log.entries[start:end]:
                account, _, identifier = entry.message[0].decode().partition("/")
                if entry.state != COMMITTED or account != self._account:
                    continue
                value = json.loads(entry.message[1]) if entry.message[1] is not None else None
                if name == "inventory":
                    self._take(identifier, value)
                elif value is not None:
                    self._expired.add((identifier, value["data"]["certificate"].get("notAfter")))
            self._read[name, number] = end

    def _take(self, identifier: str, row: dict[str, Any] | None) -> None:
        self._numbers[identifier] = self._numbers.get(identifier, 0) + 1
        if row is None:
            self.rows.pop(identifier, None)
        else:
            self.rows[identifier] = row
