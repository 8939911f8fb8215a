"""Bringing the file of an older certstream to this version's schema, after a copy of it was put aside.

The copy is whole before anything is changed, and the changes are one transaction: a crash leaves the old file or the
new one. A copy that holds the same offsets is not made again, so a migration that fails over and over fills no disk.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from certstream.ports import JournalAway

log = logging.getLogger(__name__)

STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {}
"""Version → what makes the version after it, called inside of the transaction. Version 1 is the first one."""


def migrate(db: sqlite3.Connection, found: int, wanted: int) -> None:
    """Go from version `found` to `wanted`, inside of an open transaction."""
    for version in range(found, wanted):
        STEPS[version](db)
    db.execute(f"PRAGMA user_version = {wanted}")


def put_aside(db: sqlite3.Connection, path: Path, version: int) -> Path:
    """A copy of the whole journal beside it, `<file>.version-<n>`, on the disk when this returns.

    No earlier copy is written over. Raises JournalAway where there is no room, sqlite3.Error.
    """
    number = 1
    while (target := path.with_name(f"{path.name}.version-{version}" + (f"-{number}" if number > 1 else ""))).exists():
        if _same(db, target):
            return target
        number += 1
    part = target.with_name(f"{target.name}.part")
    try:
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(part)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, which nobody makes two more of by looking at it
        _sync(part)
        part.rename(target)
        _sync(path.parent)
    except OSError as error:
        raise JournalAway(
            f"the journal {path} is of an older version, and no copy of it can be made before it is changed: {error};"
            " make room in its folder"
        ) from error
    log.info("journal.put_aside", extra={"copy": str(target), "version": version})
    return target


def _same(db: sqlite3.Connection, copy: Path) -> bool:
    """Whether an earlier copy holds this history: every commit moves a row of `ends`."""
    query = 'SELECT topic, "partition", next FROM ends ORDER BY 1, 2'
    try:
        with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as other:
            version = "PRAGMA user_version"
            same = other.execute(version).fetchone() == db.execute(version).fetchone()
            return same and other.execute(query).fetchall() == db.execute(query).fetchall()
    except sqlite3.Error:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
