"""Identifiers that only a look-up can decide, and when each is due."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from certstream.service.clock import Clock


class Doubts:
    """A small agenda: `want` adds, `take` waits for what is due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}
        self._wake = asyncio.Event()

    def want(self, identifiers: Mapping[str, float]) -> None:
        """Look these up in so many seconds; the earlier wish counts."""
        now = self._clock.monotonic()
        for identifier, wait in identifiers.items():
            self._due[identifier] = min(self._due.get(identifier, float("inf")), now + wait)
        if identifiers:
            self._wake.set()

    def due(self) -> bool:
        """Whether there is something to be looked up now."""
        now = self._clock.monotonic()
        return any(when <= now for when in self._due.values())

    async def take(self, limit: int) -> list[str]:
        """Up to `limit` identifiers that are due, as soon as there is one."""
        while True:
            now = self._clock.monotonic()
            found = sorted(one for one, when in self._due.items() if when <= now)[:limit]
            if found:
                for identifier in found:
                    del self._due[identifier]
                return found
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), min(self._due.values(), default=now + 60.0) - now)
            except TimeoutError:
                continue
