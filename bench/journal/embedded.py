"""Commits of the embedded journal, beside bare sqlite3: the same records, the same pragmas, and nothing else."""

from __future__ import annotations

import gc
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from bench.journal import place
from bench.journal.records import Commit, commits
from bench.result import Report, Value, progress
from certstream.journal.layout import COMPACTED
from certstream.journal.sqlite import SqliteJournal

PEER = "bare sqlite3"


class Bare:
    """Two tables, one for what is kept and one for the newest of a key; WAL and synchronous=FULL as the product has.
    No offsets, no retention, no lock of its own, no thread."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE log (topic TEXT, timestamp INTEGER, key BLOB, value BLOB, headers BLOB)")
        self._db.execute(
            "CREATE TABLE latest (topic TEXT, key BLOB, timestamp INTEGER, value BLOB, headers BLOB,"
            " PRIMARY KEY (topic, key))"
        )

    def commit(self, puts: Commit) -> None:
        """One transaction."""
        at = time.time_ns() // 1_000_000
        headers = [msgspec.msgpack.encode(put.headers) if put.headers else None for put in puts]
        log = [
            (put.topic, at, put.key, put.value, head)
            for put, head in zip(puts, headers, strict=True)
            if put.topic not in COMPACTED
        ]
        latest = [
            (put.topic, put.key, at, put.value, head)
            for put, head in zip(puts, headers, strict=True)
            if put.topic in COMPACTED
        ]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?)", log)
        self._db.executemany("INSERT OR REPLACE INTO latest VALUES (?, ?, ?, ?, ?)", latest)
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


async def run(*, small: int, large: int, rounds: int) -> Report:
    """`small` commits of one event and `large` commits of a thousand a round; each round has new files."""
    values: list[Value] = []
    for each, count in ((1, small), (1_000, large)):
        progress(f"embedded: making {count:,} commits of {each:,}")
        wanted = list(commits(each * count, each=each))
        ours: list[float] = []
        theirs: list[float] = []
        for turn in range(rounds + 1):  # the first warms up
            for name in sorted(("bare", "certstream"), reverse=bool(turn % 2)):
                with tempfile.TemporaryDirectory(prefix="certstream-bench-") as folder:
                    gc.collect()
                    path = Path(folder) / "journal.db"
                    seconds = await (_ours(path, wanted) if name == "certstream" else _bare(path, wanted))
                progress(f"embedded, {each:,} a commit: round {turn} of {rounds}, {name}: {count / seconds:,.0f}/s")
                if turn:
                    (ours if name == "certstream" else theirs).append(count / seconds)
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        values += [
            Value(f"{each:,} a commit: commits a second", median(ours), "/s", median(theirs), PEER, None, ours, 1),
            Value("  ratio to that", median(ratios), runs=ratios),
        ]
        if each > 1:
            values.append(Value("  one such commit", 1000 / median(ours), "ms", 1000 / median(theirs), PEER, digits=1))
            values.append(Value("  events a second", each * median(ours), "/s", digits=0))
    how = f"SqliteJournal on {tempfile.gettempdir()}, WAL, synchronous=FULL; median of {rounds} rounds in turn"
    return Report("embedded", how, values)


async def _ours(path: Path, wanted: Sequence[Commit]) -> float:
    journal = SqliteJournal(path, partitions=1)
    await journal.start()
    shard = await journal.open(0, place.ignore)
    try:
        began = time.perf_counter()
        for puts in wanted:
            await shard.commit(puts)
        return time.perf_counter() - began
    finally:
        await shard.close(release=False)
        await journal.close()


async def _bare(path: Path, wanted: Sequence[Commit]) -> float:
    bare = Bare(path)
    try:
        began = time.perf_counter()
        for puts in wanted:
            bare.commit(puts)
        return time.perf_counter() - began
    finally:
        bare.close()
