"""What `run` adds to the service: the limit of a stop, the folder of the journal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from certstream.cli import running
from certstream.config import Config
from certstream.core.errors import Fatal


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
