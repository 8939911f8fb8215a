"""The slots of one Alibaba user in Redis, shared by all who use the same Redis.

In health Redis's clock decides nothing: whoever holds a slot gives it back itself, a second after its answer by its own
monotonic clock. Redis's clock only ends the leases of holders that died.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool, SSLConnection, parse_url
from redis.exceptions import RedisError

from certstream.core.errors import Fatal, Transient
from certstream.core.pacing import SECOND
from certstream.ports import Permit, Stale

log = logging.getLogger("certstream")

LEASE = 12.0
"""Seconds after which the slot of a dead holder is free: its bytes left within FRESH of it and arrived within the
deadline of 5 s; a second follows; a step of Redis's clock below 2 s goes unnoticed. The rest is margin."""
FRESH = 0.25
"""Seconds from the sending of the request for a slot, within which it may be used."""
ANSWER = 1.0
"""Seconds that Redis may take; later it is away."""
POLL = 0.02
"""Seconds between two questions of one who waits, on average."""

UNKNOWN = (
    "whose calls these are is not known, and the limiter counts by user: no calls until STS has said it (or write the "
    "key uid)"
)


class LimiterAway(Transient):
    """Redis did not answer, refused, or answered nonsense: nobody calls until it is back."""


class _Trusting(SSLConnection):
    """TLS by a context of ours: what the library makes of a file of authorities trusts the system's as well."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = context


@dataclass(frozen=True, slots=True)
class Granted:
    """Implements the port `Permit`. `asked`: when the request for it was sent, on `clock`."""

    id: str
    asked: float
    clock: Callable[[], float]

    def guard(self) -> None:
        """Right before the bytes of a call are written. Raises Stale."""
        if self.clock() - self.asked > FRESH:
            raise Stale("the slot was granted more than 250 ms ago")


class RedisSlots:
    """Implements the port `Limiter`. Belongs to one event loop. `clock` in seconds, running through a suspend.
    `context`: who is trusted over TLS; None: the system's authorities."""

    def __init__(
        self,
        url: str,
        qps: int,
        *,
        clock: Callable[[], float],
        password: str | None = None,
        context: ssl.SSLContext | None = None,
        lease: float = LEASE,
    ) -> None:
        if not 1 <= qps <= 10:
            raise ValueError(f"qps is {qps}; the API allows 1 to 10")
        options: dict[str, Any] = {
            "password": password,
            "socket_timeout": ANSWER,
            "socket_connect_timeout": ANSWER,
            "retry": None,
            **parse_url(url),
        }
        if context is not None:
            options |= {"connection_class": _Trusting, "context": context}
        self._redis: Redis = Redis.from_pool(ConnectionPool(**options))
        parts = urlsplit(url)
        self._place = f"{parts.hostname}:{parts.port or 6379}"
        self._script = self._redis.register_script((files(__package__) / "slots.lua").read_text("utf-8"))
        self._uid: str | None = None
        self._known = asyncio.Event()
        self._qps, self._lease, self._clock = qps, int(1000 * lease), clock
        self._frozen_until, self._untold = 0.0, False
        self._over: list[str] = []
        self._line = asyncio.Lock()
        self._later: set[asyncio.Task[None]] = set()
        self.away: str | None = UNKNOWN

    def user(self, uid: str) -> None:
        """Whose slots these are. Raises Fatal for a second user."""
        if self._uid not in (None, uid):
            raise Fatal(f"one budget of two users, {self._uid} and {uid}: with a `limiter` give each its own `budget`")
        if self._uid is None:
            self._uid, self.away = uid, None
            self._known.set()

    async def take(self) -> Granted:
        """Wait for a slot, also while Redis is away. Whoever takes one must give it back."""
        if self._uid is None:
            log.warning("limiter.waits", extra={"reason": UNKNOWN})
            await self._known.wait()
        while True:
            with suppress(LimiterAway):
                if (permit := await self.try_take()) is not None:
                    return permit
            pause = POLL if self.away is None else 10 * POLL
            await asyncio.sleep(pause * (0.5 + secrets.randbelow(1000) / 1000))

    async def try_take(self) -> Granted | None:
        """A slot, if one is free now. Raises LimiterAway."""
        async with self._line:
            permit = Granted(secrets.token_hex(8), self._clock(), self._clock)
            try:
                taken = await self._step(permit.id)
                permit.guard()
            except BaseException as error:  # taken perhaps, used never: cancelled, or the answer was lost or late
                self._over.append(permit.id)
                if isinstance(error, Stale):
                    return None
                raise
            return permit if taken else None

    def give_back(self, permit: Permit, *, used: bool) -> None:
        """The call is over: answered, or its connection was reset. Its slot is free a second from now."""
        assert isinstance(permit, Granted)
        self._do(self._give_back(permit, SECOND if used else 0.0))

    def freeze(self, seconds: float) -> None:
        """A throttle answer: nobody calls for so long. While Redis is away it is kept, and told when it is back."""
        self._frozen_until = max(self._frozen_until, self._clock() + seconds)
        self._untold = True
        self._do(self._tell())

    async def answers(self) -> None:
        """Raises LimiterAway where Redis does not let a script ask for its run_id; takes nothing."""
        try:
            async with asyncio.timeout(ANSWER):
                await self._redis.eval("return redis.call('INFO', 'server')", 0)
        except (RedisError, OSError) as error:
            raise LimiterAway(self._why(error)) from None

    async def idle(self) -> None:
        """Wait until all that was taken here is given back, or its lease has been left to run out."""
        while self._later:
            await asyncio.gather(*self._later, return_exceptions=True)

    async def close(self) -> None:
        """Give back what is over, and drop the connections. What is still held then comes back by its lease."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SECOND + 0.5):
                await self.idle()
                if self._over and self.away is None:
                    await self._tell()
        for task in list(self._later):
            task.cancel()
        await self._redis.aclose()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _give_back(self, permit: Granted, wait: float) -> None:
        await asyncio.sleep(wait)
        self._over.append(permit.id)
        await self._tell()

    async def _tell(self) -> None:
        async with self._line:
            if self._over or self._untold:  # else another request has told it already
                with suppress(LimiterAway):
                    await self._step()

    async def _step(self, take: str = "") -> bool:
        """One request. One is under way at a time, and tells all that is to be told."""
        if self._uid is None:
            raise LimiterAway(UNKNOWN)
        over, self._over = self._over, []
        untold, self._untold = self._untold, False
        freeze = max(0, int(1000 * (self._frozen_until - self._clock())))
        try:
            async with asyncio.timeout(ANSWER):
                answer = await self._script(
                    keys=[f"certstream:slots:{{{self._uid}}}"],
                    args=[self._qps, self._lease, take, freeze, *over],
                )
            if not isinstance(answer, Sequence) or len(answer) != 3 or answer[0] not in (0, 1):
                raise LimiterAway("Redis answered something that is no answer of the script")
        except BaseException as error:
            self._over = (over + self._over)[-100:]
            self._untold |= untold
            if isinstance(error, RedisError | OSError | LimiterAway):
                reason = self._why(error)
                if self.away is None:
                    log.warning("limiter.away", extra={"reason": reason})
                self.away = reason
                raise LimiterAway(reason) from None
            raise
        if self.away is not None:
            log.info("limiter.back")
        self.away = None
        return bool(answer[0] == 1)

    def _why(self, error: Exception) -> str:
        """Only the kind of error: what the library says may quote what it was given, a password, too."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                untrusted = f"its TLS certificate is not trusted ({cause.verify_message.rstrip('.')}"
                whom = "limiter_ca_file says whom to trust): no call until it is back"
                return f"Redis at {self._place} is away: {untrusted}; {whom}"
            cause = cause.__cause__ or cause.__context__
        return f"Redis at {self._place} is away ({type(error).__name__}): no call until it is back"
