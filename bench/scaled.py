"""One process of `scale`: `python -m bench.scaled COUNT FILE` restores an account of so many certificates, made of the
records in a file, and sweeps it; it writes a line of JSON: what it has measured.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from bench.contender import resident
from bench.journal.records import ledger
from bench.listing import Listing, kept
from bench.pages import SIZE
from certstream.core.answers import Answer, decode
from certstream.core.draft import Draft
from certstream.core.ledger import Ledger
from certstream.core.observe import observe
from certstream.core.restored import check
from certstream.core.sweep import Sweep
from certstream.core.times import Threshold
from certstream.service.clock import Clock
from certstream.source.cas import CasSource
from certstream.source.credentials import static

DURATIONS = ("60d", "30d", "14d", "7d", "3d", "1d")
PARTS = ("60d", "14d", "1d", "33%", "10%", "2%")
PACED = 200
"""Calls at ten a second, after a sweep as fast as it goes."""
CLOCK = Clock()


def stepped(steps: Iterable[None]) -> tuple[float, float]:
    """CPU seconds in all, and of the longest step."""
    began = before = time.thread_time()
    longest = 0.0
    for _ in steps:
        now = time.thread_time()
        longest, before = max(longest, now - before), now
    return time.thread_time() - began, max(longest, time.thread_time() - before)


def restored(listing: Listing, *texts: str) -> tuple[Ledger, dict[str, float]]:
    """The account as after a start, and what that took."""
    account = ledger(*texts)
    for put in listing.state(*texts):
        account.restore(put.key, put.value)
    gc.collect()
    found: dict[str, float] = {}
    found["check"], found["check step"] = stepped(check(account, now=CLOCK.monotonic(), wall=CLOCK.wall()))
    found["built"], found["built step"] = stepped(account.schedule(CLOCK.wall()))
    account.calendar.next()
    began = time.thread_time()
    for _ in range(10_000):
        due = account.calendar.next()
        assert due is None or due > CLOCK.wall()
    found["tick"] = (time.thread_time() - began) / 10_000
    return account, found


def naive(account: Ledger) -> dict[str, float]:
    """A heap of tuples, one for each certificate: what is due next; and a tick that looks at all of them."""
    now = CLOCK.wall()
    dates = [
        (row.not_before or 0, row.not_after) for _, _, row in account.inventory.live() if row.not_after is not None
    ]
    began = time.thread_time()
    entries = []
    for number, (begin, end) in enumerate(dates):
        moments = [end, *(end - span for span in _spans(begin, end, account.settings.thresholds))]
        due = min((moment for moment in moments if moment > now), default=None)
        if due is not None:
            entries.append((due, number))
    heapq.heapify(entries)
    built = time.thread_time() - began
    began = time.thread_time()
    assert not [number for due, number in entries if due <= now]
    return {"heap": built, "scan": time.thread_time() - began}


def _spans(begin: int, end: int, thresholds: Iterable[Threshold]) -> Iterator[int]:
    return (span for one in thresholds if (span := one.before(begin, end)) is not None)


class Sweeping:
    """A sweep of which nothing has changed, from an answer to its marks."""

    def __init__(self, account: Ledger) -> None:
        self._ledger = account
        self._sweep = Sweep(forward=True, size=SIZE, total=None, moves=account.moves)

    def seen(self, number: int, answer: Answer) -> None:
        """One page."""
        draft = Draft(self._ledger, now=answer.received_at, fires=True)
        found = observe(draft, answer, seen=self._sweep.seen)
        assert not draft.puts()
        draft.absorbed()
        self._ledger.mark_shown(found.unchanged, answer.sent_at, answer.received_at)
        self._sweep.answered(number, answer.page)
        self._sweep.mark(number, found, self._ledger.inventory)


def swept(account: Ledger, listing: Listing) -> float:
    """CPU seconds of a sweep from the bodies of answers."""
    sweeping, spent = Sweeping(account), 0
    for number in listing.pages():
        body = listing.page(number)
        began = time.thread_time_ns()
        page, at = decode(200, {}, body, page=number), CLOCK.wall()
        now = CLOCK.monotonic()
        sweeping.seen(number, Answer(page, now - 0.05, now, at - 50, at, None))
        spent += time.thread_time_ns() - began
    return spent / 1e9


async def asked(account: Ledger, listing: Listing) -> tuple[float, float]:
    """CPU seconds of a sweep over HTTP, with the real client, as fast as it goes; and of one call at ten a second."""
    words = [sys.executable, "-m", "bench.listing", str(listing.count), sys.argv[2]]
    server = await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE)
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    source = CasSource(endpoint=f"http://127.0.0.1:{port}", credentials=static("LTAIbench", "benchSecret"))
    try:
        await source.list(page=1, size=SIZE)
        sweeping, began = Sweeping(account), time.process_time()
        for number in listing.pages():
            sweeping.seen(number, await source.list(page=number, size=SIZE))
        spent = time.process_time() - began
        sweeping, began = Sweeping(account), time.process_time()
        for number in listing.pages()[:PACED]:
            sweeping.seen(number, await source.list(page=number, size=SIZE))
            await asyncio.sleep(0.1)
        paced = (time.process_time() - began) / min(PACED, len(listing.pages()))
    finally:
        await source.close()
        await server.communicate(b"")
    return spent, paced


def main() -> None:
    count = int(sys.argv[1])
    records = kept(Path(sys.argv[2]))
    small = Listing(1_000, records[:1_000])
    trial, _ = restored(small)  # loads and warms everything, and is thrown away: what stays is the empty process
    swept(trial, small)
    asyncio.run(asked(trial, small))
    del trial
    listing = Listing(count, records)
    gc.collect()
    before = resident()
    account, found = restored(listing, *DURATIONS)
    found["sweep"] = min(swept(account, listing) for _ in range(3))
    gc.collect()
    found["bytes"] = resident() - before
    found["with HTTP"], found["paced call"] = asyncio.run(asked(account, listing))
    found |= naive(account)
    del account
    _, parts = restored(listing, *PARTS)
    found |= {f"{name}, parts": value for name, value in parts.items()}
    sys.stdout.buffer.write(orjson.dumps(found))


if __name__ == "__main__":
    main()
