"""The simulated `ListClientCertificate`: `ports.Source` over a moving list, with an answer log.

A call is sent, arrives, is looked up at one instant, and answered; any of it may take long or be lost. Nothing of a
call arrives once `list` has returned or raised, as the port demands.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import NamedTuple
from zlib import crc32

from certstream.core.answers import Answer, Denied, Forbidden, Garbled, Page
from certstream.core.errors import CertstreamError, Throttled, Transient
from tests.simulation import revoked
from tests.simulation.loop import EPOCH, PROCESS, Loop, Process
from tests.simulation.population import Listing, Population, Shown
from tests.simulation.weather import Weather
from tests.verify.history import Call

DEADLINE = 5.0
LATE = 1.0
"""Seconds that a busy process may be late with its deadline."""
USER = "1000000000000001"
BEFORE = ("api.away", "api.drop", "api.connect")
AT_ARRIVAL = ("api.lost", "api.error", "api.garbled", "api.denied", "api.cut")

FOREIGN = [
    Shown(f"foreign{number}", None, b'{"Identifier":"foreign%d","Status":"ISSUE","CommonName":"x"}' % number)
    for number in range(9)
]


@dataclass(slots=True, eq=False)
class _Under:
    """A call under way."""

    number: int
    account: str
    page: int
    size: int
    identifier: str | None
    revoked: bool
    """the list of the revoked is asked for"""
    answer: asyncio.Future[tuple[Page, int]]
    """the page and the `Date` of its header, Unix milliseconds"""
    sent: float
    process: Process | None
    arrival: float = 0.0
    aborted: bool = False


class Sent(NamedTuple):
    """That a process put a call on the wire, `at` seconds after the beginning."""

    process: Process | None
    at: float


@dataclass(slots=True)
class Upstream:
    """One user, for all processes. `populations`: the list of each account, the first of which is the one that wrong
    answers are about. `latency` in seconds, there and back; `lag`: how far replicas may be behind."""

    loop: Loop
    populations: Mapping[str, Population]
    weather: Weather
    dice: Random
    latency: float
    largest: int = 1000
    lag: float = 0.0
    calls: dict[str, list[Call]] = field(default_factory=dict)
    """by account"""
    sendings: list[Sent] = field(default_factory=list)
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=11))
    hidden: frozenset[str] = frozenset()
    """what a broken index does not list; look-ups of it find nothing"""
    unlisted: frozenset[str] = frozenset()
    """what it does not list, and look-ups find"""
    instead: list[Shown] | None = None
    """what a wrong region shows and finds: another user's certificates, or none"""
    salt: str | None = None
    """the list has another order since then, which is steady again"""
    blind: bool = False
    """every look-up finds nothing"""
    revocations: str = "allowed"
    """what the list of the revoked is like: see `tests.simulation.revoked`"""
    forbidden: Counter[tuple[Process | None, str]] = field(default_factory=Counter)
    """how often each process was told that an account may not read that"""
    dropped: str | None = None
    """what its page leaves out, though it is counted"""

    def call(self, account: str, page: int, size: int, identifier: str | None, *, revoked: bool = False) -> _Under:
        """Put a request on the wire."""
        self.sendings.append(Sent(PROCESS.get(), self.loop.now))
        number = len(self.sendings)
        under = _Under(
            number=number,
            account=account,
            page=page,
            size=min(size, self.largest),
            identifier=identifier,
            revoked=revoked,
            answer=self.loop.create_future(),
            sent=self.loop.now,
            process=PROCESS.get(),
        )
        if self.weather.first(BEFORE) is not None:
            if self.dice.random() < 0.5:
                self.loop.outside(self.dice.random() * 0.5, self._fail, under, Transient("the connection was reset"))
            return under
        there = self._half()
        if self.weather.strikes("api.slow"):
            there += 5.0 * self.dice.random() ** 2
        self.loop.outside(there, self._arrive, under)
        return under

    def abort(self, under: _Under) -> None:
        """The caller resets the connection: what has not arrived does now, or never. Never where the caller was stopped
        or asleep meanwhile: the kernel of a stopped process gives up by itself; a host that sleeps with a request which
        its network has not delivered is beyond what can be kept (docs/reliability.md)."""
        if not under.arrival and self.loop.now - under.sent <= DEADLINE + LATE and self.dice.random() < 0.5:
            self._arrive(under)
        under.aborted = True

    def _half(self) -> float:
        return self.latency * (0.25 + 0.5 * self.dice.random())

    def _arrive(self, under: _Under) -> None:
        if under.aborted or under.arrival:
            return
        under.arrival = self.loop.now
        self.arrivals.append(under.arrival)
        if len(self.arrivals) == 11 and under.arrival - self.arrivals[0] < 1.0:
            self._fail(under, Throttled("Throttling.User", retry_after=None), "Throttling.User")
            return
        fate = self.weather.first(AT_ARRIVAL)
        if fate == "api.lost":
            self._log(under, 0, None, [])
            return
        back = self._half()
        if fate is None and under.revoked and self.revocations == "denied":
            self.loop.outside(back, self._fail, under, Forbidden("Forbidden.RAM"), "Forbidden.RAM")
            return
        if fate is not None:
            error: CertstreamError = Transient("ServiceUnavailable")
            if fate == "api.garbled":
                error = Garbled("a page of HTML")
            elif fate == "api.denied":
                error = Denied("Forbidden.RAM")
            self.loop.outside(back, self._fail, under, error, "ServiceUnavailable")
            return
        if self.weather.strikes("api.late"):
            back += 4.9 * self.dice.random()
        seen = self.loop.now
        if self.weather.strikes("api.stale"):
            seen -= self.lag * self.dice.random()
        listing = self.populations[under.account].at(seen)
        if under.revoked:
            rows, total = revoked.page(listing, self.revocations, under.page, under.size, self.dice)
        else:
            rows, total = self._content(under, listing)
        self.loop.outside(back, self._answer, under, rows, total, seen)

    def _content(self, under: _Under, listing: Listing) -> tuple[list[Shown], int]:
        wrong = under.account == next(iter(self.populations))
        rows = [row for _, row in listing if not (wrong and row.identifier in self.hidden)]
        if wrong and self.instead is not None:
            rows = list(self.instead)
        if under.identifier is not None:
            found = [row for row in rows if row.identifier == under.identifier and not (wrong and self.blind)]
            return found, len(found)
        rows = [row for row in rows if row.identifier not in self.unlisted]
        if self.salt is not None:
            rows.sort(key=lambda row: crc32(f"{self.salt}{row.identifier}".encode()))
        if self.weather.strikes("unsteady"):
            self.dice.shuffle(rows)
        return self._page(under, rows)

    def _page(self, under: _Under, rows: list[Shown]) -> tuple[list[Shown], int]:
        """A page and a `TotalCount`, as odd as the weather makes them."""
        if self.weather.strikes("list.small"):
            under.size = max(1, under.size // 2)
        first = (under.page - 1) * under.size
        if first >= len(rows) and self.weather.strikes("list.beyond"):
            first = max(0, len(rows) - under.size)  # past the end: the last page again
        shown, total = rows[first : first + under.size], len(rows)
        shown = [row for row in shown if row.identifier != self.dropped]
        if len(shown) > 1 and self.weather.strikes("list.double"):
            shown = [*shown[:-1], shown[0]]
        if (old := self.weather.strikes("list.count")) is not None:
            total = len(self.populations[under.account].at(self.loop.now - old.size))
        if (odd := self.weather.strikes("list.total")) is not None:
            total = max(0, total - int(odd.size * self.dice.random()) + int(odd.size * self.dice.random()))
        return shown, total

    def _answer(self, under: _Under, rows: list[Shown], total: int | None, seen: float) -> None:
        delivered = not under.answer.done()
        self._log(under, 200, None, rows if delivered else [], seen=seen, delivered=delivered)
        if delivered:
            page = Page([row.record for row in rows], total, under.page, under.size, None)
            under.answer.set_result((page, int(EPOCH + self.loop.now) * 1000))

    def _fail(self, under: _Under, error: CertstreamError, code: str | None = None) -> None:
        if under.arrival:
            self._log(under, 400 if code else 0, code, [])
        if not under.answer.done():
            self.forbidden[under.process, under.account] += isinstance(error, Forbidden)
            under.answer.set_exception(error)

    def _log(
        self,
        under: _Under,
        status: int,
        code: str | None,
        rows: list[Shown],
        *,
        seen: float | None = None,
        delivered: bool = False,
    ) -> None:
        now = self.loop.now
        self.calls.setdefault(under.account, []).append(
            Call(
                number=under.number,
                arrival=EPOCH + under.arrival,
                arrival_mono=under.arrival,
                answered=EPOCH + now,
                snapshot=EPOCH + (under.arrival if seen is None else seen),
                action="ListRevokeCertificate" if under.revoked else "ListClientCertificate",
                identifier=under.identifier,
                user=USER,
                status=status,
                code=code,
                delivered=delivered,
                rows=tuple((row.identifier, row.version) for row in rows if row.version is not None),
            )
        )


@dataclass(slots=True)
class SimulatedSource:
    """Implements `ports.Source` for one account in one process. `wall`: its host's clock, Unix milliseconds."""

    upstream: Upstream
    account: str
    guard: Callable[[], None]
    wall: Callable[[], int]

    async def list(self, *, page: int, size: int, identifier: str | None = None, anywhere: bool = False) -> Answer:
        return await self._call(partial(self.upstream.call, self.account, page, size, identifier))

    async def revoked(self, *, page: int, size: int) -> Answer:
        return await self._call(partial(self.upstream.call, self.account, page, size, None, revoked=True))

    async def _call(self, call: Callable[[], _Under]) -> Answer:
        under: _Under | None = None
        loop = self.upstream.loop
        try:
            async with asyncio.timeout(DEADLINE):
                if self.upstream.dice.random() < 0.1:  # a new connection
                    await asyncio.sleep(self.upstream.latency * self.upstream.dice.random())
                self.guard()
                sent, sent_at = loop.time(), self.wall()
                under = call()
                found, date = await under.answer
        except BaseException as error:
            if under is not None and not isinstance(error, GeneratorExit):
                self.upstream.abort(under)
            if isinstance(error, TimeoutError):
                raise Transient("the deadline passed") from error
            raise
        return Answer(found, sent, loop.time(), sent_at, self.wall(), date)

    async def uid(self) -> str | None:
        return USER

    async def close(self) -> None: ...
