"""What every limiter keeps, whatever holds its slots."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from certstream.core.pacing import SECOND, Slots
from certstream.limiter.redis import RedisSlots
from certstream.ports import Permit


class Limiting(Protocol):
    """What the contract asks of one."""

    async def now(self) -> Permit | None:
        """A slot, if one is free now."""
        ...

    def give_back(self, permit: Permit, *, used: bool) -> None: ...

    def freeze(self, seconds: float) -> None: ...


class _Free(Permit):
    def guard(self) -> None: ...


class InProcess:
    """The slots of one process on the real clock, as the budget uses them."""

    def __init__(self, qps: int) -> None:
        self._slots = Slots(qps)

    async def now(self) -> Permit | None:
        return _Free() if self._slots.take(time.monotonic()) else None

    def give_back(self, permit: Permit, *, used: bool) -> None:
        self._slots.give_back(time.monotonic() - (0.0 if used else SECOND))

    def freeze(self, seconds: float) -> None:
        self._slots.freeze(time.monotonic() + seconds)


class InRedis:
    """The slots in Redis, of one of two processes that take in turn."""

    def __init__(self, slots: RedisSlots) -> None:
        self._slots = slots

    async def now(self) -> Permit | None:
        return await self._slots.try_take()

    def give_back(self, permit: Permit, *, used: bool) -> None:
        self._slots.give_back(permit, used=used)

    def freeze(self, seconds: float) -> None:
        self._slots.freeze(seconds)


async def all_free(limiter: Limiting) -> list[Permit]:
    """Every slot that is free now."""
    found = []
    while (permit := await limiter.now()) is not None:
        found.append(permit)
    return found


async def ten_and_a_second_later_what_was_given_back(limiter: Limiting) -> None:
    permits = await all_free(limiter)
    assert len(permits) == 10
    begin = time.monotonic()
    for permit in permits[:3]:
        limiter.give_back(permit, used=True)
    while (permit_again := await limiter.now()) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert time.monotonic() - begin > 1.0
    await asyncio.sleep(0.1)
    assert len([permit_again, *await all_free(limiter)]) == 3


async def what_was_not_used_is_free_at_once(limiter: Limiting) -> None:
    permits = await all_free(limiter)
    for permit in permits[:4]:
        limiter.give_back(permit, used=False)
    await asyncio.sleep(0.1)
    assert len(await all_free(limiter)) == 4


async def nobody_calls_while_it_is_frozen(limiter: Limiting) -> None:
    begin = time.monotonic()
    limiter.freeze(0.5)
    await asyncio.sleep(0.1)
    while await limiter.now() is None:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert time.monotonic() - begin >= 0.49  # a millisecond of Redis's clock is its unit
