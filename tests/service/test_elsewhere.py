"""A history that lies somewhere else, or whose head was lost, must not begin a second time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from certstream.core.anchor import Anchor
from certstream.core.canonical import canonical
from certstream.core.errors import Fatal
from certstream.core.events import key_of
from certstream.core.ledger import Ledger, Settings
from certstream.core.sharding import shard_of
from certstream.core.times import thresholds
from certstream.core.wire import ACCOUNTS, Put
from certstream.journal.sqlite import SqliteJournal
from certstream.service.clock import Clock
from certstream.service.forgetting import shard_with
from certstream.service.opening import Entry, Memory, Ownership, open_shard
from certstream.service.probing import Pace


def entry(clock: Clock) -> Entry:
    """The account `prod`; nothing is asked of its source here."""
    ledger = Ledger(Settings("prod", "prod", thresholds(["30d"])), Anchor(boot=0.0))
    pace = Pace(page_size=100, sweep_every=0, probe_every=5)
    return Entry(ledger, source=cast(Any, None), ownership=Ownership(clock), pace=pace, qps=10, uid=None)


@pytest.mark.parametrize(
    ("shift", "budget", "told"),
    [
        (0, "prod", "has lost its head"),
        (1, "prod", "the number of partitions was changed.*journal copy"),
        (1, "old", "has a history already, under the budget 'old'"),
    ],
)
async def test_a_second_history_is_refused(tmp_path: Path, shift: int, budget: str, told: str) -> None:
    journal, clock = SqliteJournal(tmp_path / "journal.db", prefix="certstream."), Clock()
    await journal.start()
    number = shard_of("prod", journal.partitions)
    other = await journal.open((number + shift) % journal.partitions, lambda *_: None)
    await other.commit([Put(ACCOUNTS, key_of("prod"), canonical({"account": "prod", "budget": budget}))])
    await other.close(release=True)
    with pytest.raises(Fatal, match=told):
        await open_shard(journal, number, [entry(clock)], Memory(clock), lambda _: None)
    await journal.close()


async def test_a_name_that_was_forgotten_under_a_third_budget_hides_no_history(tmp_path: Path) -> None:
    journal, clock = SqliteJournal(tmp_path / "journal.db", prefix="certstream."), Clock()
    await journal.start()
    number = shard_of("prod", journal.partitions)
    alive, forgotten = sorted({0, 1, 2} - {number})[:2]
    for partition, value in ((alive, canonical({"account": "prod", "budget": "old"})), (forgotten, None)):
        other = await journal.open(partition, lambda *_: None)
        await other.commit([Put(ACCOUNTS, key_of("prod"), value)])
        await other.close(release=True)
    assert await shard_with(journal, "prod") == alive
    with pytest.raises(Fatal, match="under the budget 'old'"):
        await open_shard(journal, number, [entry(clock)], Memory(clock), lambda _: None)
    await journal.close()


async def test_foreign_keys_in_state_are_left_alone(tmp_path: Path) -> None:
    journal, clock = SqliteJournal(tmp_path / "journal.db", prefix="certstream."), Clock()
    await journal.start()
    number = shard_of("prod", journal.partitions)
    foreign = await journal.open(number, lambda *_: None)
    await foreign.commit([Put("state", key, b"?") for key in (b"\xff\xfe/x", b"", b"another/row", b"another")])
    await foreign.close(release=True)
    ours = entry(clock)
    await open_shard(journal, number, [ours], Memory(clock), lambda _: None)
    assert ours.ledger.head is not None
    await journal.close()
