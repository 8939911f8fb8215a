"""The poll loop of one account.

for each page of the sweep: observe it → changes → events → commit
when the sweep is complete: whatever it did not see is looked up; if gone → deleted → commit
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from certstream.core import deletion
from certstream.core.account import swept, swept_together
from certstream.core.errors import Fatal, Transient
from certstream.core.sweep import PAGE_SIZE_CHANGED, UNSTEADY, Sweep, Verdict
from certstream.service.budget import Urgency
from certstream.service.calls import Calls
from certstream.service.clock import Clock
from certstream.service.confirming import Confirming
from certstream.service.gaps import Gaps
from certstream.service.lookups import LookUps
from certstream.service.metrics import Metrics
from certstream.service.observing import FOREIGN, Observer
from certstream.service.probing import Pace, Probing
from certstream.service.refreshing import Refreshing
from certstream.service.revoked import RevokedList
from certstream.service.sampling import Sampling
from certstream.service.searching import Searching

log = logging.getLogger("certstream")

READERS = 10
"""Pages that are asked for at the same time, at most; the budget paces them."""
PROGRESS = 10.0
"""Seconds between two lines about a long sweep."""
SOON = 10.0
"""Seconds from the begin of an incomplete sweep to the next."""
DENIED_PAUSE = 60.0
"""Seconds between tries of an account that may not call."""


class Poller:
    """Polls one account for as long as it is let."""

    def __init__(
        self,
        *,
        calls: Calls,
        observer: Observer,
        look_ups: LookUps,
        refreshing: Refreshing,
        confirming: Confirming,
        sampling: Sampling,
        searching: Searching,
        probing: Probing,
        revoked: RevokedList,
        clock: Clock,
        metrics: Metrics,
        pace: Pace,
    ) -> None:
        self.ledger = observer.ledger
        self._calls, self._observer, self._look_ups, self._confirming = calls, observer, look_ups, confirming
        self._refreshing, self._sampling, self._searching = refreshing, sampling, searching
        self._probing, self._revoked = probing, revoked
        self._clock, self._metrics, self._configured = clock, metrics, pace.page_size
        self._size = self._asked = pace.page_size
        self._forward = True
        self._shortfall: int | None = None
        self._before: int | None = None
        """when the last sweep began that was complete, and told all that it saw"""
        self._told = 0.0
        self.gaps = Gaps(self.ledger.name, clock)

    def change(self, pace: Pace) -> None:
        """Go on at another pace from now on; a sweep under way keeps its page size. Whoever rests looks again."""
        if pace.page_size != self._configured:
            self._size = self._configured = pace.page_size
        self._probing.change(pace)
        self._revoked.change(pace)

    @property
    def note(self) -> str | None:
        """What is odd about the account's list, for people; None where nothing is."""
        return self.gaps.note or self._searching.note

    async def run(self) -> None:
        """Sweep, pause, sweep. An account that may not call rests, and tries again."""
        while True:
            try:
                await asyncio.create_task(self._watch())
            except* Fatal as errors:
                self._deny(errors)
            except* Exception as errors:
                # A defect of ours that one account's input found must not stop the others.
                log.exception("account.failed", extra={"account": self.ledger.name})
                self._calls.denied = f"internal error, please report it: {errors.exceptions[0]!r}"[:400]
            _end_if_cancelled()
            await self._probing.rest(DENIED_PAUSE)

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep_for_ever())
            tasks.create_task(self._look_ups.run())
            tasks.create_task(self._refreshing.run())
            tasks.create_task(self._confirming.run())
            tasks.create_task(self._sampling.run())
            tasks.create_task(self._searching.run())
            tasks.create_task(self._probing.beside(lambda: self._size))
            tasks.create_task(self._revoked.run())

    async def once(self) -> bool:
        """One complete sweep (of three tries), the look-ups that it asks for included; whether there was one."""
        complete = False
        try:
            async with asyncio.TaskGroup() as tasks:
                looking = [tasks.create_task(one.run()) for one in (self._look_ups, self._refreshing)]
                for _ in range(3):
                    complete = (await self.sweep()).complete
                    if complete:
                        break
                await self._refreshing.settle()
                await self._look_ups.settle()
                for task in looking:
                    task.cancel()
        except* Fatal as errors:
            self._deny(errors)
            complete = False
        except* Exception:
            log.exception("account.failed", extra={"account": self.ledger.name})
            complete = False
        return complete

    def _deny(self, errors: BaseExceptionGroup[Fatal]) -> None:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        self._calls.denied = str(first)
        log.error("account.denied", extra={"account": self.ledger.name, "reason": str(first)})

    async def _sweep_for_ever(self) -> None:
        while True:
            began = self._clock.monotonic()
            verdict = await self.sweep()
            if verdict.why != PAGE_SIZE_CHANGED:
                most = SOON if not verdict.complete else float("inf")
                await self._probing.pause(began, most=most, size=self._size)

    async def sweep(self) -> Verdict:
        """One sweep: observe every page as it arrives; then look up what a complete sweep did not see."""
        began, began_at = self._clock.monotonic(), self._clock.wall()
        suspicion = deletion.suspicion(self.ledger.head)
        sweep = Sweep(forward=self._forward, size=self._size, total=self._calls.total, moves=self.ledger.moves)
        self._told, self._asked = began, self._size
        await self._read(sweep, sweep.first)
        async with asyncio.TaskGroup() as readers:
            for _ in range(READERS):
                readers.create_task(self._read_on(sweep))
        verdict = await self._judge(sweep, began, began_at)
        self._searching.swept(verdict, began, moved=sweep.moved(self.ledger.moves))
        if verdict.complete:
            self._refreshing.steady()
            await self._conclude(sweep, began, began_at, suspicion)
        elif verdict.why != FOREIGN and (self._refreshing.unsteady or verdict.why == UNSTEADY):
            await self._refresh(sweep, suspicion)
        log.info(
            "sweep.complete" if verdict.complete else "sweep.incomplete",
            extra={"account": self.ledger.name, "pages": sweep.read, "certificates": self.ledger.live()}
            | ({"reason": verdict.why} if verdict.why else {}),
        )
        return verdict

    async def _read_on(self, sweep: Sweep) -> None:
        while (number := sweep.next()) is not None:
            await self._read(sweep, number)

    async def _read(self, sweep: Sweep, number: int) -> None:
        """Ask for one page, observe it, commit what it shows; then mark what was seen."""
        try:
            answer, observed = await self._observer.asked(
                lambda: self._calls.ask(Urgency.SWEEP, page=number, size=sweep.size), sweep=sweep
            )
        except Transient as error:
            sweep.failed()
            self.gaps.failed(number, error)
            return
        self.gaps.read(number)
        asked = sweep.size
        sweep.answered(number, answer.page)
        sweep.mark(number, observed, self.ledger.inventory)
        self._searching.saw(number, asked, answer, observed, sweep=True)
        self._progress(sweep)

    def _progress(self, sweep: Sweep) -> None:
        self._metrics.sweep_pages.labels(self.ledger.name).set(sweep.read)
        self._metrics.sweep_progress.labels(self.ledger.name).set(min(1.0, sweep.read / sweep.pages))
        now = self._clock.monotonic()
        if now - self._told >= PROGRESS:
            self._told = now
            log.info("sweep.progress", extra={"account": self.ledger.name, "pages": sweep.read, "of": sweep.pages})

    async def _judge(self, sweep: Sweep, began: float, began_at: int) -> Verdict:
        """Was everything seen, and can it be believed?"""
        if not await self._observer.believable():
            self._nominate(self._unseen(sweep, began, began_at))
            verdict = Verdict(False, 0, FOREIGN)
            self.gaps.ended(verdict, seconds=self._clock.monotonic() - began)
            return verdict
        verdict = sweep.verdict(self.ledger.moves, self._shortfall, unsteady=self._refreshing.unsteady)
        self.gaps.ended(verdict, seconds=self._clock.monotonic() - began)
        self._shortfall = verdict.shortfall or None
        self._forward = not sweep.forward
        if self._size == self._asked:  # else the configuration has changed it meanwhile
            self._size = sweep.size
        return verdict

    async def _conclude(self, sweep: Sweep, began: float, began_at: int, suspicion: int | None) -> None:
        """A complete sweep nominates what it did not see, and nothing has shown since it began. It answers the
        suspicion that was there when it began, and no later one; there, what look-ups have shown is missing as well.
        """
        unseen = self._unseen(sweep, began, began_at)
        suspect = suspicion is not None and suspicion == deletion.suspicion(self.ledger.head)
        missing = len(self._unlisted(sweep) if suspect else unseen)
        if missing and not await self._look_ups.believable(missing, empty=not sweep.records):
            self._nominate(unseen)
            return
        self._nominate(())
        decided = await self._look_ups.delete(unseen) and self._confirming.quiet_since(began)
        # What slips between two pages of one sweep, the sweep before or this one has shown.
        through = began_at if sweep.proves(self.ledger.moves) else self._before
        if decided and deletion.suspicion(self.ledger.head) is None:  # what that held back, the next sweep tells
            self._before = began_at
        await self._observer.commit(partial(swept, through=through, decided=decided, suspicion=suspicion))
        self._observer.released()
        self._metrics.last_complete_sweep.labels(self.ledger.name).set(self._clock.wall() / 1000)

    async def _refresh(self, sweep: Sweep, suspicion: int | None) -> None:
        """The order changes between calls: have looked up what was not seen for longest. Where the sweeps have together
        shown whatever is known, that stands for a complete one as far as it can."""
        together = self._refreshing.swept(sweep, suspicion)
        missing = self._refreshing.missing(together)
        believed = await self._look_ups.believable(len(missing))
        self._nominate(() if believed else missing)
        if not believed:
            return
        self._refreshing.begin(sweep, together)
        whole = together.whole(self.ledger.inventory) and sweep.total is not None and self.ledger.live() >= sweep.total
        await self._observer.commit(partial(swept_together, whole=whole, suspicion=together.suspicion))
        self._observer.released()

    def _nominate(self, missing: Sequence[str]) -> None:
        """What is missing from an account that is not believed: for an operator's word, and for those who decide it."""
        self._confirming.nominate(missing)
        self._sampling.of(missing)

    def _unseen(self, sweep: Sweep, began: float, began_at: int) -> list[str]:
        """What it did not see, nothing has shown since it began, and no operator has confirmed as gone."""
        facts, now = self.ledger.facts, self._clock.wall()
        return [
            one
            for one in self._unlisted(sweep)
            if ((fact := facts.get(one)) is None or fact.received < began)
            and not began_at <= self.ledger.shown_at(one) <= now
        ]

    def _unlisted(self, sweep: Sweep) -> list[str]:
        """What it did not see, and no operator has confirmed as gone."""
        gone = self._confirming.gone
        return [one for one in self.ledger.inventory.unseen(sweep.seen) if one not in gone]


def _end_if_cancelled() -> None:
    """Before Python 3.13 a task group that fails while its task is cancelled raises the errors alone (gh-116720), and
    one that fails leaves its task marked as cancelled: so the group has a task of its own, and this one is asked."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
