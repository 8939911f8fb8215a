"""The certificates of the simulated account: an ordered list, and the only five things that can happen to it.

A row is rendered when it is first delivered or logged, then kept as bytes, so a page is a join of slices. Everything
here happens between two awaits: a change is visible whole, at the instant that it is told with.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from random import Random
from typing import Literal

from certstream.simulator import blueprint as blueprints
from certstream.simulator.blueprint import Blueprint, CertificateType
from certstream.simulator.ca import Authority
from certstream.simulator.config import SimulatorConfig
from certstream.simulator.record import REVOKED, edited, render, revocation

What = Literal["initial", "issue", "renew", "revoke", "delete", "edit"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened. `at`: Unix seconds at which it became visible; `record`: the row, None for delete."""

    n: int
    at: float
    what: What
    identifier: str
    version: int
    record: bytes | None


@dataclass(slots=True, eq=False)
class Row:
    """A certificate in the list. `place` is what the list is sorted by; `version` grows with each change."""

    place: str
    blueprint: Blueprint
    group: str | None
    extra: Mapping[str, object]
    version: int = 1
    revoked_at: float | None = None
    encoded: bytes | None = None


_place = attrgetter("place")


class Population:
    """Raises KeyError for an identifier that is not in the list. `tell` is called with every change, if given."""

    def __init__(self, config: SimulatorConfig, *, tell: Callable[[Change], None] | None = None) -> None:
        self.config = config
        self.authority = Authority(config.seed)
        self.last = 0
        """Number of the last change."""
        self.revoked: list[Row] = []
        """Revoked and still listed, the earliest revocation first."""
        self._tell = tell
        self._draws = Random(f"{config.seed}/population")
        self._shuffle = Random(f"{config.seed}/order")
        self._rows: list[Row] = []
        self._by_identifier: dict[str, Row] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._by_identifier

    def settle(self) -> None:
        """The initial certificates, oldest first; ages are uniform over lifetimes, so some expire soon."""
        now = int(time.time())
        born: list[tuple[int, int, float]] = []
        for _ in range(self.config.certificates):
            days = self._draws.choice(self.config.lifetimes)
            seconds = blueprints.lifetime(days, self.config.speed)
            not_before = now - self._draws.randrange(seconds)
            born.append((not_before, not_before + seconds, days))
        for not_before, not_after, days in sorted(born):
            self._add("initial", self._draw(not_before=not_before, not_after=not_after, days=days), {})

    def issue(
        self,
        *,
        common_name: str | None = None,
        kind: CertificateType | None = None,
        days: float | None = None,
        not_before: int | None = None,
        not_after: int | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> str:
        """A new certificate; gives its identifier.

        `days`: lifetime before `speed`, default drawn. `not_before`, `not_after`: Unix seconds, default now and now +
        lifetime. `fields`: API fields of the row that differ from what the certificate says (None: left out).
        """
        days = self._draws.choice(self.config.lifetimes) if days is None else days
        not_before = int(time.time()) if not_before is None else not_before
        if not_after is None:
            not_after = not_before + blueprints.lifetime(days, self.config.speed)
        drawn = self._draw(not_before=not_before, not_after=not_after, days=days, kind=kind, common_name=common_name)
        return self._add("issue", drawn, fields or {})

    def renew(self, identifier: str) -> str:
        """A new certificate with the subject and names of an old one, which stays; gives the new identifier."""
        old = self._by_identifier[identifier].blueprint
        self._number += 1
        now = int(time.time())
        until = now + blueprints.lifetime(old.days, self.config.speed)
        new = blueprints.renewed(old, self._draws, number=self._number, not_before=now, not_after=until)
        return self._add("renew", new, {})

    def revoke(self, identifier: str) -> None:
        """Status REVOKE; raises ValueError when it has it."""
        row = self._by_identifier[identifier]
        if row.revoked_at is not None:
            raise ValueError(f"{identifier} is revoked already")
        row.encoded = edited(self.encoded(row), {"Status": REVOKED})
        row.revoked_at = time.time()
        self.revoked.append(row)
        self._changed("revoke", row)

    def edit(self, identifier: str, fields: Mapping[str, object]) -> None:
        """Other values for fields of the row (API names; None takes one away); the certificate stays."""
        row = self._by_identifier[identifier]
        row.encoded = edited(self.encoded(row), fields)
        if "ResourceGroupId" in fields:
            group = fields["ResourceGroupId"]
            row.group = group if isinstance(group, str) else None
        self._changed("edit", row)

    def delete(self, identifier: str) -> None:
        """Out of the list, and out of the list of the revoked."""
        row = self._by_identifier.pop(identifier)
        del self._rows[bisect_left(self._rows, row.place, key=_place)]
        if row.revoked_at is not None:
            self.revoked.remove(row)
        self._changed("delete", row)

    def encoded(self, row: Row) -> bytes:
        """The row as JSON bytes, kept after the first time."""
        if row.encoded is None:
            row.encoded = render(row.blueprint, self.authority, group=row.group or "", extra=row.extra)
        return row.encoded

    def revocation(self, row: Row) -> bytes:
        """The row as ListRevokeCertificate shows it."""
        return revocation(self.encoded(row), row.revoked_at or 0.0)

    def record(self, identifier: str) -> bytes:
        """The row with this identifier as JSON bytes."""
        return self.encoded(self._by_identifier[identifier])

    def pick(self, rng: Random) -> Row | None:
        """A row, uniformly; None from an empty list."""
        return rng.choice(self._rows) if self._rows else None

    def select(self, *, identifier: str | None, group: str | None) -> Sequence[Row]:
        """The rows that match both filters (None matches all), in the order of the list kept here."""
        if identifier is not None:
            row = self._by_identifier.get(identifier)
            return [row] if row is not None and group in (None, row.group) else []
        return self._rows if group is None else [row for row in self._rows if row.group == group]

    def window(self, rows: Sequence[Row], start: int, count: int) -> Sequence[Row]:
        """Rows `start` to `start + count` of what `select` gave, in the configured order."""
        if self.config.order == "newest":
            end = len(rows) - start
            return rows[max(0, end - count) : max(0, end)][::-1]
        page = rows[start : start + count]
        if self.config.order == "shuffled":
            # A slice of a random permutation is a sample without repeats: no need to shuffle the whole list.
            return self._shuffle.sample(rows, len(page))
        return page

    def _draw(
        self,
        *,
        not_before: int,
        not_after: int,
        days: float,
        kind: CertificateType | None = None,
        common_name: str | None = None,
    ) -> Blueprint:
        self._number += 1
        return blueprints.draw(
            self._draws,
            number=self._number,
            not_before=not_before,
            not_after=not_after,
            days=days,
            kind=kind,
            common_name=common_name,
        )

    def _add(self, what: What, blueprint: Blueprint, extra: Mapping[str, object]) -> str:
        identifier = blueprint.identifier
        place = identifier if self.config.order == "identifier" else f"{blueprint.number:012d}"
        drawn = self._draws.choice(self.config.resource_groups)
        group = extra.get("ResourceGroupId", drawn)
        row = Row(place, blueprint, group if isinstance(group, str) else None, extra)
        if self._tell is not None:
            self.encoded(row)
        insort(self._rows, row, key=_place)
        self._by_identifier[identifier] = row
        self._changed(what, row)
        return identifier

    def _changed(self, what: What, row: Row) -> None:
        self.last += 1
        identifier = row.blueprint.identifier
        if what not in ("initial", "issue", "renew"):
            row.version += 1
        if self._tell is not None:
            record = None if what == "delete" else self.encoded(row)
            self._tell(Change(self.last, time.time(), what, identifier, row.version, record))
