"""The slots of one Alibaba user in Redis, shared by all who use the same Redis.

In health Redis's clock decides nothing: whoever holds a slot gives it back itself, a second after its answer by its own
monotonic clock. Redis's clock only ends the leases of holders that died.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from time import monotonic

from redis.asyncio import Redis
from redis.exceptions import RedisError

from certstream.core.errors import Transient
from certstream.core.pacing import SECOND

LEASE = 12.0
"""Seconds after which the slot of a dead holder is free: its bytes left within FRESH of it and arrived within the
deadline of 5 s; a second follows; a step of Redis's clock below 2 s goes unnoticed. The rest is margin."""
FRESH = 0.25
"""Seconds from the sending of the request for a slot, within which it may be used."""
ANSWER = 1.0
"""Seconds that Redis may take; later it is away."""
POLL = 0.02
"""Seconds between two questions of one who waits, on average."""


class LimiterAway(Transient):
    """Redis did not answer, refused, or answered nonsense: nobody calls until it is back."""


class Stale(Transient):
    """The slot was granted too long ago to be used."""


@dataclass(frozen=True, slots=True)
class Permit:
    """A slot that was granted. `asked`: when the request for it was sent, monotonic."""

    id: str
    asked: float

    def guard(self) -> None:
        """Right before the bytes of a call are written. Raises Stale."""
        if monotonic() - self.asked > FRESH:
            raise Stale("the slot was granted more than 250 ms ago")


class RedisSlots:
    """The slots of one UID. Belongs to one event loop."""

    def __init__(self, url: str, uid: str, qps: int, *, lease: float = LEASE) -> None:
        if not 1 <= qps <= 10:
            raise ValueError(f"qps is {qps}; the API allows 1 to 10")
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=ANSWER, socket_connect_timeout=ANSWER, retry=None, max_connections=10
        )
        self._script = self._redis.register_script((files(__package__) / "slots.lua").read_text("utf-8"))
        self._key, self._qps, self._lease = f"certstream:slots:{{{uid}}}", qps, int(1000 * lease)
        self._over: list[str] = []
        self._later: set[asyncio.Task[None]] = set()
        self.away: str | None = None
        """why nobody may call, while Redis is away"""

    async def take(self) -> Permit:
        """Wait for a slot, also while Redis is away. Whoever takes one must give it back."""
        while True:
            with suppress(LimiterAway):
                if (permit := await self.try_take()) is not None:
                    return permit
            pause = POLL if self.away is None else 10 * POLL
            await asyncio.sleep(pause * (0.5 + secrets.randbelow(1000) / 1000))

    async def try_take(self) -> Permit | None:
        """A slot, if one is free now. Raises LimiterAway."""
        permit = Permit(secrets.token_hex(8), monotonic())
        try:
            taken = await self._step(permit.id)
            permit.guard()
        except BaseException as error:  # taken perhaps, used never: cancelled, or the answer was lost or late
            self._over.append(permit.id)
            if isinstance(error, Stale):
                return None
            raise
        return permit if taken else None

    def give_back(self, permit: Permit, *, used: bool = True) -> None:
        """The call is over: answered, or its connection was reset. Its slot is free a second from now."""
        task = asyncio.get_running_loop().create_task(self._give_back(permit, SECOND if used else 0.0))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def freeze(self, seconds: float) -> None:
        """A throttle answer: nobody calls for so long. Raises LimiterAway."""
        await self._step(freeze=seconds)

    async def idle(self) -> None:
        """Wait until all that was taken here is given back, or its lease has been left to run out."""
        while self._later:
            await asyncio.gather(*self._later, return_exceptions=True)

    async def close(self) -> None:
        """Drop the connections. What is still held comes back by its lease."""
        for task in list(self._later):
            task.cancel()
        await self._redis.aclose()

    async def _give_back(self, permit: Permit, wait: float) -> None:
        await asyncio.sleep(wait)
        self._over.append(permit.id)
        with suppress(LimiterAway):
            await self._step()

    async def _step(self, take: str = "", *, freeze: float = 0.0) -> bool:
        over, self._over = self._over, []
        try:
            async with asyncio.timeout(ANSWER):
                answer = await self._script(
                    keys=[self._key], args=[self._qps, self._lease, take, int(1000 * freeze), *over]
                )
            if not isinstance(answer, Sequence) or len(answer) != 3 or answer[0] not in (0, 1):
                raise LimiterAway("Redis answered something that is no answer of the script")
        except BaseException as error:
            self._over = (over + self._over)[-100:]
            if isinstance(error, RedisError | OSError | LimiterAway):
                # Only the kind: what the library says may quote the URL, and the URL a password.
                self.away = f"Redis is away ({type(error).__name__}): no call until it is back"
                raise LimiterAway(self.away) from None
            raise
        self.away = None
        return bool(answer[0] == 1)
