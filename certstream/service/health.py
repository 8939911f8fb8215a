"""How an account is: for the topic `accounts`, on every change and every five minutes; and for `/readyz`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial

from certstream.core.account import health
from certstream.service.budget import Budget
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.metrics import Metrics
from certstream.service.observing import Observer
from certstream.service.poller import Poller
from certstream.service.writer import Writer

log = logging.getLogger("certstream")

EVERY = 300.0
"""Seconds: silence is not health."""
CONTESTED = (
    "throttle answers keep coming: somebody else spends this user's ten calls a second, another tool or another "
    "certstream; this one slows down meanwhile (the key qps leaves room for others at any time)"
)
BLIND = 60.0
"""Seconds without a good answer."""


@dataclass(frozen=True, slots=True)
class State:
    """`state` is one of `contract`'s; `since` in Unix milliseconds."""

    state: str
    since: int
    reason: str | None


class Health:
    """Watches one account."""

    def __init__(
        self,
        *,
        poller: Poller,
        observer: Observer,
        calls: Calls,
        budget: Budget,
        writer: Writer,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._poller, self._observer, self._calls, self._budget, self._writer = poller, observer, calls, budget, writer
        self._clock, self._metrics = clock, metrics
        self._started = clock.monotonic()
        self.state = State("baseline", clock.wall(), None)

    def look(self) -> State:
        """How the account is now."""
        state, reason = self._judge()
        if (state, reason) != (self.state.state, self.state.reason):
            since = self.state.since if state == self.state.state else self._clock.wall()
            self.state = State(state, since, reason)
        return self.state

    def starting(self) -> str | None:
        """Why nothing is known yet: what was healthy before this process is not so until an answer has said it."""
        if self._calls.answered is not None or self.look().state not in ("healthy", "baseline"):
            return None
        held = self._budget.held()
        if held > 0:
            return f"taking over from an owner before, whose last calls may still count: {held:.0f} s left"
        cause = self._budget.away() or self._calls.failing
        return "no call has had a good answer yet" + (f": {cause}" if cause else "")

    def _judge(self) -> tuple[str, str | None]:
        poller, head = self._poller, self._poller.ledger.head
        if self._calls.denied is not None:
            return "denied", self._calls.denied
        if (suspicion := self._observer.suspicion) is not None:
            return "suspect", suspicion
        if self._budget.contested():
            return "throttled", CONTESTED
        now = self._clock.monotonic()
        if now - (self._calls.answered if self._calls.answered is not None else self._started) > BLIND:
            cause = self._budget.away() or self._calls.failing or self._writer.trouble or "no call was made"
            return "blind", f"no good answer came for a minute: {cause}"
        if poller.gaps.blind:
            return "blind", poller.gaps.note
        if head is None or head.baselined is None:
            return "baseline", poller.note
        return "healthy", poller.note

    async def keep(self) -> None:
        """Write the state on every change and every five minutes, for ever."""
        written: State | None = None
        last = 0.0
        while True:
            state = self.look()
            now = self._clock.monotonic()
            unsaid = state.state == "healthy" and self.starting() is not None  # the record of before still stands
            if not unsaid and (state != written or now - last >= EVERY):
                await self._writer.do(
                    self._poller.ledger, partial(health, state=state.state, since=state.since, reason=state.reason)
                )
                if written is None or state.state != written.state:
                    self._metrics.set_state(self._poller.ledger.name, state.state)
                    log.info(
                        "account.state",
                        extra={"account": self._poller.ledger.name, "state": state.state}
                        | ({"reason": state.reason} if state.reason else {}),
                    )
                written, last = state, now
            await asyncio.sleep(1.0)
