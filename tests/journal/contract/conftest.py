"""The two places that every case of the contract runs in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journal.places import Place, SqlitePlace, kafka_place


@pytest.fixture(params=["sqlite", "kafka"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A new, empty journal's place."""
    if request.param == "sqlite":
        yield SqlitePlace(tmp_path / "certstream.db")
        return
    async with kafka_place(request.getfixturevalue("kafka")) as place:
        yield place
