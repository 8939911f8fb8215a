"""`certstream confirm` against a service's HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from certstream.cli import confirm as command
from certstream.config import Account, Config, Http
from certstream.core.errors import Fatal
from certstream.service.confirming import NothingToConfirm
from certstream.service.metrics import Metrics
from certstream.web import serve
from tests.real.ports import free_port


def config(tmp_path: Path, listen: str) -> Config:
    return Config(
        journal=f"sqlite://{tmp_path}/journal.db",
        http=Http(listen=listen),
        accounts=(Account(name="prod"),),
    )


async def said(tmp_path: Path, outcome: Any, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and stderr, where the service tells these confirmations one after the other."""
    told = list(outcome)

    def status() -> dict[str, Any]:
        return {"accounts": {"prod": {"state": "suspect", "confirmation": told.pop(0) if len(told) > 1 else told[0]}}}

    async with serve(
        "127.0.0.1:0", registry=Metrics().registry, status=status, token=None, confirm=lambda *_: 3
    ) as url:
        given = config(tmp_path, url.removeprefix("http://"))
        code = await command._confirm(given, "prod", "alice", "retired", detach=False)
    return code, capsys.readouterr().err


async def test_it_tells_how_far_it_is_until_it_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LOOK", 0.01)
    steps = [{"state": "under way", "progress": "first look-up: 0 of 3"}, {"state": "done", "progress": "3 of 3 gone"}]
    code, text = await said(tmp_path, steps, capsys)
    assert code == 0
    assert text.splitlines()[1:] == ["first look-up: 0 of 3", "3 of 3 gone"]
    code, text = await said(tmp_path, [{"state": "failed", "progress": "given up: \x1b[2J"}], capsys)
    assert code == 1
    assert "\x1b" not in text
    with pytest.raises(Fatal, match="restarted"):
        await said(tmp_path, [None], capsys)


async def test_what_the_service_refuses_is_said(tmp_path: Path) -> None:
    def refuse(account: str, by: str, why: str) -> int:
        raise NothingToConfirm("the account is not suspect")

    async with serve("127.0.0.1:0", registry=Metrics().registry, status=dict, token=None, confirm=refuse) as url:
        with pytest.raises(Fatal, match="prod: the account is not suspect"):
            await command._confirm(config(tmp_path, url.removeprefix("http://")), "prod", "a", "b", detach=False)


async def test_without_a_service_it_says_that_none_runs(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="is certstream run running"):
        await command._confirm(config(tmp_path, f"127.0.0.1:{free_port()}"), "prod", "a", "b", detach=False)
    with pytest.raises(Fatal, match=r"give http\.listen an address"):
        await command._confirm(config(tmp_path, ""), "prod", "a", "b", detach=False)
