"""One contender of `unchanged`, in a process of its own: learns all certificates, then sweeps when it is told to.

`python -m bench.contender NAME PAGES` writes lines of JSON: `pages` while it learns, `bytes` (growth of its resident
memory) when it has, and after each line on stdin `ns` (CPU time of a sweep) and `unchanged` (how many it found so).
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import orjson

from bench.pages import generate, pages
from certstream.core.account import swept
from certstream.core.anchor import Anchor
from certstream.core.answers import Answer, decode
from certstream.core.draft import Draft
from certstream.core.ledger import RECENT, Ledger, Settings, begin
from certstream.core.observe import observe
from certstream.core.sweep import Sweep
from certstream.core.times import thresholds
from certstream.source.exchange import Clocks

PAGE_EVERY = 0.105
"""Seconds between two answers: how many facts are remembered at a time depends on it."""
CLOCKS = Clocks(monotonic=time.monotonic, wall_ms=lambda: time.time_ns() // 1_000_000)


class Contender(Protocol):
    """Who is measured."""

    def learn(self, number: int, body: bytes) -> None:
        """See a page for the first time."""

    def learned(self) -> None:
        """That was the last page."""

    def begin(self) -> None:
        """A sweep begins."""

    def check(self, number: int, body: bytes) -> int:
        """Compare a page with what is known, mark what was seen; how many records are unchanged. This is timed."""


class Certstream:
    """The product's own path, from the body of an answer to the marks of the sweep, without the journal."""

    def __init__(self) -> None:
        texts = ["60d", "30d", "14d", "7d", "3d", "1d"]
        settings = Settings(account="bench", budget="bench", thresholds=thresholds(texts))
        self.ledger = Ledger(settings, Anchor(boot=0.0))
        now = CLOCKS.wall_ms()
        self.ledger.head = begin(settings, lineage="0" * 16)
        for _ in self.ledger.schedule(now):
            pass
        self._now = 1000.0

    def _answer(self, number: int, body: bytes) -> Answer:
        self._now += PAGE_EVERY
        page, at = decode(200, {}, body, page=number), CLOCKS.wall_ms()
        return Answer(page, sent=self._now - 0.05, received=self._now, sent_at=at - 50, received_at=at, date=None)

    def learn(self, number: int, body: bytes) -> None:
        draft = Draft(self.ledger, now=CLOCKS.wall_ms(), fires=True)
        found = observe(draft, self._answer(number, body))
        draft.puts()
        draft.absorbed()
        assert len(found.identifiers) == found.records, "every record is a first sight"
        if number % 40 == 0:
            self.ledger.forget_facts(self._now - RECENT)

    def learned(self) -> None:
        draft = Draft(self.ledger, now=CLOCKS.wall_ms(), fires=True)
        swept(draft, through=draft.now)
        draft.absorbed()
        self._now += 2 * RECENT
        self.ledger.forget_facts(self._now - RECENT)

    def begin(self) -> None:
        self._sweep = Sweep(forward=True, size=100, total=None, moves=self.ledger.moves)

    def check(self, number: int, body: bytes) -> int:
        answer = self._answer(number, body)
        draft = Draft(self.ledger, now=answer.received_at, fires=True)
        found = observe(draft, answer, seen=self._sweep.seen)
        assert not draft.puts()
        draft.absorbed()
        self.ledger.mark_shown(found.unchanged, answer.sent_at, answer.received_at)
        self._sweep.answered(number, answer.page)
        self._sweep.mark(number, found, self.ledger.inventory)
        return len(found.unchanged)


class Dicts:
    """The peer: orjson, and every record kept as the dict that it decodes to."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}

    def learn(self, number: int, body: bytes) -> None:
        for record in orjson.loads(body)["CertificateList"]:
            self._known[record["Identifier"]] = record

    def learned(self) -> None:
        pass

    def begin(self) -> None:
        self._seen: set[str] = set()

    def check(self, number: int, body: bytes) -> int:
        unchanged = 0
        for record in orjson.loads(body)["CertificateList"]:
            identifier = record["Identifier"]
            unchanged += self._known.get(identifier) == record
            self._seen.add(identifier)
        return unchanged


CONTENDERS: dict[str, type[Certstream] | type[Dicts]] = {"certstream": Certstream, "dicts": Dicts}


def resident() -> int:
    """Bytes of this process in memory (Linux: `proc(5)`)."""
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS"))


def _tell(**values: int) -> None:
    sys.stdout.buffer.write(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def _learn(contender: Contender, bodies: Iterable[bytes]) -> int:
    number = 0
    for number, body in enumerate(bodies, 1):
        contender.learn(number, body)
        if number % 50 == 0:
            _tell(pages=number)
    contender.learned()
    return number


def _sweep(contender: Contender, bodies: Iterable[bytes]) -> tuple[int, int]:
    spent = unchanged = 0
    contender.begin()
    for number, body in enumerate(bodies, 1):
        began = time.thread_time_ns()
        unchanged += contender.check(number, body)
        spent += time.thread_time_ns() - began
    return spent, unchanged


def main() -> None:
    name, path = sys.argv[1], Path(sys.argv[2])
    trial = CONTENDERS[name]()  # loads and warms everything, and is thrown away: what stays is the empty process
    bodies = list(generate(300, seed=2))
    _learn(trial, bodies)
    _sweep(trial, bodies)
    del trial, bodies
    gc.collect()
    before = resident()
    contender = CONTENDERS[name]()
    _learn(contender, pages(path))
    _sweep(contender, pages(path))
    gc.collect()
    _tell(bytes=resident() - before)
    for _ in sys.stdin:
        spent, unchanged = _sweep(contender, pages(path))
        _tell(ns=spent, unchanged=unchanged)


if __name__ == "__main__":
    main()
