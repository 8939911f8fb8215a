"""What `run` adds to the service: progress, the limit of a stop, the folder of the journal."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from certstream.cli import running
from certstream.config import Account, Config
from certstream.core.errors import Fatal
from certstream.service.metrics import Metrics


async def told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, steps: list[tuple[float, int]]
) -> list[tuple[object, object]]:
    """Percent and pages of the lines for (end of the last complete sweep, pages of this one) at each look."""
    metrics, looks = Metrics(), iter(steps)
    enough = asyncio.Event()

    async def step(_: float) -> None:
        await real(0)
        found = next(looks, None)
        if found is None:
            enough.set()
            await asyncio.Event().wait()
            return
        metrics.last_complete_sweep.labels("a").set(found[0])
        metrics.sweep_pages.labels("a").set(found[1])
        metrics.sweep_progress.labels("a").set(found[1] / 200)

    real = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", step)
    caplog.set_level(logging.INFO, "certstream")
    task = asyncio.create_task(running.progress(Config(accounts=(Account(name="a"),)), metrics))
    await enough.wait()
    await running.ended(task)
    return [(vars(one)["percent"], vars(one)["pages"]) for one in caplog.records if one.msg == "sweep.progress"]


async def test_a_sweep_longer_than_the_interval_tells_its_progress(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert await told(monkeypatch, caplog, [(0, 50), (0, 100), (0, 150)]) == [(50, 100), (75, 150)]


async def test_short_sweeps_and_pauses_between_them_are_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert await told(monkeypatch, caplog, [(1, 50), (2, 100), (3, 150), (3, 150), (3, 0), (3, 20)]) == []


async def test_a_service_that_hangs_is_left_after_the_grace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Left(BaseException):
        pass

    def leave(code: int) -> None:
        raise Left(code)

    async def hangs() -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(running, "GRACE", 0.05)
    monkeypatch.setattr("os._exit", leave)
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(Left):
        await running._bounded(hangs(), stop)
    assert [one.msg for one in caplog.records] == ["stop.timeout"]


async def test_an_error_of_the_service_comes_out() -> None:
    async def fails() -> bool:
        raise Fatal("no")

    with pytest.raises(Fatal, match="no"):
        await running._bounded(fails(), asyncio.Event())


def test_the_journals_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    running.make_folder(Config(journal=f"sqlite://{tmp_path}/a/b/journal.db"))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_told_with_the_key_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal, match=r"cannot be made: Not a directory|File exists.*key journal"):
        running.make_folder(Config(journal=f"sqlite://{tmp_path}/file/journal.db"))
