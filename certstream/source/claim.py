"""One account's claim to its user's calls on this host: a lock for each name that the user is known by.

The names are the UID, once it is known, and always the access key or role: two processes of which only one has learnt
the UID must find each other too. Kept hashed; a service of Alibaba's is one world, whatever the region.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Set
from contextlib import suppress
from urllib.parse import urlsplit

from certstream.core.errors import CertstreamError, Transient
from certstream.source.credentials import Credentials, Key
from certstream.source.locks import Locks

ALIBABAS = "aliyuncs.com"
WITHIN = 5.0
"""Seconds that finding the access key may take at the start."""


class NotYet(Transient):
    """No call now: whose it is, or whether somebody else's still count, is not known."""


def world(endpoint: str) -> str:
    """Where a UID and an access key mean one and the same user."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    return ALIBABAS if host == ALIBABAS or host.endswith(f".{ALIBABAS}") else f"{host}:{parts.port or parts.scheme}"


class Claim:
    """Implements the port `Claim`, and `Credentials`: every key that is handed out is a name of the user.

    `locks` None: nothing is locked, but what is known of the user is kept all the same. `budget` paces the calls.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        budget: str,
        endpoint: str,
        role: str | None,
        uid: str | None,
        locks: Locks | None,
    ) -> None:
        self._credentials, self._budget, self._role, self._locks = credentials, budget, role, locks
        self.world = world(endpoint)
        self.key: str | None = None
        self._user: str | None = None
        self.waits: str | None = None
        self._names: dict[str, str] = {}
        if role is not None:
            self.key = self._add("role", role, f"role {role}")
        if uid is not None:
            self.user(uid)

    async def current(self) -> Key:
        """The key to sign with. A temporary one changes by itself: of those the first alone is a name."""
        key = await self._credentials.current()
        if self._role is None and (key.token is None or self.key is None):
            self.key = self._add("key", key.key_id, f"access key {key.key_id[:4]}…{key.key_id[-4:]}")
        return key

    def refresh(self, refused: Key) -> None:
        self._credentials.refresh(refused)

    def user(self, uid: str) -> None:
        """The UID is known."""
        self._user = self._add("uid", uid, f"user {uid}")

    async def begin(self) -> None:
        """Find the key, where it can be found now, and take the locks. Raises Held."""
        with suppress(CertstreamError, TimeoutError):  # told where it is needed
            async with asyncio.timeout(WITHIN):
                await self.current()
        self.left()

    def left(self) -> float:
        """Hold every name; seconds for which a holder before may still be calling. Raises Held."""
        if self._locks is None:
            return 0.0
        return max((self._locks.hold(name, what) for name, what in self._names.items()), default=0.0)

    @property
    def names(self) -> frozenset[str]:
        """By which other processes find this user."""
        return frozenset(self._names)

    def leave(self, kept: Set[str], free_at: float) -> None:
        """No call any more: other processes may have the names but those in `kept`."""
        if self._locks is not None:
            self._locks.leave(self.names - kept, free_at)

    def check(self) -> None:
        """May this account call now? Raises Held, NotYet."""
        if self.waits is not None:
            raise NotYet(self.waits)
        if (left := self.left()) > 0:
            raise NotYet(
                f"who made this user's calls before was killed, and its last ones may still count: {left:.0f} s"
            )
        for name in filter(None, (self.key, self._user)):
            if self._locks is not None and (used := self._locks.use(name, self._budget)) is not None:
                raise NotYet(
                    f"calls of {self._names[name]} were paced by the budget {used[0]}, too, and may still count: "
                    f"{used[1]:.0f} s from the last one (accounts of one user need one `budget`: are the credentials "
                    f"those of this account?)"
                )

    def _add(self, kind: str, value: str, what: str) -> str:
        name = hashlib.sha256("\n".join((self.world, kind, value)).encode()).hexdigest()[:32]
        self._names.setdefault(name, what)
        return name


def both(*guards: Callable[[], None]) -> Callable[[], None]:
    """A guard that asks several."""

    def guard() -> None:
        for one in guards:
            one()

    return guard
