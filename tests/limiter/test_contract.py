"""The contract of slots, in one process and in a real Redis; and what only Redis can suffer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from redis.asyncio import Redis

from certstream.core.errors import Fatal
from certstream.limiter.redis import FRESH, LimiterAway, RedisSlots
from certstream.ports import Stale
from tests.limiter import contract
from tests.limiter.contract import InProcess, InRedis, Limiting, all_free
from tests.limiter.four import UID
from tests.real.redis import RedisServer, known

Clause = Callable[[Limiting], Awaitable[None]]
KEY = f"certstream:slots:{{{UID}}}"


async def step_clock(url: str, seconds: float) -> None:
    """As a step of Redis's clock: what it has noted is shifted the other way, which to the script is the same. The
    clock itself is stepped in `processes/`, which needs a C compiler."""
    script = """
    for _, f in ipairs(redis.call('HKEYS', KEYS[1])) do
      if f == 'last' or string.sub(f, 1, 2) == 's:' then redis.call('HINCRBY', KEYS[1], f, ARGV[1]) end
    end
    """
    async with Redis.from_url(url) as client:
        await client.eval(script, 1, KEY, str(int(-1000 * seconds)))


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
async def slots(redis: RedisServer) -> AsyncIterator[RedisSlots]:
    """All ten are free."""
    async with Redis.from_url(redis.url) as client:
        await client.flushall()
    await known(redis.url, UID)
    slots = RedisSlots(redis.url, 10, clock=time.monotonic)
    slots.user(UID)
    yield slots
    await slots.close()


CLAUSES = [
    contract.ten_and_a_second_later_what_was_given_back,
    contract.what_was_not_used_is_free_at_once,
    contract.nobody_calls_while_it_is_frozen,
]


@pytest.mark.parametrize("clause", CLAUSES)
async def test_in_one_process(clause: Clause) -> None:
    await clause(InProcess(10))


@pytest.mark.parametrize("clause", CLAUSES)
async def test_in_redis(clause: Clause, slots: RedisSlots) -> None:
    await clause(InRedis(slots))


async def test_in_redis_others_share_them(slots: RedisSlots, redis: RedisServer) -> None:
    other = RedisSlots(redis.url, 10, clock=time.monotonic)
    other.user(UID)
    assert len(await all_free(InRedis(slots))) == 10
    assert await other.try_take() is None
    slots.freeze(5)
    await asyncio.sleep(0.1)
    await slots.close()
    async with Redis.from_url(redis.url) as client:
        assert int(await client.hget(KEY, "frozen") or 0) > time.time() * 1000 + 4000
    await other.close()


@pytest.mark.parametrize("seconds", [-3600, -2.5, 2.5, 3600])
async def test_a_step_of_its_clock_frees_nothing(slots: RedisSlots, redis: RedisServer, seconds: float) -> None:
    assert len(await all_free(InRedis(slots))) == 10
    await step_clock(redis.url, seconds)
    assert await slots.try_take() is None


async def test_what_it_has_forgotten_was_taken(slots: RedisSlots, redis: RedisServer) -> None:
    async with Redis.from_url(redis.url) as client:
        await client.flushall()
        assert await slots.try_take() is None
    await known(redis.url, UID)
    permit = await slots.try_take()
    assert permit is not None
    slots.give_back(permit, used=False)
    async with Redis.from_url(redis.url) as client:
        await client.hset(KEY, "run", "0" * 40)  # a restart from a snapshot, a fail-over
    assert await slots.try_take() is None


async def test_what_nobody_knows_is_all_ten_whoever_asks_first(redis: RedisServer, slots: RedisSlots) -> None:
    modest = RedisSlots(redis.url, 5, clock=time.monotonic)
    modest.user(UID)
    async with Redis.from_url(redis.url) as client:
        await client.flushall()
    assert await modest.try_take() is None
    assert await slots.try_take() is None
    await modest.close()


async def test_rare_questions_end_leases_and_prolong_no_freeze(redis: RedisServer, slots: RedisSlots) -> None:
    dead = RedisSlots(redis.url, 10, clock=time.monotonic, lease=3)
    dead.user(UID)
    assert len(await all_free(InRedis(dead))) == 10
    slots.freeze(2.5)
    for free in (False, True):  # every 2.6 s a probe: a lease of 3 s ends with the second one
        await asyncio.sleep(2.6)
        permit = await dead.try_take()
        assert (permit is not None) is free
    await dead.close()


async def test_the_lease_of_a_dead_holder_ends(slots: RedisSlots, redis: RedisServer) -> None:
    dead = RedisSlots(redis.url, 10, clock=time.monotonic, lease=0.4)
    dead.user(UID)
    assert len(await all_free(InRedis(dead))) == 10
    assert await dead.try_take() is None
    await asyncio.sleep(0.45)
    assert await dead.try_take() is not None
    await dead.close()


async def test_an_old_slot_is_not_used(redis: RedisServer, slots: RedisSlots) -> None:
    now = [0.0]
    old = RedisSlots(redis.url, 10, clock=lambda: now[0])
    old.user(UID)
    permit = await old.take()
    permit.guard()
    now[0] += FRESH + 0.001
    with pytest.raises(Stale):
        permit.guard()
    await old.close()


async def test_who_is_not_known_gets_none_and_one_budget_has_one_user(redis: RedisServer) -> None:
    slots = RedisSlots(redis.url, 10, clock=time.monotonic)
    assert "not known" in str(slots.away)
    with pytest.raises(LimiterAway):
        await slots.try_take()
    slots.user("1")
    slots.user("1")
    with pytest.raises(Fatal, match="two users, 1 and 2"):
        slots.user("2")
    await slots.close()


async def test_a_password_is_not_in_what_it_says() -> None:
    slots = RedisSlots("redis://127.0.0.1:1/0", 10, clock=time.monotonic, password="hush")
    slots.user("1")
    with pytest.raises(LimiterAway) as error:
        await slots.try_take()
    assert "127.0.0.1:1 is away" in str(error.value)
    assert "hush" not in str(error.value)
    await slots.close()
