"""The slice of chaos runs beside all other tests: it mostly waits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SLICE = ["--fresh", "--legs", "kafka", "--rounds", "1", "--minutes", "1.2", "--seed", "1"]
RUNNING = pytest.StashKey[subprocess.Popen[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """It is asked for last."""
    items.sort(key=lambda item: item.get_closest_marker("chaos") is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begun first."""
    if session.config.option.collectonly or not any(item.get_closest_marker("chaos") for item in session.items):
        return
    session.config.stash[RUNNING] = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", *SLICE],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def chaos(pytestconfig: pytest.Config) -> Iterator[subprocess.Popen[str]]:
    """The slice, which runs since the tests began."""
    running = pytestconfig.stash[RUNNING]
    yield running
    running.kill()
    running.wait()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Where the tests ended before it was asked for."""
    running = config.stash.get(RUNNING, None)
    if running is not None and running.poll() is None:
        running.terminate()
        running.wait()
