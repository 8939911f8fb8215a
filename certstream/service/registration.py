"""Registers what topics carry before the service starts, and later where the registry is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from certstream.core.errors import Fatal, Transient

log = logging.getLogger("certstream")

PAUSE = 30.0
"""Seconds between tries of a registry that is away."""


class Registration:
    """`register` raises Transient where the registry is away, Fatal where it refuses."""

    def __init__(self, register: Callable[[], Awaitable[None]]) -> None:
        self._register = register
        self._missing = True

    async def begin(self) -> None:
        """Before anything is written. Raises Fatal; a registry that is away keeps nobody from starting."""
        try:
            await self._register()
        except Transient as error:
            log.warning("registry.away", extra={"reason": str(error), "meaning": "records name no schema until then"})
        else:
            self._missing = False
            log.info("registry.registered")

    async def keep(self) -> None:
        """Until it is done. A refusal now is told, and stops nobody who runs: the next start would be refused."""
        while self._missing:
            await asyncio.sleep(PAUSE)
            try:
                await self._register()
            except Transient:
                continue
            except Fatal as error:
                log.error("registry.refused", extra={"reason": str(error), "meaning": "the next start will be refused"})
                return
            self._missing = False
            log.info("registry.registered")
