"""A list whose order changes between calls: what its sweeps have seen together, and the look-ups of what they have not.

They go on beside the sweeps (docs/decisions/0026).
"""

from __future__ import annotations

import asyncio

from certstream.core.ledger import Ledger
from certstream.core.sweep import Sweep
from certstream.core.unsteady import Together
from certstream.service.confirming import Confirming
from certstream.service.lookups import LookUps

LEAST = 8
"""Look-ups after a sweep, at least, where so many were not seen. Never more than it had pages, where it had more."""


class Refreshing:
    """Of one account. `swept` and `steady` are for the poller, `run` is the task."""

    def __init__(self, *, ledger: Ledger, look_ups: LookUps, confirming: Confirming) -> None:
        self._ledger, self._look_ups, self._confirming = ledger, look_ups, confirming
        self._together: Together | None = None
        self._pages = self._size = 0
        """of the newest sweep"""
        self._due = asyncio.Event()
        self._busy = False

    @property
    def unsteady(self) -> bool:
        """Whether the order changed in the last sweeps."""
        return self._together is not None

    def steady(self) -> None:
        """A sweep was complete: the order does not change any more."""
        self._together = None

    def swept(self, sweep: Sweep, suspicion: int | None) -> Together:
        """A sweep ended that cannot be complete. `suspicion`: since when the account was suspect as it began."""
        self._together = together = self._together or Together()
        together.add(sweep.seen, self._ledger.inventory, suspicion)
        self._pages, self._size = sweep.read, sweep.size
        return together

    def missing(self, together: Together) -> list[str]:
        """What was not seen for long, and no operator has confirmed as gone."""
        return [one for one in together.missing(self._ledger.inventory) if one not in self._confirming.gone]

    def begin(self) -> None:
        """Look up what was not seen for longest, when the last ones have been decided."""
        self._due.set()

    async def run(self) -> None:
        """Look up, and decide what is not there, for ever."""
        while True:
            await self._due.wait()
            self._busy = True
            self._due.clear()
            try:
                if self._together is not None:
                    await self._refresh(self._together)
            finally:
                self._busy = False

    async def settle(self) -> None:
        """Until nothing is looked up, nor to be."""
        while self._busy or self._due.is_set():  # noqa: ASYNC110 - `once` alone asks, and only at its end
            await asyncio.sleep(0.05)

    async def _refresh(self, together: Together) -> None:
        inventory = self._ledger.inventory
        oldest = together.oldest(inventory, size=self._size, least=LEAST, most=max(LEAST, self._pages))
        for identifier in await self._look_ups.refresh(oldest):
            if (number := inventory.number(identifier)) is not None:
                together.shown(number)
