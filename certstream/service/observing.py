"""From answers to commits: what an answer shows is decided and committed; what it leaves open is looked up."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from certstream.core import deletion
from certstream.core.answers import Answer, Refused
from certstream.core.draft import Draft
from certstream.core.errors import Rejected, Transient
from certstream.core.ledger import Ledger
from certstream.core.normal import Unreadable, read
from certstream.core.observe import Observed, observe
from certstream.core.sweep import Sweep
from certstream.service.budget import Urgency
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.doubts import Doubts
from certstream.service.metrics import Metrics
from certstream.service.writer import Writer

log = logging.getLogger("certstream")
T = TypeVar("T")

OLD = 60.0
"""Seconds after which an answer is not used any more: it is asked for again."""
TRIES = 3
"""Answers that the journal may keep waiting for too long before there is none."""
NOT_BELIEVED = (
    "this is not believed: nothing is told as deleted, and what is new or changed is held back, until the missing "
    "certificates are listed again, when the account is released by itself, or somebody says that they are gone "
    "(certstream confirm). See whether endpoint, resource_group and "
    "credentials are still those of this account, and whether its permission was cut"
)
"""What the suspicion of an account means, and what to do."""
FOREIGN = "the list shows none of the certificates that were known"


class TooOld(Transient):
    """Not an error of the API: the answer waited too long for the journal."""


class Observer:
    """Observes answers of one account."""

    def __init__(
        self, *, ledger: Ledger, calls: Calls, writer: Writer, doubts: Doubts, clock: Clock, metrics: Metrics
    ) -> None:
        self.ledger = ledger
        self._calls, self._writer, self._doubts = calls, writer, doubts
        self._clock, self._metrics = clock, metrics
        self._held: list[Answer] = []
        self._forget_at = 0.0
        self._suspicions: list[str] = []
        self.sampled: str | None = None
        """what look-ups of a few that are missing found"""

    async def commit(self, act: Callable[[Draft], T]) -> T:
        """Decide and commit."""
        return await self._writer.do(self.ledger, act)

    async def observe(self, answer: Answer, *, decides: str | None = None, sweep: Sweep | None = None) -> Observed:
        """Observe an answer and commit what it shows. Raises TooOld where the journal kept it waiting too long."""

        def act(draft: Draft) -> Observed:
            if self._clock.monotonic() - answer.received > OLD:
                raise TooOld("the journal kept the answer waiting too long")
            return observe(draft, answer, decides=decides, seen=sweep.seen if sweep is not None else None)

        observed = await self.commit(act)
        self._note(answer, observed)
        if observed.held:
            now = self._clock.monotonic()
            self._held = [held for held in self._held if now - held.received <= OLD] + [answer]
            await self._vouch()
        elif observed.shows_known and self._held:
            await self._believe(answer)
        return observed

    async def asked(
        self, ask: Callable[[], Awaitable[Answer]], *, sweep: Sweep | None = None
    ) -> tuple[Answer, Observed]:
        """Ask and observe; ask again where the journal kept the answer waiting too long. Raises as both do."""
        for _ in range(TRIES):
            answer = await ask()
            try:
                return answer, await self.observe(answer, sweep=sweep)
            except TooOld:
                continue
        raise Transient("the journal kept every answer waiting too long")

    def _note(self, answer: Answer, observed: Observed) -> None:
        self._doubts.want(observed.look_up)
        self.ledger.contested.update(observed.contested)
        if observed.quarantined:
            self._metrics.quarantined.labels(self.ledger.name).inc(observed.quarantined)
            log.warning("records.quarantined", extra={"account": self.ledger.name, "count": observed.quarantined})
        self._metrics.certificates.labels(self.ledger.name).set(self.ledger.live())
        now = self._clock.monotonic()
        if now >= self._forget_at:
            self.ledger.forget_facts(now - 2 * OLD)
            self._forget_at = now + OLD

    async def believable(self) -> bool:
        """At the end of a sweep: first sights that are still held make the account suspect."""
        if self._held:
            await self._vouch()
        if not self._held:
            return True
        self._held.clear()

        def judge(draft: Draft) -> bool:
            if draft.head.live:  # else what was known was told as deleted meanwhile: there is nothing to be shown
                deletion.suspect(draft, FOREIGN, nominated=0)
            return draft.head.suspect is not None

        if await self.commit(judge):
            self.suspected(FOREIGN)
        return False

    @property
    def suspicion(self) -> str | None:
        """Why the account is suspect, as far as is known now, and what that means; None where it is not."""
        head = self.ledger.head
        if head is None or head.suspect is None:
            return None
        sampled = f" ({self.sampled})" if self.sampled is not None else ""
        return f"{self._suspicions[-1] if self._suspicions else head.suspect}{sampled}: {NOT_BELIEVED}"

    def suspected(self, reason: str) -> None:
        """The account became suspect, or is so still: logged once for each reason."""
        if reason not in self._suspicions:
            self._suspicions.append(reason)
            log.error("account.suspect", extra={"account": self.ledger.name, "reason": f"{reason}: {NOT_BELIEVED}"})

    def released(self) -> None:
        """The account may be suspect no more: the next suspicion is logged, also for a reason that was there before."""
        if deletion.suspicion(self.ledger.head) is None:
            self._suspicions.clear()
            self.sampled = None

    async def _vouch(self) -> None:
        """First sights are held: ask for a certificate that was known before; an answer that shows it vouches."""
        for identifier in self.ledger.controls(1, 3, frozenset()) or self.ledger.some(3):
            try:
                answer = await self._calls.ask(Urgency.DECISION, identifier=identifier)
                if (await self.observe(answer, decides=identifier)).shows_known:
                    return
            except (Transient, Rejected, Refused):
                continue

    async def _believe(self, witness: Answer) -> None:
        """`witness` shows what was known: first sights on answers that were asked before it may be told."""
        vouched = [held for held in self._held if held.sent < witness.sent]
        self._held = [held for held in self._held if held.sent >= witness.sent]
        for held in vouched:
            if self._clock.monotonic() - held.received <= OLD and await self._found(held):
                self._note(held, await self.commit(partial(observe, answer=held, believed=True)))

    async def _found(self, held: Answer) -> bool:
        """Does a look-up find the first of its first sights? A known certificate vouches for the service as it is
        now, not for one wrong answer between right ones; what is dropped wrongly the next sweep shows again."""
        for record in held.page.records:
            try:
                identifier = read(bytes(record)).identifier
            except Unreadable:
                continue
            if self.ledger.inventory.number(identifier) is None:
                try:
                    answer = await self._calls.ask(Urgency.DECISION, identifier=identifier)
                    return identifier in (await self.observe(answer, decides=identifier)).identifiers
                except (Transient, Rejected, Refused):
                    return False
        return True
