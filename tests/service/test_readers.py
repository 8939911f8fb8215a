"""Whoever follows the events beside the service may go away at any moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import asyncio, random, sys
from certstream.core.wire import Put
from certstream.journal.sqlite import SqliteJournal

async def main():
    journal = SqliteJournal(sys.argv[1])
    await journal.start()
    shard = await journal.open(1, lambda key, value: None)
    for _ in range(20):
        await shard.commit([Put("events", b"a", b"x" * 1000)] * 20)

    async def follow():
        async for _ in SqliteJournal(sys.argv[1]).read(["events", "accounts"], follow=True):
            pass

    for _ in range(100):
        readers = [asyncio.create_task(follow()) for _ in range(4)]
        await asyncio.sleep(random.random() * 0.02)
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
    await journal.close()

asyncio.run(main())
"""


def test_a_reader_that_is_cancelled_does_not_take_the_process_with_it(tmp_path: Path) -> None:
    # In a process of its own: what is looked for is a segmentation fault.
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path / "journal.db")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-500:]}"
