"""Protocols between the service and the world, and the journal's errors. Adapters implement them; `app` joins them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from certstream.core.answers import Answer
from certstream.core.errors import Fatal, Transient
from certstream.core.wire import Put, Stored

Apply = Callable[[bytes, bytes | None], None]
"""Called for each record of `state` in order: key, value (None for a tombstone). Later ones replace earlier ones."""


class JournalDoubt(Transient):
    """A commit failed, or nobody knows whether it happened. Call `resume`; only what it reads is true."""


class JournalAway(Transient):
    """The journal cannot be reached at all. Nothing was changed; try again later."""


class Fenced(Fatal):
    """Another process owns this shard now. Stop calling; do not open it again."""


class Stale(Transient):
    """A slot was granted too long ago to be used: it is given back, and another one asked for."""


class Held(Fatal):
    """Another process on this host makes the calls of the same user. None here."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening a shard found. `previous`: an earlier owner was recorded; `released`: it handed over in order."""

    previous: bool
    released: bool


class Shard(Protocol):
    """One shard of a journal, owned by this process until `close` or `Fenced`. Not for concurrent use:
    one task calls `resume`, `commit` and `verify` in turn."""

    @property
    def number(self) -> int:
        """Partition that every record of this shard goes to."""
        ...

    @property
    def opened(self) -> Opened:
        """What opening it found about the owner before."""
        ...

    def owned_until(self) -> float:
        """Boot-time clock, seconds: calls to the API are allowed before it. `math.inf` where a lock cannot be lost."""
        ...

    async def commit(self, puts: Sequence[Put]) -> None:
        """Write all of `puts` or none, in order. Raises JournalDoubt (then `resume`), Fenced."""
        ...

    async def verify(self) -> None:
        """Prove ownership (Kafka: a transaction with the ownership row). Raises as `commit` does."""
        ...

    async def resume(self) -> None:
        """After a doubt: fence again, and call `apply` for what was committed since the last applied record.
        Raises JournalAway (try again later), Fenced."""
        ...

    async def reread(self, apply: Apply) -> None:
        """Call `apply` for each live row of `state` again, up to what this process last committed: for an account that
        comes while the shard is open. Others may commit meanwhile. Raises JournalAway, Fatal."""
        ...

    async def close(self, *, release: bool) -> None:
        """Give the shard up, within a deadline. `release` writes that every slot is back, so that a successor
        need not wait; pass it only when that is true."""
        ...


class Journal(Protocol):
    """Where events, and the rows they follow from, are committed atomically."""

    @property
    def partitions(self) -> int:
        """Number of partitions of every topic (known after `start`)."""
        ...

    async def start(self) -> None:
        """Connect. Raises JournalAway or Fatal with the cause and how to mend it."""
        ...

    async def open(self, shard: int, apply: Apply) -> Shard:
        """Fence an earlier owner, restore: `apply` is called for each live row of `state` in that partition."""
        ...

    def read(
        self, topics: Sequence[str], *, start: Mapping[tuple[str, int], int] | None = None, follow: bool = False
    ) -> AsyncGenerator[Stored, None]:
        """Committed records of `topics` (all partitions) from `start` offsets (default: the beginning), per partition
        in order; ends at the present end, or goes on for ever with `follow`."""
        ...

    async def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        """Next offset of each partition: where a reader starts that wants only what comes from now on."""
        ...

    async def close(self) -> None: ...


class Source(Protocol):
    """One account's `ListClientCertificate`. A call is one request on the wire: no retry, no redirect."""

    async def list(self, *, page: int, size: int, identifier: str | None = None, anywhere: bool = False) -> Answer:
        """One call. `identifier` makes it a look-up; `anywhere` leaves the account's resource group out.
        Raises the errors of `core.errors`; returns or raises only when nothing of the call can reach the wire later."""
        ...

    async def uid(self) -> str | None:
        """The Alibaba UID behind the credentials, None where it is not asked."""
        ...

    async def close(self) -> None: ...


class Claim(Protocol):
    """One account's claim to its user's calls: on one host one process makes them."""

    @property
    def world(self) -> str:
        """Where a UID and an access key mean one and the same user."""
        ...

    @property
    def key(self) -> str | None:
        """The access key or role, hashed; None while it is not known."""
        ...

    waits: str | None
    """why there may be no call for now, whoever holds the locks"""

    async def begin(self) -> None:
        """Before anything else: claim what is known of the user. Raises Held."""
        ...

    def user(self, uid: str) -> None:
        """The UID is known: it is claimed from now on."""
        ...

    def left(self) -> float:
        """Claim everything; seconds for which a process before may still be calling. Raises Held."""
        ...

    @property
    def names(self) -> Set[str]:
        """By which other processes find this user."""
        ...

    def leave(self, kept: Set[str], free_at: float) -> None:
        """No call any more: other processes may have the names but those in `kept`. `free_at`: boot-time seconds from
        which no call of before counts."""
        ...


class Permit(Protocol):
    """A slot of a user that was granted for one call."""

    def guard(self) -> None:
        """Right before the bytes of the call are written. Raises Stale."""
        ...


class Limiter(Protocol):
    """The slots of one user, shared with whoever asks the same limiter for the same user, on any host."""

    away: str | None
    """why nobody may call now, if so"""

    def user(self, uid: str) -> None:
        """Whose slots these are; before it is known none is granted. Raises Fatal for a second user."""
        ...

    async def take(self) -> Permit:
        """Wait for a slot, also while the limiter is away. Whoever takes one gives it back."""
        ...

    def give_back(self, permit: Permit, *, used: bool) -> None:
        """The call is over: answered, aborted for good, or (not `used`) nothing of it was written."""
        ...

    def freeze(self, seconds: float) -> None:
        """A throttle answer: nobody calls for so long."""
        ...

    async def answers(self) -> None:
        """Raises Transient, with the reason, where the limiter does not; takes nothing."""
        ...

    async def close(self) -> None:
        """Give back what can be given back, within a moment."""
        ...
