"""The one writer of a shard: decisions are made and committed in turn, so that memory follows the journal.

Whatever is waiting is decided together and committed in one transaction. After a doubt the drafts are thrown away, the
journal says what is true, and the same decisions are made again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from certstream.core.backoff import full_jitter
from certstream.core.draft import Draft
from certstream.core.ledger import Ledger
from certstream.core.wire import Put
from certstream.ports import Fenced, JournalAway, JournalDoubt, Shard
from certstream.service.clock import Clock
from certstream.service.metrics import Metrics

log = logging.getLogger("certstream")
T = TypeVar("T")

GROUP = 16
"""Decisions in one transaction at most: pages, mostly."""
TOGETHER = 0.02
"""Seconds from the begin of one commit to the next: what comes in between goes together, the first at once."""
IDLE = 1.0
"""Seconds between looks at the ownership while nothing is to be committed."""
PROVE_BEFORE = 3.0
"""Seconds before a proof of ownership runs out at which it is renewed."""


@dataclass(slots=True, eq=False)
class _Work:
    ledger: Ledger
    act: Callable[[Draft], Any]
    done: asyncio.Future[Any]


@dataclass(slots=True, eq=False)
class _Turn:
    act: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]


class Writer:
    """Owns a shard's commits. `run` is the task; `do` is for everybody else."""

    def __init__(self, shard: Shard, *, clock: Clock, metrics: Metrics) -> None:
        self._shard, self._clock, self._metrics = shard, clock, metrics
        self._queue: asyncio.Queue[_Work | _Turn] = asyncio.Queue()
        self._stopping = False
        self._committed = float("-inf")
        self.healthy = asyncio.Event()
        """cleared while nobody knows what the journal holds: no calls then"""
        self.healthy.set()
        self.trouble: str | None = None
        """why it is not healthy, for people"""

    async def do(self, ledger: Ledger, act: Callable[[Draft], T]) -> T:
        """Let `act` decide on a draft of `ledger`, commit what it drafted, return what it returned.

        `act` may run several times, each time on a fresh draft. Raises what it raises, and Fenced.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Work(ledger, act, done))
        return await done

    async def turn(self, act: Callable[[], Awaitable[T]]) -> T:
        """Let `act` have the shard to itself, between two commits: everything asked for before is settled then.

        Raises what it raises; after JournalDoubt the journal has been read back already, and whoever asked looks
        again what is true.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Turn(act, done))
        return await done

    def ails(self) -> str | None:
        """What is wrong with the journal, for people: a doubt, or an answer that has not come for too long."""
        if self.trouble is None and self._shard.owned_until() <= self._clock.boot():
            return "it has not answered for 5 s, so nothing proves that this process still owns its accounts: no calls"
        return self.trouble

    def trusts_clock(self, ledger: Ledger) -> bool:
        """Whether thresholds may fire now."""
        return ledger.anchor.agrees(wall=self._clock.wall(), boot=self._clock.boot(), newest=ledger.newest)

    async def run(self) -> None:
        """Commit until `stop`. Raises Fenced when another owner took the shard, Fatal for a journal beyond help."""
        try:
            while not (self._stopping and self._queue.empty()):
                await self._prove()
                try:
                    async with asyncio.timeout(IDLE):  # `wait_for` may lose a cancellation before Python 3.12
                        first = await self._queue.get()
                except TimeoutError:
                    continue
                if (wait := self._committed + TOGETHER - self._clock.monotonic()) > 0:
                    await asyncio.sleep(wait)
                work, turn = self._together(first)
                await self._commit([one for one in work if not one.done.done()])
                if turn is not None and not turn.done.done():
                    await self._give(turn)
        finally:
            self._refuse_rest()

    def stop(self) -> None:
        """Finish what is in hand, then end `run`."""
        self._stopping = True

    def _together(self, first: _Work | _Turn) -> tuple[list[_Work], _Turn | None]:
        """What goes into the next commit, and whose turn is after it."""
        work: list[_Work] = []
        one = first
        while isinstance(one, _Work):
            work.append(one)
            if len(work) >= GROUP or self._queue.empty():
                return work, None
            one = self._queue.get_nowait()
        return work, one

    async def _give(self, turn: _Turn) -> None:
        try:
            result = await turn.act()
        except Fenced:
            raise
        except Exception as error:
            if isinstance(error, JournalDoubt):
                await self._recover(error)
            if not turn.done.done():
                turn.done.set_exception(error)
        else:
            if not turn.done.done():
                turn.done.set_result(result)

    def _refuse_rest(self) -> None:
        while not self._queue.empty():
            one = self._queue.get_nowait()
            if not one.done.done():
                one.done.cancel()

    async def _prove(self) -> None:
        """Where nothing was committed for a while, make sure that the shard is still ours: calls depend on it."""
        if self._shard.owned_until() - self._clock.boot() < PROVE_BEFORE:
            try:
                await self._shard.verify()
            except JournalDoubt as error:
                await self._recover(error)

    async def _commit(self, work: list[_Work]) -> None:
        doubts = 0
        while work:
            drafts, results, refused = self._decide(work)
            if refused is not None:
                work = [one for one in work if one is not refused]
                continue
            puts = [put for draft in drafts for put in draft.puts()]
            try:
                await self._write(puts)
            except JournalDoubt as error:
                await self._recover(error, doubts)
                doubts += 1
                continue
            for draft in drafts:
                draft.absorbed()
                for kind in draft.kinds:
                    self._metrics.events.labels(draft.ledger.name, kind).inc()
            for one, result in zip(work, results, strict=True):
                if not one.done.done():
                    one.done.set_result(result)
            return

    def _decide(self, work: list[_Work]) -> tuple[list[Draft], list[Any], _Work | None]:
        """Run every decision on one draft per account; the third value is a decision that failed."""
        now = self._clock.wall()
        drafts: dict[str, Draft] = {}
        results: list[Any] = []
        for one in work:
            draft = drafts.get(one.ledger.name)
            if draft is None:
                draft = drafts[one.ledger.name] = Draft(one.ledger, now=now, fires=self.trusts_clock(one.ledger))
            try:
                results.append(one.act(draft))
            except Exception as error:
                # Its draft is half made: all of it is thrown away, and made again without this decision.
                if not one.done.done():
                    one.done.set_exception(error)
                return [], [], one
        return list(drafts.values()), results, None

    async def _write(self, puts: list[Put]) -> None:
        if not puts:
            return
        self._committed = self._clock.monotonic()
        with self._metrics.commit_seconds.time():
            await self._shard.commit(puts)
        self._metrics.commits.inc()

    async def _recover(self, doubt: JournalDoubt, before: int = 0) -> None:
        """After a doubt: nothing is called until the journal has said what it holds.

        `before`: doubts about the same work before this one. A disk that is full can be read: without a pause, the
        same commit would be tried hundreds of times a second.
        """
        self.healthy.clear()
        self.trouble = str(doubt)
        self._metrics.journal_doubts.inc()
        log.warning("journal.doubt", extra={"reason": str(doubt), "shard": self._shard.number})
        if before:
            await asyncio.sleep(full_jitter(before, self._clock.random.random(), base=0.5, cap=5.0))
        attempt = 0
        while True:
            try:
                await self._shard.resume()
                break
            except Fenced:
                raise
            except (JournalAway, JournalDoubt) as error:
                if self.trouble != str(error):
                    log.warning("journal.away", extra={"reason": str(error), "shard": self._shard.number})
                self.trouble = str(error)
                await asyncio.sleep(full_jitter(attempt, self._clock.random.random(), base=0.5, cap=5.0))
                attempt += 1
        log.info("journal.resumed", extra={"shard": self._shard.number})
        self.trouble = None
        self.healthy.set()
