"""Compares a cluster's topics with the definition and mends what can be mended: `certstream topics`.

Quirks of aiokafka 0.14's admin client, each seen on Kafka 4.3.1: nothing raises, every answer carries codes;
`alter_configs` speaks the old AlterConfigs, which *replaces* all overrides of a topic, so the ones in place are sent
along; asking metadata for named topics lets a broker create them, so all are asked for; the broker's default of
replicas (-1) is taken only with an empty replica assignment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from certstream.core.errors import CertstreamError, Fatal
from certstream.journal import kafka_log
from certstream.journal.topics_mended import mending
from certstream.ports import JournalAway

_NO_ERROR, _UNKNOWN_TOPIC, _EXISTS, _NO_RIGHT_TOPIC, _NO_RIGHT_CLUSTER = 0, 3, 36, 29, 31
_PASSING = {5: "no leader yet", 7: "the broker timed out", 14: "loading", 41: "the controller moved"}
_OVERRIDE = 1
"""`config_source` of a value that was set for this topic (KIP-226)."""
_SETTLE = 10.0
"""Seconds until every broker knows what the controller accepted."""


class NotAllowed(Fatal):
    """This principal may not do it; an administrator may."""


class Wanted(Protocol):
    """One topic of the definition (`definition.Topic`); `name` without the prefix."""

    @property
    def name(self) -> str: ...
    @property
    def partitions(self) -> int: ...
    @property
    def config(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a cluster disagrees with the definition. `topic` is with the prefix; `key` is the configuration's key
    (what="config"). `found` is None where there is nothing. `mendable`: `apply` would mend it. `why` it is left alone,
    or what mending brings about."""

    topic: str
    what: Literal["missing", "partitions", "config", "replicas"]
    key: str | None
    wanted: str
    found: str | None
    mendable: bool
    why: str | None = None

    def __str__(self) -> str:
        match self.what:
            case "missing":
                return f"{self.topic} is missing"
            case "config":
                why = f"; {self.why}" if self.why else ""
                return f"{self.topic}: {self.key} is {self.found or 'unknown to the broker'}, wanted {self.wanted}{why}"
            case "replicas":
                return (
                    f"{self.topic}: replicas are {self.found}, wanted {self.wanted}; "
                    "certstream moves no data: use kafka-reassign-partitions"
                )
            case "partitions":
                return (
                    f"{self.topic} has {self.found} partitions, wanted {self.wanted}; left alone, because the count "
                    "decides which partition an account writes to, and another one would break the order of the "
                    "histories: use another topic_prefix, or, while the topic is still empty, delete it"
                )


class Applied(NamedTuple):
    """What `apply` mended, and what still differs."""

    mended: list[Difference]
    left: list[Difference]


@dataclass(frozen=True, slots=True)
class _Found:
    """A topic of the cluster: effective configuration, and the part of it that was set for this topic."""

    partitions: int
    replicas: frozenset[int]
    config: Mapping[str, str]
    overrides: Mapping[str, str]


async def plan(
    connection: Mapping[str, Any],
    topics: Sequence[Wanted],
    *,
    prefix: str,
    replicas: int | None = None,
    timeout: float = 30,
) -> list[Difference]:
    """Where the cluster differs from `topics`, in their order; changes nothing.

    `connection`: keyword arguments of aiokafka's clients (bootstrap_servers, …). `replicas` None or 0: the
    broker's default, not compared. `timeout` in seconds, over all. Raises JournalAway; Fatal: a right is missing.
    """
    async with _connected(connection, timeout) as admin:
        return _differences(topics, await _inspect(admin, topics, prefix), prefix, replicas)


async def apply(
    connection: Mapping[str, Any],
    topics: Sequence[Wanted],
    *,
    prefix: str,
    replicas: int | None = None,
    timeout: float = 60,
) -> Applied:
    """Create missing topics and mend configuration; never deletes, never changes partitions or replicas.

    Idempotent: run again after any failure. Arguments and errors as with `plan`.
    """
    async with _connected(connection, timeout) as admin:
        found = await _inspect(admin, topics, prefix)
        before = _differences(topics, found, prefix, replicas)
        broken = {difference.topic: difference.what for difference in before if difference.mendable}
        kept = {(difference.topic, difference.key) for difference in before if not difference.mendable}
        named = {prefix + topic.name: topic for topic in topics}
        await _create(admin, {name: named[name] for name, what in broken.items() if what == "missing"}, replicas)
        await _alter(
            admin,
            {
                name: {
                    **found[name].overrides,
                    **{key: value for key, value in named[name].config.items() if (name, key) not in kept},
                }
                for name, what in broken.items()
                if what == "config"
            },
        )
        left = await _settled(admin, topics, prefix, replicas)
    return Applied([difference for difference in before if difference.mendable and difference not in left], left)


async def _settled(
    admin: AIOKafkaAdminClient, topics: Sequence[Wanted], prefix: str, replicas: int | None
) -> list[Difference]:
    loop = asyncio.get_running_loop()
    end = loop.time() + _SETTLE
    while True:
        left = _differences(topics, await _inspect(admin, topics, prefix), prefix, replicas)
        if not any(difference.mendable for difference in left) or loop.time() > end:
            return left
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _connected(connection: Mapping[str, Any], timeout: float) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client with one deadline round everything, and a bounded end."""
    servers = connection.get("bootstrap_servers", "")
    where = servers if isinstance(servers, str) else ",".join(servers)
    admin = AIOKafkaAdminClient(**connection)
    kafka_log.install()
    with kafka_log.collected() as causes:
        try:
            async with asyncio.timeout(timeout):
                await admin.start()
                yield admin
        except CertstreamError:
            raise
        except TimeoutError as error:
            raise JournalAway(f"Kafka at {where} did not finish within {timeout:g} s; run it again") from error
        except (KafkaError, OSError, AttributeError, AssertionError) as error:
            # AttributeError: aiokafka reads `controller.nodeId` while the cluster has no controller.
            words = "; ".join([str(error) or type(error).__name__, *causes])
            raise JournalAway(f"Kafka at {where}: {words}") from error
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(3):
                    await admin.close()


async def _inspect(admin: AIOKafkaAdminClient, topics: Sequence[Wanted], prefix: str) -> dict[str, _Found]:
    names = {prefix + topic.name for topic in topics}
    there = {item["topic"]: item for item in await admin.describe_topics() if item["topic"] in names}
    configs = await _configs(admin, there)
    return {
        name: _Found(
            partitions=len(there[name]["partitions"]),
            replicas=frozenset(len(partition["replicas"]) for partition in there[name]["partitions"]),
            config={entry[0]: entry[1] for entry in entries},
            overrides={entry[0]: entry[1] for entry in entries if entry[3] == _OVERRIDE and entry[1] is not None},
        )
        for name, entries in configs.items()
    }


async def _configs(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Entries (key, value, read-only, source, …) by topic. A topic deleted meanwhile is left out."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    found: dict[str, list[tuple[Any, ...]]] = {}
    problems: list[tuple[str, int, str | None]] = []
    for answer in await admin.describe_configs(resources):
        for code, message, _, name, entries in answer.resources:
            if code == _NO_ERROR:
                found[name] = entries
            elif code != _UNKNOWN_TOPIC:
                problems.append((name, code, message))
    _judge(problems, "read the configuration of", "DescribeConfigs")
    return found


def _differences(
    topics: Sequence[Wanted], found: Mapping[str, _Found], prefix: str, replicas: int | None
) -> list[Difference]:
    differences: list[Difference] = []
    for topic in topics:
        name, there = prefix + topic.name, found.get(prefix + topic.name)
        if there is None:
            differences.append(missing(name, topic, replicas))
            continue
        if there.partitions != topic.partitions:
            counts = str(topic.partitions), str(there.partitions)
            differences.append(Difference(name, "partitions", None, *counts, False))
        if replicas and there.replicas != {replicas}:
            held = "/".join(map(str, sorted(there.replicas)))
            differences.append(Difference(name, "replicas", None, str(replicas), held, False))
        differences += [
            Difference(name, "config", key, wanted, there.config.get(key), *mending(key, topic.config, there.config))
            for key, wanted in topic.config.items()
            if not _same(wanted, there.config.get(key))
        ]
    return differences


def missing(name: str, topic: Wanted, replicas: int | None) -> Difference:
    """That a topic, `name` with the prefix, is not there; `wanted` is all that it will be."""
    copies = f"{replicas} replica{'s' * (replicas != 1)}" if replicas else "the broker's default of replicas"
    settings = (f"{key}={value}" for key, value in topic.config.items())
    return Difference(
        name, "missing", None, ", ".join((f"{topic.partitions} partitions", copies, *settings)), None, True
    )


def _same(wanted: str, found: str | None) -> bool:
    """Lists (`cleanup.policy`) have no order."""
    return found is not None and sorted(wanted.split(",")) == sorted(found.split(","))


async def _create(admin: AIOKafkaAdminClient, topics: Mapping[str, Wanted], replicas: int | None) -> None:
    new = [
        NewTopic(name, topic.partitions, replicas, topic_configs=dict(topic.config))
        if replicas
        else NewTopic(name, topic.partitions, -1, replica_assignments={}, topic_configs=dict(topic.config))
        for name, topic in topics.items()
    ]
    if new:
        answer = await admin.create_topics(new, timeout_ms=15_000)
        _judge([error for error in answer.topic_errors if error[1] != _EXISTS], "create", "Create")


async def _alter(admin: AIOKafkaAdminClient, topics: Mapping[str, dict[str, str]]) -> None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, config) for name, config in topics.items()]
    if resources:
        for answer in await admin.alter_configs(resources):
            errors = [(name, code, message) for code, message, _, name in answer.resources]
            _judge(errors, "change the configuration of", "AlterConfigs")


def _judge(answers: Iterable[tuple[str, int, str | None]], deed: str, right: str) -> None:
    """Raise for what the broker refused: Fatal with the right or the broker's words, JournalAway where it passes."""
    refused = [answer for answer in answers if answer[1] != _NO_ERROR]
    if not refused:
        return
    first, *more = sorted(name for name, _, _ in refused)
    names = f"{first} and {len(more)} more" if more else first
    if any(code in (_NO_RIGHT_TOPIC, _NO_RIGHT_CLUSTER) for _, code, _ in refused):
        raise NotAllowed(
            f"not allowed to {deed} {names}: give this user the rights Describe and {right} on these topics "
            f"(kafka-acls --add --allow-principal User:… --operation {right} --topic …), or let an administrator run it"
        )
    words = "; ".join(f"{name}: {message or _PASSING.get(code) or f'error {code}'}" for name, code, message in refused)
    if all(code in _PASSING for _, code, _ in refused):
        raise JournalAway(f"Kafka could not {deed} topics for the moment ({words}); run it again")
    raise Fatal(f"Kafka refuses to {deed} topics: {words}")
