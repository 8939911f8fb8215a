"""Which settings of a topic `topics apply` may set: none that lets the broker remove what is kept for longer. Pure."""

from __future__ import annotations

from collections.abc import Mapping

_RETENTION = ("retention.ms", "retention.bytes")
_POLICY = "cleanup.policy"


def mending(key: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> tuple[bool, str | None]:
    """May the setting be mended, and a word on why not or on what that brings about.

    `wanted`: the definition's configuration of the topic, which has `key`; `found`: the cluster's.
    """
    if key in _RETENTION and _shorter(wanted[key], found.get(key)):
        return False, "left alone, because that deletes what is older"
    if key == _POLICY and key in found:
        return _policy(wanted, found)
    return True, None


def _policy(wanted: Mapping[str, str], found: Mapping[str, str]) -> tuple[bool, str | None]:
    before = found[_POLICY].split(",")
    if wanted[_POLICY] == "compact":
        if "compact" in before:
            return True, None  # it only deletes no more by age
        if all(_for_ever(found.get(name)) for name in _RETENTION):
            return False, (
                "left alone, because all records are kept for ever now, and of each key only the newest would be; "
                f"to have that: {_command('compact')}"
            )
        # Without it the broker deletes by age or size also what is the newest of its key, and that is lost state.
        return True, (
            "until now the broker deletes by age or size, also the newest record of a key; compact, it keeps that for "
            "ever, and removes the older ones of the same key"
        )
    if "delete" in before or all(_for_ever(_set(name, wanted, found)) for name in _RETENTION):
        return True, "the broker has removed older records of the same key, which do not come back"
    return False, (
        "left alone, because nothing is deleted by age now, and what is older than retention.ms would be; while it is "
        f"compact the broker removes older records of the same key: {_command('delete')}"
    )


def _command(policy: str) -> str:
    return f"kafka-configs.sh --alter --add-config {_POLICY}={policy}"


def _set(name: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """What the setting will be: what is longer stays."""
    there = found.get(name)
    return there if _shorter(wanted[name], there) else wanted[name]


def _shorter(wanted: str, found: str | None) -> bool:
    return found is not None and not _for_ever(wanted) and (_for_ever(found) or int(found) > int(wanted))


def _for_ever(value: str | None) -> bool:
    """Kafka's -1; not what is unknown."""
    return value is not None and int(value) < 0
