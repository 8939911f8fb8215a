"""Identifiers that only a look-up can decide, and when each is due."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from certstream.service.clock import Clock

FIRST = 5.0
"""Seconds until a look-up that brought nothing is tried again the first time."""
LONGEST = 300.0


class Doubts:
    """A small agenda: `want` adds, `take` waits for what is due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._wake = asyncio.Event()

    def want(self, identifiers: Mapping[str, float]) -> None:
        """Look these up in so many seconds; the earlier wish counts."""
        now = self._clock.monotonic()
        for identifier, wait in identifiers.items():
            due = max(now + wait, self._not_before.get(identifier, 0.0))
            self._due[identifier] = min(self._due.get(identifier, float("inf")), due)
        if identifiers:
            self._wake.set()

    def again(self, identifier: str) -> None:
        """A look-up of it brought nothing: later, and later each time, so that what nothing decides starves nobody."""
        tries = self._tries[identifier] = self._tries.get(identifier, 0) + 1
        wait = min(FIRST * 2.0 ** min(tries - 1, 10), LONGEST)
        self._not_before[identifier] = self._clock.monotonic() + wait
        self.want({identifier: wait})

    def may(self, identifier: str) -> bool:
        """Whether it may be looked up now."""
        return self._not_before.get(identifier, 0.0) <= self._clock.monotonic()

    def decided(self, identifier: str) -> None:
        """A look-up of it brought something."""
        for known in (self._tries, self._due, self._not_before):
            known.pop(identifier, None)

    def open(self) -> bool:
        """Whether anything waits to be looked up."""
        return bool(self._due)

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
                # Not wait_for: Python 3.11's forgets a cancellation that comes together with what it waits for.
                async with asyncio.timeout(min(self._due.values(), default=now + 60.0) - now):
                    await self._wake.wait()
            except TimeoutError:
                continue
