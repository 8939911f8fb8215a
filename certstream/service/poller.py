"""The poll loop of one account.

for each page of the sweep: observe it → changes → events → commit
when the sweep is complete: whatever it did not see is looked up; if gone → deleted → commit
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from certstream.core import deletion
from certstream.core.account import swept
from certstream.core.answers import Answer
from certstream.core.backoff import full_jitter
from certstream.core.draft import Draft
from certstream.core.errors import Fatal, Throttled, Transient
from certstream.core.ledger import Ledger
from certstream.core.observe import Observed, observe
from certstream.core.sweep import PAGE_SIZE_CHANGED, UNSTEADY, Sweep, Verdict
from certstream.ports import Source
from certstream.service.budget import Budget, Urgency
from certstream.service.clock import Clock
from certstream.service.lookups import LookUps
from certstream.service.metrics import Metrics
from certstream.service.writer import Writer

log = logging.getLogger("certstream")
T = TypeVar("T")

TRIES = 8
"""Of one page, before the sweep goes on without it."""
OLD = 60.0
"""Seconds after which an answer is not used any more: it is asked for again."""
SOON = 10.0
"""Seconds from the begin of an incomplete sweep to the next."""
DENIED_PAUSE = 60.0
"""Seconds between tries of an account that may not call."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often: `sweep_every` from one sweep's begin to the next, `probe_every` between probes; seconds."""

    page_size: int
    sweep_every: float
    probe_every: float


class Poller:
    """Polls one account for as long as it is let."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        source: Source,
        budget: Budget,
        writer: Writer,
        clock: Clock,
        metrics: Metrics,
        pace: Pace,
    ) -> None:
        self.ledger, self.metrics = ledger, metrics
        self._source, self._budget, self._writer = source, budget, writer
        self._clock, self._pace = clock, pace
        self._size = pace.page_size
        self._total: int | None = None
        self._forward = True
        self._shortfall: int | None = None
        self._held: list[Answer] = []
        self.look_ups = LookUps(self)
        self.denied: str | None = None
        self.unsteady = False
        self.answered: float | None = None
        """when the last good answer came, monotonic"""
        self.sweep_now = asyncio.Event()

    # --- The loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Sweep, pause, sweep. An account that may not call rests, and tries again."""
        while True:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._sweep_for_ever())
                    tasks.create_task(self.look_ups.run())
            except* Fatal as errors:
                self._deny(errors)
            except* Exception as errors:
                # A defect of ours that one account's input found must not stop the others.
                log.exception("account.failed", extra={"account": self.ledger.name})
                self.denied = f"internal error, please report it: {errors.exceptions[0]!r}"[:400]
            await asyncio.sleep(DENIED_PAUSE)

    async def once(self) -> bool:
        """One complete sweep (of three tries), the look-ups that it asks for included; whether there was one."""
        try:
            async with asyncio.TaskGroup() as tasks:
                looking = tasks.create_task(self.look_ups.run())
                for _ in range(3):
                    complete = (await self.sweep()).complete
                    if complete:
                        break
                await self.look_ups.settle()
                looking.cancel()
        except* Fatal as errors:
            self._deny(errors)
            complete = False
        return complete

    def _deny(self, errors: BaseExceptionGroup[Fatal]) -> None:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        self.denied = str(first)
        log.error("account.denied", extra={"account": self.ledger.name, "reason": str(first)})

    async def _sweep_for_ever(self) -> None:
        while True:
            began = self._clock.monotonic()
            verdict = await self.sweep()
            if verdict.why != PAGE_SIZE_CHANGED:
                every = self._pace.sweep_every if verdict.complete else min(self._pace.sweep_every, SOON)
                await self._pause(began + every)

    async def sweep(self) -> Verdict:
        """One sweep: observe every page as it arrives; then look up what a complete sweep did not see."""
        began, began_at = self._clock.monotonic(), self._clock.wall()
        sweep = Sweep(forward=self._forward, size=self._size, total=self._total, moves=self.ledger.moves)
        await self._read(sweep, sweep.first)
        async with asyncio.TaskGroup() as readers:
            for _ in range(10):
                readers.create_task(self._read_on(sweep))
        verdict = await self._judge(sweep)
        if verdict.complete:
            await self._conclude(sweep, began, began_at)
        log.info(
            "sweep.complete" if verdict.complete else "sweep.incomplete",
            extra={
                "account": self.ledger.name,
                "pages": sweep.read,
                "certificates": self.ledger.live(),
                **({"reason": verdict.why} if verdict.why else {}),
            },
        )
        return verdict

    async def _read_on(self, sweep: Sweep) -> None:
        while (number := sweep.next()) is not None:
            await self._read(sweep, number)

    async def _read(self, sweep: Sweep, number: int) -> None:
        """Ask for one page, observe it, commit what it shows; then mark what was seen."""
        try:
            answer, observed = await self._page(sweep, number)
        except Transient as error:
            sweep.failed()
            log.warning("page.failed", extra={"account": self.ledger.name, "page": number, "reason": str(error)})
            return
        sweep.answered(number, answer.page)
        sweep.mark(number, observed, self.ledger.inventory)
        self.metrics.sweep_pages.labels(self.ledger.name).set(sweep.read)
        self.metrics.sweep_progress.labels(self.ledger.name).set(min(1.0, sweep.read / sweep.pages))

    async def _page(self, sweep: Sweep, number: int) -> tuple[Answer, Observed]:
        for _ in range(3):
            answer = await self.ask(Urgency.SWEEP, page=number, size=sweep.size)
            try:
                return answer, await self.observe(answer, sweep=sweep)
            except _TooOld:
                continue  # the journal was away for long: what the page said then is worth nothing now
        raise Transient("the journal was too slow for this page")

    async def _judge(self, sweep: Sweep) -> Verdict:
        if self._held:
            await self.vouch()
        if self._held:
            await self.commit(
                lambda draft: deletion.suspect(draft, "the list shows none of the certificates that were known", 0)
            )
            self._held.clear()
            return Verdict(False, 0, "the list shows none of the certificates that were known")
        verdict = sweep.verdict(self.ledger.moves, self._shortfall)
        self._shortfall = verdict.shortfall if not verdict.complete else None
        self._forward = not sweep.forward
        self._size = sweep.size
        self.unsteady = verdict.why == UNSTEADY
        return verdict

    async def _conclude(self, sweep: Sweep, began: float, began_at: int) -> None:
        """A complete sweep nominates what it did not see, and nothing has shown since it began."""
        facts = self.ledger.facts
        unseen = [
            one
            for one in self.ledger.inventory.unseen(sweep.seen)
            if (fact := facts.get(one)) is None or fact.received < began
        ]
        empty = not any(sweep.seen)
        if unseen and not await self.believable(len(unseen), empty=empty):
            return
        await self.look_ups.decide(unseen)
        await self.commit(lambda draft: swept(draft, began_at=began_at))
        self.metrics.last_complete_sweep.labels(self.ledger.name).set(self._clock.wall() / 1000)

    async def believable(self, candidates: int, *, empty: bool = False) -> bool:
        """Whether so many candidates for deletion may be looked up; if not, the account becomes suspect."""

        def judge(draft: Draft) -> str | None:
            reason = deletion.mass_disappearance(draft, candidates, empty=empty)
            if reason is not None:
                deletion.suspect(draft, reason, candidates)
            return reason

        reason = await self.commit(judge)
        if reason is not None:
            log.error("account.suspect", extra={"account": self.ledger.name, "reason": reason})
        return reason is None

    async def _pause(self, until: float) -> None:
        """Until the next sweep is due, or a probe says that the list has moved."""
        while (remaining := until - self._clock.monotonic()) > 0 and not self.sweep_now.is_set():
            try:
                await asyncio.wait_for(self.sweep_now.wait(), min(remaining, self._pace.probe_every))
            except TimeoutError:
                if until - self._clock.monotonic() > 0.01 and await self._moved():
                    break
        self.sweep_now.clear()

    async def _moved(self) -> bool:
        """Probe: read page 1, observe it, and see whether `TotalCount` is another than before."""
        before = self._total
        try:
            answer = await self.ask(Urgency.PROBE, page=1, size=self._size)
            await self.observe(answer)
        except Transient:
            return False
        return answer.page.total != before

    # --- Calls and commits, for the loop and its look-ups --------------------------------------------------------

    async def ask(
        self, urgency: Urgency, *, page: int = 1, size: int = 1, identifier: str | None = None, anywhere: bool = False
    ) -> Answer:
        """One answer, with full-jitter retries inside the slots. Raises Transient after the last, Fatal at once."""
        for attempt in range(TRIES):
            await self._writer.healthy.wait()
            try:
                answer = await self._budget.call(
                    urgency,
                    lambda: self._source.list(page=page, size=size, identifier=identifier, anywhere=anywhere),
                )
            except Transient as error:
                self._count(error)
                if attempt == TRIES - 1:
                    raise
                if not isinstance(error, Throttled):
                    await asyncio.sleep(full_jitter(attempt, self._clock.random.random(), cap=5.0))
            else:
                self._took(answer, counts=identifier is None)
                return answer
        raise AssertionError("the last try returns or raises")

    def _count(self, error: Transient) -> None:
        self.metrics.calls.labels(self.ledger.name, type(error).__name__).inc()
        if isinstance(error, Throttled):
            self.metrics.throttles.labels(self.ledger.name).inc()
            log.warning("throttled", extra={"account": self.ledger.name, "reason": str(error)})

    def _took(self, answer: Answer, *, counts: bool) -> None:
        self.denied = None
        self.answered = self._clock.monotonic()
        self.metrics.calls.labels(self.ledger.name, "ok").inc()
        self.metrics.call_seconds.labels(self.ledger.name).observe(answer.received - answer.sent)
        if answer.date is not None:
            self.ledger.anchor.date(answer.date, self._clock.boot())
        if counts and answer.page.total is not None:
            self._total = answer.page.total

    async def commit(self, act: Callable[[Draft], T]) -> T:
        """Decide and commit."""
        return await self._writer.do(self.ledger, act)

    async def observe(self, answer: Answer, *, decides: str | None = None, sweep: Sweep | None = None) -> Observed:
        """Observe an answer and commit what it shows. Raises Transient where it has become too old meanwhile."""

        def act(draft: Draft) -> Observed:
            if self._clock.monotonic() - answer.received > OLD:
                raise _TooOld("the answer is too old to be used")
            return observe(draft, answer, decides=decides, seen=sweep.seen if sweep is not None else None)

        observed = await self.commit(act)
        self._observed(answer, observed)
        if observed.held:
            self._held.append(answer)
            await self.vouch()
        elif observed.shows_known and self._held:
            await self._believe(answer)
        return observed

    def _observed(self, answer: Answer, observed: Observed) -> None:
        self.ledger.mark_shown(observed.unchanged, answer.sent_at)
        self.look_ups.want(observed.look_up)
        if observed.quarantined:
            self.metrics.quarantined.labels(self.ledger.name).inc(observed.quarantined)
            log.warning("records.quarantined", extra={"account": self.ledger.name, "count": observed.quarantined})
        self.metrics.certificates.labels(self.ledger.name).set(self.ledger.live())
        if len(self.ledger.facts) > 4096:
            self.ledger.forget_facts(self._clock.monotonic() - 2 * OLD)

    async def vouch(self) -> None:
        """First sights are held: ask for a certificate that was known before; an answer that shows it vouches."""
        for identifier in self.ledger.controls(1, 3, frozenset()) or self.ledger.some(3):
            try:
                answer = await self.ask(Urgency.DECISION, identifier=identifier)
                if (await self.observe(answer, decides=identifier)).shows_known:
                    return
            except Transient:
                continue

    async def _believe(self, witness: Answer) -> None:
        """`witness` shows what was known: first sights on answers that were asked before it may be told."""
        vouched = [held for held in self._held if held.sent < witness.sent]
        self._held = [held for held in self._held if held.sent >= witness.sent]
        for held in vouched:
            if self._clock.monotonic() - held.received <= OLD:
                observed = await self.commit(partial(observe, answer=held, believed=True))
                self._observed(held, observed)


class _TooOld(Transient):
    """Not an error of the API: the answer waited too long for the journal."""
