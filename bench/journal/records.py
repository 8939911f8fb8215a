"""What is written: commits as the product makes them, and rows of `state` for accounts of any size."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import orjson

from bench.pages import SIZE, generate
from certstream.core.anchor import Anchor
from certstream.core.answers import Answer, Page, decode
from certstream.core.draft import Draft
from certstream.core.events import key_of
from certstream.core.ledger import Ledger, Settings, begin
from certstream.core.observe import observe
from certstream.core.rows import Row, encode
from certstream.core.slices import Slice
from certstream.core.times import thresholds
from certstream.core.wire import EVENTS, INVENTORY, PEM, STATE, Put, kind_topic

ACCOUNT = "bench"
DAY_MS = 86_400_000
PER_CERTIFICATE = (EVENTS, kind_topic("discovered"), INVENTORY, PEM)
"""Topics that get one record for each certificate of a baseline; `state` gets the head as well."""
Commit = list[Put]


def ledger(*texts: str) -> Ledger:
    """An account of which nothing is known yet, with these thresholds (the default's where there are none)."""
    wanted = thresholds(list(texts) or ["60d", "30d", "14d", "7d", "3d", "1d"])
    return Ledger(Settings(account=ACCOUNT, budget=ACCOUNT, thresholds=wanted), Anchor(boot=0.0))


def commits(certificates: int, *, each: int, seed: int = 1) -> Iterator[Commit]:
    """A baseline of so many certificates in commits of `each`: every one an event, its copy, and the rows of
    `inventory`, `pem` and `state`; and the account's head. All of it comes from `observe` on records of real pages;
    the only threshold is a day, and certificates that end sooner are left out, so that each makes exactly one event."""
    account = ledger("1d")
    account.head = begin(account.settings, lineage="0" * 16)
    soon = time.time_ns() // 1_000_000 + 2 * DAY_MS
    lasting = (
        one for one in _records(certificates * 6 // 5 + SIZE, seed) if orjson.loads(bytes(one))["AfterDate"] > soon
    )
    for number in range(certificates // each):
        puts = observed(account, list(itertools.islice(lasting, each)), 1000.0 + number)
        counts = Counter(put.topic for put in puts)
        assert all(counts[topic] == each for topic in PER_CERTIFICATE), counts
        yield puts


def _records(certificates: int, seed: int) -> Iterator[Slice]:
    for number, body in enumerate(generate(certificates, seed=seed), 1):
        yield from decode(200, {}, body, page=number).records


def observed(account: Ledger, records: Sequence[Slice], now: float) -> Commit:
    """First sights of these records, committed to the account's memory at `now` (monotonic seconds)."""
    at = time.time_ns() // 1_000_000
    page = Page(records, total=None, number=None, size=SIZE, request_id=None)
    answer = Answer(page, sent=now - 0.05, received=now, sent_at=at - 50, received_at=at, date=None)
    draft = Draft(account, now=at, fires=True)
    found = observe(draft, answer)
    assert len(found.identifiers) == len(records), "every record is a first sight"
    puts = draft.puts()
    draft.absorbed()
    account.facts.clear()
    return puts


def rows(count: int, *, real: int, each: int) -> Iterator[Commit]:
    """Rows of `state` of an account with `count` certificates, and its head, in commits of `each`.

    `real` certificates are observed; their rows stand for all others too, under identifiers, hashes and subjects of
    their own and with the image as it is (making a million real records takes eight minutes). They were set
    yesterday: what is younger than two minutes would be remembered as a fact as well.
    """
    account = ledger()
    account.head = begin(account.settings, lineage="0" * 16)
    records = _records(min(real, count), 1)
    for number in itertools.count(1):
        part = list(itertools.islice(records, 1000))
        if not part:
            break
        observed(account, part, 1000.0 + number)
    known = [row for _, _, row in account.inventory.live()]
    made = (_like(known[number % len(known)], number) for number in range(count))
    while some := list(itertools.islice(made, each)):
        yield some
    head = msgspec.structs.replace(account.head, sequence=count, live=count, baselined=account.head.time)
    yield [Put(STATE, key_of(ACCOUNT), encode(head))]


def _like(row: Row, number: int) -> Put:
    """A row as that of another certificate would be: same lengths, other hashes."""
    seed = hashlib.sha512(b"%d" % number).digest()
    other = msgspec.structs.replace(
        row,
        raw=seed[:16],
        sequence=number + 1,
        hash=seed[16:48],
        inventory=seed[32:],
        subject=row.subject ^ (number >> 4),
        first=row.first - DAY_MS,
        at=row.at - DAY_MS,
        asked=row.asked - DAY_MS,
        known=row.known - DAY_MS,
    )
    return Put(STATE, key_of(ACCOUNT, hashlib.md5(seed, usedforsecurity=False).hexdigest()), encode(other))
