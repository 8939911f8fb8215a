"""Moving a whole history from one journal into another, empty one: `certstream journal copy`.

Topic after topic, each account's records in order, keys, values and headers as they are; the heads of the accounts come
last, when everything else was read back and compared. Until then a row `~copy/<shard>` calls the target incomplete, and
nothing is repaired: a copy that stopped is thrown away. Not moved: offsets, timestamps, the journal's own rows (`~…`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn

import msgspec

from certstream.core.errors import CertstreamError, Fatal
from certstream.core.rows import decode_head
from certstream.core.sharding import shard_of
from certstream.core.wire import ACCOUNTS, STATE, Put, Stored
from certstream.journal.copying_records import Counted, Digest, Mark, account_of, refuse_incomplete
from certstream.journal.layout import TOPICS
from certstream.journal.ownership import Row, own
from certstream.ports import Fenced, Journal, Shard

WATCH = 6.0
"""Seconds in which a running service proves its ownership in Kafka at least once (design: Pacing)."""
RECORDS = 1_000
"""Records in one transaction, at most."""
BYTES = 2 << 20
"""Bytes of keys and values in one transaction; one record may be more."""
Progress = Callable[[Literal["copy", "verify"], str, int, int], None]
"""Called now and then: what is done, with which topic, records so far, records at most."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What was moved, and that it was found whole in the target."""

    accounts: Mapping[str, int]
    """account → its shard in the target"""
    topics: Mapping[str, Counted]
    seconds: float


async def copy(
    source: Journal, target: Journal, *, name: str, progress: Progress, watch: float = WATCH, clean: str = "remove it"
) -> Copied:
    """Move everything. Both journals were started; the caller closes them. `name`: of the source, for people. `watch`:
    seconds for which a source without a released owner must be silent. `clean`: how the target is removed.

    Raises Fatal: the source is empty, in use or written meanwhile, the target not empty, or what is read back differs;
    Fenced: somebody else uses the target.
    """
    began = time.monotonic()
    await _refuse_used(target)
    before = await source.ends(TOPICS)
    found = await _look(source)
    if not found.budgets and not any(before.values()):
        raise Fatal(f"{name} is empty: there is nothing to copy")
    await _refuse_busy(source, found, before, name, watch)
    moving = _Moving(target, name)
    try:
        sums = {topic: await moving.topic(source, topic, before, found, progress) for topic in TOPICS}
        if await source.ends(TOPICS) != before:
            raise Fatal(f"{name} was written meanwhile: stop its service")
        await _compare(target, sums, found, progress)
        await moving.finish(found)
        await moving.close(release=all(row.released for row in found.owners.values()))
    except Fenced:
        raise
    except CertstreamError as error:
        raise Fatal(f"{error}; the copy is incomplete and of no use: {clean}, and start again") from error
    finally:
        await moving.close(release=False)
    accounts = {account.decode(): number for account, number in sorted(moving.shards_of.items())}
    return Copied(accounts, {topic: sums[topic] for topic in TOPICS}, time.monotonic() - began)


@dataclass(slots=True)
class _Found:
    """What the source's `state` and `accounts` say about its accounts and owners."""

    budgets: dict[bytes, str] = field(default_factory=dict)
    heads: dict[bytes, Stored] = field(default_factory=dict)
    owners: dict[bytes, Row] = field(default_factory=dict)


async def _look(source: Journal) -> _Found:
    found, marks = _Found(), dict[bytes, bytes | None]()
    async for record in source.read([ACCOUNTS]):
        if record.value is not None:
            with contextlib.suppress(msgspec.MsgspecError, AttributeError):
                budget = msgspec.json.decode(record.value).get("budget")
                found.budgets[account_of(record)] = str(budget or account_of(record).decode())
    async for record in source.read([STATE]):
        if record.key.startswith(b"~shard/") and record.value is not None:
            found.owners[record.key] = Row.read(record.value)
        elif own(record.key):
            marks[record.key] = record.value
        elif b"/" not in record.key:
            found.heads[account_of(record)] = record
    for key, value in marks.items():
        refuse_incomplete(key, value)
    for account, record in found.heads.items():
        if record.value is not None:
            found.budgets[account] = decode_head(record.value).budget
    return found


async def _refuse_used(target: Journal) -> None:
    used = {topic: end for (topic, _), end in (await target.ends(TOPICS)).items() if end}
    if not used:
        return
    marks = {record.key: record.value async for record in target.read([STATE]) if record.key.startswith(b"~copy/")}
    for key, value in marks.items():
        refuse_incomplete(key, value)
    raise Fatal(f"the target is not empty ({', '.join(used)}): copy into another one")


async def _refuse_busy(
    source: Journal, found: _Found, before: Mapping[tuple[str, int], int], name: str, watch: float
) -> None:
    owners = sorted({row.owner for row in found.owners.values() if not row.released})
    if owners and watch:
        await asyncio.sleep(watch)
        if await source.ends([STATE]) != {part: end for part, end in before.items() if part[0] == STATE}:
            raise Fatal(f"{name} is in use by {', '.join(owners)}: stop that service first")


class _Moving:
    """The target while it is written. A shard is opened, and marked incomplete, with its first record."""

    def __init__(self, target: Journal, name: str) -> None:
        self._target = target
        self._name = name
        self._shards: dict[int, Shard] = {}
        self._waiting: dict[int, list[Put]] = defaultdict(list)
        self._bytes: dict[int, int] = defaultdict(int)
        self._homes: dict[bytes, int] = {}
        self.shards_of: dict[bytes, int] = {}

    async def topic(
        self, source: Journal, topic: str, ends: Mapping[tuple[str, int], int], found: _Found, progress: Progress
    ) -> Counted:
        """All of it but heads. Returns what was read, heads included."""
        digest, done, most = Digest(topic), 0, sum(end for part, end in ends.items() if part[0] == topic)
        progress("copy", topic, 0, most)
        async for record in source.read([topic]):
            done += 1
            if done % RECORDS == 0:
                progress("copy", topic, done, most)
            if own(record.key) and topic == STATE:
                continue
            digest.add(record)
            number = self._shard_of(record, found)
            if topic != STATE or record.key not in found.heads:
                await self._put(number, Put(topic, record.key, record.value, record.headers))
        await self._flush_all()
        progress("copy", topic, done, done)
        return digest.result()

    async def finish(self, found: _Found) -> None:
        """The heads, which are read back; then that it is complete, shard by shard: each one that says so is right."""
        before = await self._target.ends([STATE])
        wanted = {account: record.value for account, record in found.heads.items()}
        for record in found.heads.values():
            await self._put(self._shard_of(record, found), Put(STATE, record.key, record.value, record.headers))
        await self._flush_all()
        read = {one.key: one.value async for one in self._target.read([STATE], start=before) if not own(one.key)}
        if read != wanted:
            raise Fatal(f"{STATE}: the heads of the accounts are not what was written")
        for number, shard in self._shards.items():
            await shard.commit([Mark(complete=True, source=self._name).put(number)])

    async def close(self, *, release: bool) -> None:
        """Give the shards up. `release`: whoever opens them next need not wait."""
        shards, self._shards = self._shards, {}
        for shard in shards.values():
            await shard.close(release=release)

    def _shard_of(self, record: Stored, found: _Found) -> int:
        """By the budget of the head; where an account has none (any more), of `accounts`; else by its name."""
        account = account_of(record)
        home = self._homes.setdefault(account, record.partition)
        if home != record.partition:
            raise Fatal(
                f"account {account.decode()} is in the partitions {home} and {record.partition} ({record.topic}): its"
                " order is lost, this is not a history that certstream wrote"
            )
        if account not in self.shards_of:
            budget = found.budgets.get(account, account.decode())
            self.shards_of[account] = shard_of(budget, self._target.partitions)
        return self.shards_of[account]

    async def _put(self, number: int, put: Put) -> None:
        size = len(put.key) + len(put.value or b"")
        if len(self._waiting[number]) >= RECORDS or self._bytes[number] + size > BYTES:
            await self._flush(number)
        self._waiting[number].append(put)
        self._bytes[number] += size

    async def _flush(self, number: int) -> None:
        puts, self._waiting[number], self._bytes[number] = self._waiting[number], [], 0
        if puts:
            await (await self._open(number)).commit(puts)

    async def _flush_all(self) -> None:
        for number in list(self._waiting):
            await self._flush(number)

    async def _open(self, number: int) -> Shard:
        if number not in self._shards:
            shard = self._shards[number] = await self._target.open(number, lambda key, value: None)
            if shard.opened.previous:
                raise Fenced("another process began to use the target: copy into another one")
            await shard.commit([Mark(complete=False, source=self._name).put(number)])
        return self._shards[number]


async def _compare(target: Journal, sums: Mapping[str, Counted], found: _Found, progress: Progress) -> None:
    """Read everything back. Heads are not there yet: they are lent to it."""
    for topic in TOPICS:
        digest, done, wanted = Digest(topic), 0, sums[topic]
        async for record in target.read([topic]):
            done += 1
            if done % RECORDS == 0:
                progress("verify", topic, done, wanted.records)
            if topic != STATE or not own(record.key):
                digest.add(record)
        if topic == STATE:
            for head in found.heads.values():
                digest.add(head)
        read = digest.result()
        progress("verify", topic, read.records, wanted.records)
        if read != wanted:
            _differ(topic, wanted, read)


def _differ(topic: str, wanted: Counted, read: Counted) -> NoReturn:
    told = f"{read.records} of {wanted.records} records" if read.records != wanted.records else "other bytes or order"
    raise Fatal(f"{topic}: {told} were read back")
