"""The journal in Kafka: one transaction per commit, nothing on this host's disk.

The eight rules are in the design, each provoked on a real broker; the modules `kafka_*` say which they keep:
`kafka_producer` one transaction, `kafka_shard` ownership and recovery, `kafka_reader` reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from certstream.core.errors import CertstreamError, Fatal
from certstream.core.wire import STATE, Stored
from certstream.journal import kafka_log
from certstream.journal.kafka_config import KafkaConfig
from certstream.journal.kafka_connect import only_our_cancellation, reason, started, stopped
from certstream.journal.kafka_reader import connected, read
from certstream.journal.kafka_shard import KafkaShard
from certstream.journal.layout import TOPICS
from certstream.journal.ownership import boot_time
from certstream.ports import Apply, JournalAway

__all__ = ["KafkaConfig", "KafkaJournal"]

log = logging.getLogger(__name__)


_THERE = (0, 5)
"""Error codes of a topic that exists; 5: a partition has no leader at the moment."""


class KafkaJournal:
    """Implements `ports.Journal`. `clock` is the boot-time clock in seconds."""

    def __init__(self, config: KafkaConfig, *, clock: Callable[[], float] = boot_time) -> None:
        self._config = config
        self._clock = clock
        self._partitions: int | None = None
        self._shards: list[KafkaShard] = []

    @property
    def partitions(self) -> int:
        """Partitions of every topic, as the brokers have them. RuntimeError before `start`."""
        if self._partitions is None:
            raise RuntimeError("the journal was not started")
        return self._partitions

    async def start(self) -> None:
        """See that the brokers let us in and that every topic is there. Raises JournalAway or Fatal with the cause."""
        if not __debug__:
            raise Fatal("certstream must not run with python -O: aiokafka guards its transactions with assert (rule 7)")
        kafka_log.install()
        for pause in (0.1, 0.3, 0.6, 1.0):
            counts, policy = await self._look()
            if all(self._config.topic(topic) in counts for topic in TOPICS):
                break
            # Topics that were created a moment ago are not known to every broker at once.
            await asyncio.sleep(pause)
        self._partitions = self._checked(counts)
        self._refuse_forgetful(policy)

    async def open(self, shard: int, apply: Apply) -> KafkaShard:
        """Fence the owner before and restore: `apply` gets each record of `state` in order, older ones of a key too.

        Raises JournalAway (try again later), Fenced, Fatal with the cause.
        """
        if not 0 <= shard < self.partitions:
            raise ValueError(f"there is no shard {shard}: topics have {self.partitions} partitions")
        self._shards = [open_one for open_one in self._shards if not open_one.closed]
        self._shards.append(await KafkaShard.take(self._config, shard, apply, clock=self._clock))
        return self._shards[-1]

    async def read(
        self, topics: Sequence[str], *, start: Mapping[tuple[str, int], int] | None = None, follow: bool = False
    ) -> AsyncGenerator[Stored, None]:
        """Committed records. Raises JournalAway when the brokers do not answer, Fatal when they refuse.

        Where an offset of `start` is gone by now (retention), it goes on with the oldest record there is.
        """
        async with contextlib.aclosing(read(self._config, self._parts(topics), start=start, follow=follow)) as records:
            async for record in records:
                yield record

    async def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        """Per partition the offset that everything before is decided of; a transaction open now ends after it."""
        async with connected(self._config, self._parts(topics)) as reader:
            ends = await reader.ends()
        return {(self._config.logical(part.topic), part.partition): end for part, end in ends.items()}

    async def close(self) -> None:
        """Give every shard up that is still open, without a release."""
        shards, self._shards = self._shards, []
        await asyncio.gather(*(shard.close(release=False) for shard in shards))

    def _parts(self, topics: Sequence[str]) -> list[tuple[str, int]]:
        return [(topic, partition) for topic in topics for partition in range(self.partitions)]

    async def _look(self) -> tuple[dict[str, int], str | None]:
        """Partitions of each topic that the brokers show us, by its name there; and what becomes of old records of
        `state` (`cleanup.policy`), None where we are not told."""
        admin = self._config.clients.admin(**self._config.client_options())
        causes = await started(admin, self._config)
        try:
            # All topics, not ours by name: asking for one by name could make the broker create it.
            with only_our_cancellation():
                found: list[Any] = await admin.describe_topics()
                policy = await self._policy(admin)
        except CertstreamError:
            raise
        except Exception as error:
            text = reason(error, causes)
            raise JournalAway(f"Kafka at {self._config.bootstrap} does not answer: {text}") from error
        finally:
            await stopped(admin, self._config)
        counts = {topic["topic"]: len(topic["partitions"]) for topic in found if topic["error_code"] in _THERE}
        return counts, policy

    async def _policy(self, admin: Any) -> str | None:
        wanted = ConfigResource(ConfigResourceType.TOPIC, self._config.topic(STATE), {"cleanup.policy": ""})
        entries = [
            entry
            for answer in await admin.describe_configs([wanted])
            for code, _, _, _, found in answer.resources
            if code == 0
            for entry in found
        ]
        return next((entry[1] for entry in entries if entry[0] == "cleanup.policy"), None)

    def _refuse_forgetful(self, policy: str | None) -> None:
        """`state` is certstream's memory: brokers that delete of it what is old would make it begin again."""
        name = self._config.topic(STATE)
        if policy is None:
            log.warning("journal.policy_unknown", extra={"topic": name, "right": "DescribeConfigs"})
        elif policy != "compact":
            raise Fatal(
                f"Kafka at {self._config.bootstrap}: the topic {name} has cleanup.policy={policy}, so certstream's "
                "memory would be deleted when it is old; it must be compact: `certstream topics apply` sets it, or "
                "says why it does not"
            )

    def _checked(self, counts: Mapping[str, int]) -> int:
        names = [self._config.topic(topic) for topic in TOPICS]
        where = f"Kafka at {self._config.bootstrap}"
        missing = [name for name in names if name not in counts]
        if missing:
            raise Fatal(
                f"{where} has no topics {', '.join(missing)} (or does not let us see them):"
                " create them with `certstream topics apply`, or let an administrator create them: "
                "`certstream topics plan --format commands` prints Kafka's own commands"
            )
        found = {name: counts[name] for name in names}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in found.items())
            raise Fatal(f"{where} has topics with different numbers of partitions, and all must have the same: {told}")
        return next(iter(found.values()))
