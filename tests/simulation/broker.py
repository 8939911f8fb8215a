"""A Kafka cluster, as far as transactions go: logs, epochs, markers, the last stable offset (`kafka-facts`).

Requests are applied here, at one instant; what happens to them on their way is decided in `kafka`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from aiokafka.errors import InvalidTxnState, ProducerFenced

from tests.simulation.loop import EPOCH, Loop
from tests.verify.history import Record

Part = tuple[str, int]
Headers = tuple[tuple[str, bytes], ...]
Message = tuple[bytes, bytes | None, Headers]

OPEN, COMMITTED, GONE = 0, 1, 2
"""Of an entry: undecided; visible; aborted, compacted away or a marker."""


@dataclass(slots=True)
class Entry:
    """One offset of a log."""

    message: Message
    timestamp: int
    state: int


@dataclass(slots=True)
class Log:
    """One partition. `open`: first offset of each undecided transaction; `frozen`: what a leader that slept serves."""

    entries: list[Entry] = field(default_factory=list)
    open: dict[str, int] = field(default_factory=dict)
    frozen: int | None = None

    def stable(self) -> int:
        """The last stable offset."""
        return min(self.open.values(), default=len(self.entries))

    def served(self) -> int:
        """The last stable offset as its leader tells it."""
        return self.stable() if self.frozen is None else min(self.frozen, self.stable())


@dataclass(slots=True)
class Transaction:
    """What the coordinator knows of one transactional id. `parts`: partition → offsets of the open transaction."""

    epoch: int = -1
    parts: dict[Part, list[int]] = field(default_factory=dict)
    number: int = 0
    ending: bool | None = None
    """committed (True) or aborted, markers not written yet"""


class Broker:
    """All of a cluster. `timeout`: seconds after which it aborts a transaction that nobody ends."""

    def __init__(self, loop: Loop, *, partitions: int, dice: Random, timeout: float = 15.0) -> None:
        self.partitions = partitions
        self.commits = 0
        self.written: list[Part] = []
        self._loop, self._dice, self._timeout = loop, dice, timeout
        self._logs: dict[Part, Log] = {}
        self._transactions: dict[str, Transaction] = {}

    def log(self, part: Part) -> Log:
        """A partition's log."""
        found = self._logs.get(part)
        if found is None:
            found = self._logs[part] = Log()
        return found

    def logs(self) -> Iterator[tuple[Part, Log]]:
        """Every partition that was written to."""
        return iter(sorted(self._logs.items()))

    def fence(self, name: str) -> int:
        """InitProducerId: abort what is open, a new epoch."""
        transaction = self._transactions.setdefault(name, Transaction())
        self._finish(name, transaction)
        if transaction.parts:
            transaction.ending = False
            self._finish(name, transaction)
        transaction.epoch += 1
        return transaction.epoch

    def append(self, name: str, epoch: int, part: Part, messages: list[Message]) -> int:
        """Produce, the partition being added to the transaction: the first offset."""
        transaction = self._checked(name, epoch)
        self._finish(name, transaction)
        if not transaction.parts:
            transaction.number += 1
            self._loop.outside(self._timeout, self._expire, name, transaction.number)
        log = self.log(part)
        first = len(log.entries)
        log.open.setdefault(name, first)
        stamp = int((EPOCH + self._loop.now) * 1000)
        log.entries += [Entry(message, stamp, OPEN) for message in messages]
        transaction.parts.setdefault(part, []).extend(range(first, first + len(messages)))
        return first

    def end(self, name: str, epoch: int, *, commit: bool) -> None:
        """EndTxn: decided when this returns; the markers are written a little later."""
        transaction = self._checked(name, epoch)
        if transaction.ending is not None:
            if transaction.ending is commit:
                return
            raise InvalidTxnState
        if not transaction.parts:
            return
        transaction.ending = commit
        self.commits += commit
        self._loop.outside(self._dice.random() * 0.03, self._finish, name, transaction, transaction.number)

    def inject(self, part: Part, message: Message) -> Entry:
        """A record that somebody else writes, without a transaction."""
        entry = Entry(message, int((EPOCH + self._loop.now) * 1000), COMMITTED)
        self.log(part).entries.append(entry)
        return entry

    def compact(self, topic: str) -> None:
        """Leave the newest record of each key, as the cleaner does below the last stable offset."""
        for (name, _), log in self._logs.items():
            if name != topic:
                continue
            seen: set[bytes] = set()
            for entry in reversed(log.entries[: log.stable()]):
                if entry.state != COMMITTED:
                    continue
                if entry.message[0] in seen:
                    entry.state = GONE
                seen.add(entry.message[0])

    def records(self, prefix: str) -> list[Record]:
        """What a reader with `read_committed` gets, but `state`."""
        return [
            Record(topic.removeprefix(prefix), number, offset, key, value, headers, entry.timestamp)
            for (topic, number), log in self.logs()
            if topic != f"{prefix}state"
            for offset, entry in enumerate(log.entries[: log.stable()])
            if entry.state == COMMITTED
            for key, value, headers in [entry.message]
        ]

    def _checked(self, name: str, epoch: int) -> Transaction:
        transaction = self._transactions[name]
        if transaction.epoch != epoch:
            raise ProducerFenced
        return transaction

    def _expire(self, name: str, number: int) -> None:
        transaction = self._transactions[name]
        if transaction.number == number and transaction.parts and transaction.ending is None:
            transaction.ending = False
            self._finish(name, transaction)
            transaction.epoch += 1

    def _finish(self, name: str, transaction: Transaction, number: int | None = None) -> None:
        """Write the markers of a transaction that was decided."""
        if transaction.ending is None or number not in (None, transaction.number):
            return
        state = COMMITTED if transaction.ending else GONE
        stamp = int((EPOCH + self._loop.now) * 1000)
        for part, offsets in transaction.parts.items():
            log = self.log(part)
            for offset in offsets:
                log.entries[offset].state = state
            log.open.pop(name, None)
            log.entries.append(Entry((b"", None, ()), stamp, GONE))
        transaction.parts, transaction.ending = {}, None
