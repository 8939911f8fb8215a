"""What every test of the service starts from: short pauses; and the outcomes of those that run together."""

from __future__ import annotations

import asyncio

import pytest

from tests.service.together import PLAYS, Outcomes, hurry, perform


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """How the selected ones of this module's tests ended, all of them having been run at once."""
    chosen = {item.name for item in request.session.items if item.path == request.path}
    plays = {name: play for name, play in PLAYS[request.module.__name__].items() if name in chosen}
    with pytest.MonkeyPatch.context() as monkeypatch:
        hurry(monkeypatch)
        return asyncio.run(perform(plays, tmp_path_factory.mktemp("together")))
