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


def refuse_two_budgets(accounts: Iterable[tuple[str, str, int, str | None, str | None]]) -> None:
    """`accounts`: name, budget, qps, UID and access key as far as they are known. Raises Fatal where one user has
    several budgets, or several `qps`."""
    first: dict[tuple[str, str], tuple[str, str, int]] = {}
    for name, budget, qps, uid, key in accounts:
        for kind, value in (("budget", budget), ("uid", uid), ("key", key)):
            if value is None:
                continue
            other, shared, pace = first.setdefault((kind, value), (name, budget, qps))
            who = {"budget": f"budget {value}", "uid": f"UID {value}", "key": "the same access key or role"}[kind]
            if shared != budget:
                raise Fatal(
                    f"accounts {other} and {name} are one user ({who}), whose ten calls a second they must share: "
                    f"give both the same `budget`"
                )
            if pace != qps:
                raise Fatal(
                    f"accounts {other} and {name} are one user ({who}), but `qps` is {pace} for the one and {qps} for "
                    f"the other: it is the user's, give both the same"
                )
