"""A list whose order changes between calls: what its sweeps have seen together, and the look-ups of what they have not.

The look-ups go on beside the sweeps (docs/decisions/0026).
"""

from __future__ import annotations

import asyncio

from certstream.core.sweep import Sweep
from certstream.core.unsteady import Together
from certstream.service.confirming import Confirming
from certstream.service.lookups import AT_ONCE, LookUps
from certstream.service.observing import Observer

LEAST, MOST = 8, 50
"""Look-ups after a sweep, where so many were not seen. Where it has more pages than that, these are the most."""
LOOKING = 10
"""Look-ups at the same time: no more than pages, so that each have half of the calls where both want more."""
DECIDING = 3
"""Groups that are decided at the same time, so that a call without an answer keeps only a few waiting."""
CHANCE = 2
"""Look-ups after one sweep that find nothing, from which nothing is made out about the others."""
GATHER = 1.0
"""Seconds in which those that are missing gather: two controls vouch for all of a group."""


class Refreshing:
    """Of one account. `swept`, `begin` and `steady` are for the poller, `run` is the task."""

    def __init__(self, *, observer: Observer, look_ups: LookUps, confirming: Confirming) -> None:
        self._ledger, self._look_ups, self._confirming = observer.ledger, look_ups, confirming
        self._together: Together | None = None
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._under_way: set[str] = set()
        """looked up, or missing and not decided"""
        self._missing: list[str] = []
        self._undecided = 0
        self._alike = self._asked = self._empty = 0
        """how many were not seen for as long as what is looked up since the newest sweep; how many of those look-ups
        were answered, and how many found nothing"""
        self._found = asyncio.Event()

    @property
    def unsteady(self) -> bool:
        """Whether the order changed in the last sweeps."""
        return self._together is not None

    def steady(self) -> None:
        """A sweep was complete: the order does not change any more."""
        self._together = None
        self._forget()

    def swept(self, sweep: Sweep, suspicion: int | None) -> Together:
        """A sweep ended that cannot be complete. `suspicion`: since when the account was suspect as it began."""
        self._together = together = self._together or Together()
        together.add(sweep.seen, self._ledger.inventory, suspicion)
        return together

    def missing(self, together: Together) -> list[str]:
        """What was not seen for long, and no operator has confirmed as gone."""
        return [one for one in together.missing(self._ledger.inventory) if one not in self._confirming.gone]

    def begin(self, sweep: Sweep, together: Together) -> None:
        """Look up what was not seen for longest; what was to be looked up before this sweep ended is chosen anew."""
        self._forget()
        live, most = self._ledger.live(), max(MOST, sweep.read)
        chosen = together.oldest(self._ledger.inventory, live=live, size=sweep.size, least=LEAST, most=most)
        self._alike, self._asked, self._empty = together.alike(self._ledger.inventory, chosen), 0, 0
        for identifier in chosen:
            if identifier not in self._under_way:
                self._waiting.put_nowait(identifier)

    def _forget(self) -> None:
        while not self._waiting.empty():
            self._waiting.get_nowait()

    async def run(self) -> None:
        """Look up, and decide what is not there, for ever."""
        self._under_way.clear()
        self._missing.clear()
        self._undecided = 0
        async with asyncio.TaskGroup() as tasks:
            for _ in range(LOOKING):
                tasks.create_task(self._look())
            for _ in range(DECIDING):
                tasks.create_task(self._decide())

    async def settle(self) -> None:
        """Until nothing is under way, nor waits."""
        while self._under_way or not self._waiting.empty():  # noqa: ASYNC110 - `once` alone asks, and only at its end
            await asyncio.sleep(0.05)

    async def _look(self) -> None:
        while True:
            identifier = await self._waiting.get()
            self._under_way.add(identifier)
            there = await self._look_ups.refresh(identifier)
            self._asked += there is not None
            if there is False:
                self._empty += 1
                self._missing.append(identifier)
                self._undecided += 1
                self._found.set()
                continue
            self._under_way.discard(identifier)
            number = self._ledger.inventory.number(identifier)
            if there and number is not None and self._together is not None:
                self._together.shown(number)

    def _expected(self) -> int:
        """How many are gone, if all that were not seen for as long are like those looked up, two of which say nothing.
        Where a service hides half of the list, the few that are looked up are no mass by themselves."""
        return self._alike * max(self._empty - CHANCE, 0) // max(self._asked, 1)

    async def _decide(self) -> None:
        while True:
            await self._found.wait()
            await asyncio.sleep(GATHER)
            group, self._missing[:AT_ONCE] = self._missing[:AT_ONCE], []
            if not self._missing:
                self._found.clear()
            if group and await self._look_ups.believable(max(self._undecided, self._expected())):
                await self._look_ups.delete(group)
            self._undecided -= len(group)
            self._under_way.difference_update(group)
