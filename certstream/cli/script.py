"""What happens to the simulated account of `demo`: every kind of event within a minute, and then on and on."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from certstream.simulator import Simulator, SimulatorConfig

DAY = 86400.0
PACE = 4.0
"""Seconds between two changes: slow enough to be read."""
DELETIONS = 8
"""More than ten of a small account within a day would be held back as a wrong answer: deletions stop here."""
SOON = 20.0
"""Seconds until the first scripted certificate expires."""


@dataclass(frozen=True, slots=True)
class Play:
    """The population and its thresholds. `speed`: a day of a certificate's life takes 86400 / speed seconds."""

    certificates: int
    speed: float

    def simulator(self) -> SimulatorConfig:
        """Long lives: few of the first certificates expire while one watches."""
        return SimulatorConfig(certificates=self.certificates, speed=self.speed, lifetimes=(90, 365), seed=7)

    @property
    def thresholds(self) -> tuple[str, ...]:
        """14 and 3 days at this speed, and ten seconds, so that something happens at any."""
        spans = {max(1, round(days * DAY / self.speed)) for days in (14, 3)}
        if min(spans) > SOON:
            spans.add(10)
        return tuple(f"{span}s" for span in sorted(spans, reverse=True))


async def perform(simulator: Simulator, *, watched: asyncio.Event, say: Callable[[str], None]) -> None:
    """Change the account until cancelled; nothing new before `watched`, so that all of it is news."""
    rng = Random(7)
    now = int(time.time())
    # Most of its life is over, so that its thresholds are shorter than it was.
    simulator.issue(common_name="soon.example.com", not_before=now - 3600, not_after=now + int(SOON) + 15)
    await watched.wait()
    left = itertools.chain(range(DELETIONS), itertools.repeat(None))
    steps: tuple[Callable[[Simulator, Random], str], ...] = (issue, renew, edit, revoke)
    for turn in itertools.count():
        for step in steps:
            await asyncio.sleep(PACE)
            say(step(simulator, rng))
        if turn % 2 == 0 and next(left) is not None:
            await asyncio.sleep(PACE)
            say(delete(simulator, rng))


def issue(simulator: Simulator, rng: Random) -> str:
    """A new certificate."""
    return f"issues {_name(simulator, simulator.issue(common_name=f'shop{rng.randrange(1000)}.example.com'))}"


def renew(simulator: Simulator, rng: Random) -> str:
    """The one that expires next, and has no successor yet, gets one, as people do it."""
    del rng
    now = time.time()
    names = Counter(row.blueprint.common_name for row in simulator.population)
    rows = [row for row in simulator.population if row.revoked_at is None and row.blueprint.not_after > now + 2]
    rows = [row for row in rows if names[row.blueprint.common_name] == 1]
    if not rows:
        return "has nothing to renew"
    first = min(rows, key=lambda row: row.blueprint.not_after)
    simulator.renew(first.blueprint.identifier)
    return f"renews {first.blueprint.common_name}"


def edit(simulator: Simulator, rng: Random) -> str:
    """Somebody gives a certificate another alias."""
    identifier = rng.choice(simulator.identifiers())
    simulator.edit(identifier, AliasName=f"owned by team {rng.randrange(10)}, ticket {rng.randrange(1000, 10000)}")
    return f"renames {_name(simulator, identifier)}"


def revoke(simulator: Simulator, rng: Random) -> str:
    """A valid certificate is revoked."""
    now = time.time()
    rows = [row for row in simulator.population if row.revoked_at is None and row.blueprint.not_after > now + 30]
    if not rows:
        return "has nothing to revoke"
    row = rng.choice(rows)
    simulator.revoke(row.blueprint.identifier)
    return f"revokes {row.blueprint.common_name}"


def delete(simulator: Simulator, rng: Random) -> str:
    """One goes: rather a revoked or expired one."""
    now = time.time()
    rows = list(simulator.population)
    over = [row for row in rows if row.revoked_at is not None or row.blueprint.not_after < now]
    row = rng.choice(over or rows)
    simulator.delete(row.blueprint.identifier)
    return f"deletes {row.blueprint.common_name}"


def _name(simulator: Simulator, identifier: str) -> str:
    rows = simulator.population.select(identifier=identifier, group=None)
    return rows[0].blueprint.common_name if rows else identifier
