"""Opening, restoring, owning, handing over."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from certstream.core.wire import EVENTS, STATE, Put
from certstream.ports import Opened
from tests.journal.places import Place
from tests.journal.reading import Memory, opened, values


async def test_restoring_gives_the_last_value_of_each_key_and_none_that_was_deleted(place: Place) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    await shard.commit([Put(STATE, b"%d" % n, b"old") for n in range(2500)])
    await shard.commit([Put(STATE, b"%d" % n, b"new") for n in range(0, 2500, 2)])
    await shard.commit([Put(STATE, b"%d" % n, None) for n in range(0, 2500, 5)])
    await shard.close(release=False)
    _, memory = await opened(journal)
    assert memory == {b"%d" % n: (b"old" if n % 2 else b"new") for n in range(2500) if n % 5}
    assert not [key for key, _ in memory.calls if key.startswith(b"~")]
    await journal.close()


async def test_reading_again_gives_what_was_restored_and_what_was_committed_since(place: Place) -> None:
    before = place.journal()
    shard, _ = await opened(before)
    await shard.commit([Put(STATE, b"%d" % n, b"old") for n in range(1500)])
    await before.close()
    journal = place.journal()
    shard, memory = await opened(journal)
    await shard.commit([Put(STATE, b"%d" % n, None if n % 5 else b"new") for n in range(0, 1500, 2)])
    for _ in range(2):
        again = Memory()
        await shard.reread(again)
        assert again == {b"%d" % n: (b"old" if n % 2 else b"new") for n in range(1500) if n % 2 or not n % 5}
        assert not [key for key, _ in again.calls if key.startswith(b"~")]
        await shard.verify()
    assert len(memory.calls) == 1500, "what was restored is told to nobody twice"
    await journal.close()


async def test_after_kill_9_in_the_middle_of_a_commit_the_commits_before_are_there(place: Place) -> None:
    words = [sys.executable, "-m", "tests.journal.victim", *place.words]
    victim = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
    _, told = await victim.communicate()
    assert victim.returncode == -9, told.decode()
    journal = place.journal()
    shard, memory = await opened(journal)
    assert memory == {b"a": b"2"}
    assert shard.opened == Opened(previous=True, released=False)
    await shard.commit([Put(EVENTS, b"a", b"4"), Put(STATE, b"a", b"4")])
    assert await values(journal, EVENTS) == [b"1", b"2", b"4"]
    await journal.close()


async def test_opening_tells_whether_there_was_an_owner_and_whether_it_released(place: Place) -> None:
    journal = place.journal()
    found = []
    for release in (False, True, True, False):
        shard, _ = await opened(journal)
        found.append(shard.opened)
        await shard.close(release=release)
    assert found == [Opened(False, False), Opened(True, False), Opened(True, True), Opened(True, True)]
    other, _ = await opened(journal, 0)
    assert other.opened == Opened(previous=False, released=False)
    await journal.close()


async def test_a_commit_or_a_check_proves_ownership_and_closing_ends_it(place: Place) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    before = shard.owned_until()
    assert before > time.clock_gettime(time.CLOCK_BOOTTIME) + 4
    await shard.verify()
    assert shard.owned_until() >= before
    await shard.commit([Put(STATE, b"a", b"1")])
    assert shard.owned_until() > time.clock_gettime(time.CLOCK_BOOTTIME) + 4
    await shard.close(release=True)
    assert shard.owned_until() < time.clock_gettime(time.CLOCK_BOOTTIME)
    await journal.close()


async def test_a_closed_shard_refuses_work_and_can_be_closed_again(place: Place) -> None:
    journal = place.journal()
    shard, _ = await opened(journal)
    await shard.close(release=False)
    await shard.close(release=True)
    for work in (shard.verify(), shard.resume(), shard.commit([Put(STATE, b"a", b"1")])):
        with pytest.raises(RuntimeError, match="closed"):
            await work
    with pytest.raises(ValueError, match="no shard 3"):
        await opened(journal, 3)
    await journal.close()
    await journal.close()
