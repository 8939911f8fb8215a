"""A few look-ups of what is missing from a suspect account: told to whoever has to decide, they decide nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from certstream.core import deletion
from certstream.service.budget import Urgency
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.lookups import shows
from certstream.service.observing import Observer

log = logging.getLogger("certstream")

SAMPLE = 20


class Sampling:
    """Of one account, once for each suspicion. `of` is for the poller, `run` is the task."""

    def __init__(self, *, calls: Calls, observer: Observer, clock: Clock) -> None:
        self._calls, self._observer, self._clock = calls, observer, clock
        self._missing: Sequence[str] = ()
        self._sampled: int | None = None
        """the suspicion that was sampled, or is being"""
        self._nominated = asyncio.Event()

    def of(self, missing: Sequence[str]) -> None:
        """A sweep that is not believed did not see these."""
        suspicion = deletion.suspicion(self._observer.ledger.head)
        if missing and suspicion is not None and suspicion != self._sampled:
            self._missing, self._sampled = missing, suspicion
            self._nominated.set()

    async def run(self) -> None:
        """Sample what is nominated, for ever."""
        while True:
            await self._nominated.wait()
            self._nominated.clear()
            try:
                await self._sample(self._sampled)
            except BaseException:  # a right that is missing for now: the next sweep asks for it again
                self._sampled = None
                raise

    async def _sample(self, suspicion: int | None) -> None:
        chosen = self._chosen()
        gone = unanswered = 0
        for identifier in chosen:
            answer = await self._calls.look_up(Urgency.PROBE, identifier)
            unanswered += answer is None
            gone += answer is not None and not shows(answer, identifier)
        if deletion.suspicion(self._observer.ledger.head) == suspicion:
            self._tell(len(chosen), gone, unanswered)

    def _chosen(self) -> list[str]:
        return self._clock.random.sample(list(self._missing), min(SAMPLE, len(self._missing)))

    def _tell(self, sampled: int, gone: int, unanswered: int) -> None:
        told = f"{gone} of {sampled} sampled are gone"
        if unanswered:
            told += f", {unanswered} had no answer"
        self._observer.sampled = told
        log.warning("account.sampled", extra={"account": self._observer.ledger.name, "reason": told})
