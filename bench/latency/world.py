"""A list of a million certificates whose records are made when a page shows them; a journal that keeps none."""

from __future__ import annotations

import asyncio
import json
import math
from bisect import bisect_left, insort
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from hashlib import sha256
from random import Random
from typing import Literal

import msgspec

from certstream.core.answers import Answer, Page
from certstream.core.findings import findings
from certstream.core.inventory import own_size
from certstream.core.normal import read
from certstream.core.rows import FORM, Head, Image, Row, encode
from certstream.core.wire import EVENTS, Put, Stored
from certstream.ports import Apply, Opened
from tests.simulation.loop import EPOCH, Loop

Order = Literal["newest first", "by identifier", "unsteady"]
ORDERS: tuple[Order, ...] = ("newest first", "by identifier", "unsteady")
TRIP = 0.05
"""Seconds, there and back."""
COMMIT = 0.005
"""Seconds that a commit takes."""
_RECORD = (
    '{"Identifier":"%015d","Status":"%s","CommonName":"c.example","SubjectDN":"CN=c.example,OU=%x",'
    '"BeforeDate":%d,"AfterDate":%d,"Algorithm":"RSA","KeySize":2048,"CertificateType":"CLIENT"}'
)
_FROM, _TO = int((EPOCH - 86400) * 1000), int((EPOCH + 5 * 365 * 86400) * 1000)


class World:
    """One account. `changed`: when what happened to which certificate, by (kind, identifier)."""

    def __init__(self, loop: Loop, certificates: int, order: Order, *, seed: int) -> None:
        self.loop, self.order = loop, order
        self.dice = Random(f"{seed}/{certificates}/{order}")
        steps = range(certificates) if order != "by identifier" else (n * 1_000_000 for n in range(certificates))
        self.list = sorted(steps, reverse=order != "by identifier")
        self._next = certificates
        self._revoked: dict[int, None] = {}
        """in the order in which they were"""
        self.changed: dict[tuple[str, str], float] = {}
        self.told: dict[tuple[str, str], float] = {}
        self.calls = 0

    def happen(self) -> None:
        """One change: as many are issued as deleted, one in ten is revoked."""
        which = self.dice.random()
        if which < 0.45:
            kind, one = "new", self._issue()
        elif which < 0.9:
            kind, one = "deleted", self.list.pop(self.dice.randrange(len(self.list)))
            self._revoked.pop(one, None)
        else:
            kind, one = "revoked", self.dice.choice(self.list)
            self._revoked[one] = None
        self.changed.setdefault((kind, f"{one:015d}"), self.loop.now)

    def _issue(self) -> int:
        if self.order == "by identifier":
            one = self.dice.randrange(self.list[-1]) | 1
            insort(self.list, one)
        else:
            one, self._next = self._next, self._next + 1
            self.list.insert(0, one)
        return one

    def record(self, one: int) -> bytes:
        """Its JSON text."""
        return (_RECORD % (one, "REVOKE" if one in self._revoked else "ISSUE", one, _FROM, _TO)).encode()

    def _find(self, one: int) -> list[int]:
        if self.order == "by identifier":
            at = bisect_left(self.list, one)
        else:
            at = bisect_left(self.list, -one, key=lambda other: -other)
        return [one] if at < len(self.list) and self.list[at] == one else []

    def shown(self, page: int, size: int, identifier: str | None) -> Page:
        """What the service answers now."""
        self.calls += 1
        if identifier is not None:
            rows = self._find(int(identifier))
            return Page([self.record(one) for one in rows], len(rows), 1, size, None)
        rows = self.list[(page - 1) * size : page * size]
        if self.order == "unsteady" and self.loop.now > 0:
            rows = [self.dice.choice(self.list) if self.dice.random() < UNSTEADY else one for one in rows]
        return Page([self.record(one) for one in rows], len(self.list), page, size, None)

    def revoked(self, page: int, size: int) -> Page:
        """What it answers now, asked for what is revoked: in the order of the other list, but the last one first."""
        self.calls += 1
        rows = list(self._revoked)[::-1]
        if self.order == "by identifier":
            rows.sort()
        elif self.order == "unsteady":
            self.dice.shuffle(rows)
        return Page([self.record(one) for one in rows[(page - 1) * size :][:size]], len(rows), page, size, None)


UNSTEADY = 0.3
"""Of the rows of a page, how many are somebody else's, where the order is unsteady."""
LEFT_OUT = UNSTEADY * math.exp(-UNSTEADY)
"""The share of such a list that a sweep does not show: not in its place, and nowhere else by chance."""


class Source:
    """`ports.Source` over a world."""

    def __init__(self, world: World, wall: Callable[[], int], allowed: Callable[[], None]) -> None:
        self._world, self._wall, self._allowed = world, wall, allowed

    async def list(self, *, page: int, size: int, identifier: str | None = None, anywhere: bool = False) -> Answer:
        return await self._call(lambda: self._world.shown(page, size, identifier))

    async def revoked(self, *, page: int, size: int) -> Answer:
        return await self._call(lambda: self._world.revoked(page, size))

    async def _call(self, answer: Callable[[], Page]) -> Answer:
        self._allowed()
        loop, sent_at = self._world.loop, self._wall()
        sent = loop.now
        await asyncio.sleep(TRIP / 2)
        shown = answer()
        date = self._wall() // 1000 * 1000
        await asyncio.sleep(TRIP / 2)
        return Answer(shown, sent, loop.now, sent_at, self._wall(), date)

    async def uid(self) -> str | None:
        return None

    async def close(self) -> None: ...


class Journal:
    """`ports.Journal` and `ports.Shard` that note when an event was committed.

    They restore what a baseline leaves, but that all rows share the image of one certificate.
    """

    partitions = 1
    number = 0
    opened = Opened(previous=False, released=False)

    def __init__(self, world: World) -> None:
        self._world = world

    async def start(self) -> None: ...

    async def open(self, shard: int, apply: Apply) -> Journal:
        at, began = round((EPOCH - 3600) * 1000), round((EPOCH - 7200) * 1000)
        normal = read(self._world.record(self._world.list[0]))
        assert normal.not_after is not None
        row = Row(
            form=FORM, raw=b"", sequence=1, hash=bytes(32), inventory=bytes(32), first=at, at=at, asked=at, known=at,
            not_before=normal.not_before, not_after=normal.not_after, told=None, past=(), revoked=False, baseline=True,
            subject=0, lineage=0, image=Image.of(normal, findings(normal.certificate, None)).pack(),
        )  # fmt: skip
        for number, one in enumerate(self._world.list, 1):
            raw = sha256(self._world.record(one)).digest()[:16]
            fields = {"raw": raw, "sequence": number, "subject": number}
            apply(b"bench/%015d" % one, own_size(encode(msgspec.structs.replace(row, **fields))))
        head = Head(
            form=FORM, lineage="0" * 16, budget="bench", uid=None, began=began, sequence=len(self._world.list),
            time=at, baselined=at, live=len(self._world.list), digested=round(EPOCH * 1000), swept=at, observed=at,
        )  # fmt: skip
        apply(b"bench", encode(head))
        return self

    def owned_until(self) -> float:
        return float("inf")

    async def commit(self, puts: Sequence[Put]) -> None:
        await asyncio.sleep(COMMIT)
        for put in puts:
            if put.topic == EVENTS and put.value is not None:
                event = json.loads(put.value)
                kind = event["type"].split(".")[2]
                self._world.told.setdefault((kind, event["subject"]), self._world.loop.now)

    async def verify(self) -> None: ...

    async def resume(self) -> None: ...

    async def reread(self, apply: Apply) -> None: ...

    async def read(
        self, topics: Sequence[str], *, start: Mapping[tuple[str, int], int] | None = None, follow: bool = False
    ) -> AsyncGenerator[Stored, None]:
        return
        yield

    async def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        return {}

    async def close(self, *, release: bool = False) -> None: ...
