"""One account's calls: paced by its budget, retried with full jitter, counted."""

from __future__ import annotations

import asyncio
import logging

from certstream.core.answers import Answer, Refused
from certstream.core.backoff import full_jitter
from certstream.core.errors import Rejected, Throttled, Transient
from certstream.core.ledger import Ledger
from certstream.ports import Source
from certstream.service.budget import Budget, Urgency
from certstream.service.clock import Clock
from certstream.service.metrics import Metrics
from certstream.service.writer import Writer

log = logging.getLogger("certstream")

TRIES = 8
"""Of one call, before whoever asked goes on without an answer."""


class Calls:
    """Asks the certificate service for one account."""

    def __init__(
        self, *, ledger: Ledger, source: Source, budget: Budget, writer: Writer, clock: Clock, metrics: Metrics
    ) -> None:
        self._ledger, self._budget, self._writer = ledger, budget, writer
        self.source = source
        """who is asked from the next call on"""
        self._clock, self._metrics = clock, metrics
        self.total: int | None = None
        """`TotalCount` of the newest answer about the list"""
        self.answered: float | None = None
        """when the last good answer came, monotonic"""
        self.failing: str | None = None
        """why the first call after it failed, if one did"""
        self.sweeping = asyncio.Event()
        """clear while a search runs: the pages of a sweep wait, for every slot that they take makes it slower"""
        self.sweeping.set()
        self.denied: str | None = None
        """why the account may not call, until an answer says otherwise"""

    async def ask(
        self, urgency: Urgency, *, page: int = 1, size: int = 1, identifier: str | None = None, anywhere: bool = False
    ) -> Answer:
        """One answer. Every try takes a slot. Raises Transient after the last try, Fatal at once.

        While the journal is in doubt nothing is asked: an answer that cannot be committed is worth nothing.
        """
        for attempt in range(TRIES):
            await self._writer.healthy.wait()
            try:
                answer = await self._budget.call(
                    urgency,
                    lambda: self.source.list(page=page, size=size, identifier=identifier, anywhere=anywhere),
                    gate=self.sweeping if urgency is Urgency.SWEEP else None,
                )
            except Transient as error:
                self._failed(error)
                if attempt == TRIES - 1:
                    raise
                if not isinstance(error, Throttled):
                    await asyncio.sleep(full_jitter(attempt, self._clock.random.random(), cap=5.0))
            else:
                self._succeeded(answer)
                if identifier is None and answer.page.total is not None:
                    self.total = answer.page.total
                return answer
        raise AssertionError("the last try returns or raises")

    async def look_up(self, urgency: Urgency, identifier: str, *, anywhere: bool = False) -> Answer | None:
        """One answer about one certificate; None, and a line in the log, where there was none. Raises Fatal, Denied."""
        try:
            return await self.ask(urgency, identifier=identifier, anywhere=anywhere)
        except (Transient, Rejected, Refused) as error:
            log.warning("look-up.failed", extra={"account": self._ledger.name, "reason": str(error)})
            return None

    def _failed(self, error: Transient) -> None:
        self._metrics.calls.labels(self._ledger.name, type(error).__name__).inc()
        self.failing = self.failing or str(error)
        if isinstance(error, Throttled):
            self._metrics.throttles.labels(self._ledger.name).inc()
            log.warning("throttled", extra={"account": self._ledger.name, "reason": str(error)})

    def _succeeded(self, answer: Answer) -> None:
        self.denied = self.failing = None
        self.answered = self._clock.monotonic()
        self._metrics.calls.labels(self._ledger.name, "ok").inc()
        self._metrics.call_seconds.labels(self._ledger.name).observe(answer.received - answer.sent)
        if answer.date is not None:
            self._ledger.anchor.date(answer.date, self._clock.boot())
