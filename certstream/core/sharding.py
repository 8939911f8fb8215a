"""Which shard an account belongs to: Kafka's default partitioner over its budget's name (`contract`, Names)."""

from __future__ import annotations

from collections.abc import Iterable

from certstream.core.errors import Fatal

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """The hash of org.apache.kafka.common.utils.Utils#murmur2, as an unsigned 32-bit number."""
    length = len(data)
    h = (0x9747B28C ^ length) & _MASK
    for at in range(0, length - length % 4, 4):
        k = int.from_bytes(data[at : at + 4], "little")
        k = (k * _M) & _MASK
        k ^= k >> 24
        k = (k * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    tail = data[length - length % 4 :]
    if tail:
        h ^= int.from_bytes(tail, "little")
        h = (h * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    return h ^ (h >> 15)


def shard_of(budget: str, partitions: int) -> int:
    """The partition of every topic that the accounts of `budget` write to."""
    return (murmur2(budget.encode()) & 0x7FFFFFFF) % partitions


def refuse_two_budgets(accounts: Iterable[tuple[str, str, str | None]]) -> None:
    """`accounts`: name, budget, UID as far as it is known. Raises Fatal where one user has several budgets."""
    first: dict[str, tuple[str, str]] = {}
    for name, budget, uid in accounts:
        other, shared = first.setdefault(uid, (name, budget)) if uid is not None else (name, budget)
        if shared != budget:
            raise Fatal(
                f"accounts {other} and {name} are one user (UID {uid}), whose ten calls a second they must share: "
                f"give both the same `budget`"
            )
