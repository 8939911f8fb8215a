"""The two places that every case of the contract runs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journal.places import Place, SqlitePlace, kafka_place


@pytest.fixture(params=["sqlite", "kafka"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A new, empty journal's place."""
    if request.param == "sqlite":
        return SqlitePlace(tmp_path / "certstream.db")
    return await kafka_place(request.getfixturevalue("kafka"))
