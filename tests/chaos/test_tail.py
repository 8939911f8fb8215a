"""The reader beside the service notes when an event is there, not what the event says of its time."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from tests.chaos.tail import Tail, of_sqlite
from tests.verify.history import Record


def test_an_event_is_dated_when_it_is_there_to_be_read(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    records = [Record("events", 3, offset, b"", b"", timestamp=1) for offset in range(2)]
    with Tail(partial(of_sqlite, file, "certstream.")) as tail:
        time.sleep(0.2)  # the file is not there yet
        with closing(sqlite3.connect(file)) as journal:
            journal.execute('CREATE TABLE log (topic, "partition", offset)')
            before = time.time()
            with journal:
                journal.execute("INSERT INTO log VALUES ('certstream.events', 3, 0), ('certstream.pem', 3, 1)")
            deadline = time.monotonic() + 10
            while tail.dated(records)[0].seen is None and time.monotonic() < deadline:
                time.sleep(0.01)
        after = time.time()
    first, second = tail.dated(records)
    assert first.seen is not None
    assert before <= first.seen <= after
    assert second.seen is None, "another topic's record"
