"""What `run` and `once` add to the service: the limit of a stop, the folder of the journal, the last word."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from certstream.app import build_claim, build_locks
from certstream.cli import running
from certstream.cli.exits import OK, PROBLEMS
from certstream.config import Account, Config, ConfigError, Credentials, Http
from certstream.core.errors import Fatal
from certstream.ports import Held
from certstream.service.clock import Clock
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, Simulator, SimulatorConfig
from tests.cli.test_real import configure, process, until


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


async def swept(config: Config) -> int:
    return await running.serve_until(config, stop=asyncio.Event(), once=True)


async def test_one_sweep_that_ends_suspect_says_so_and_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text(DEFAULT_USER.secret)
    keys = Credentials(access_key_id=DEFAULT_KEY, access_key_secret_file=str(tmp_path / "secret"))
    async with Simulator(SimulatorConfig(certificates=20)) as simulator:
        account = Account(name="prod", endpoint=simulator.url, staleness=0.5, credentials=keys)
        config = Config(journal=f"sqlite://{tmp_path}/journal.db", http=Http(listen=""), accounts=(account,))
        assert await swept(config) == OK
        assert "certstream: account" not in capsys.readouterr().err
        for identifier in simulator.identifiers()[:15]:
            simulator.delete(identifier)
        assert await swept(config) == PROBLEMS
    told = capsys.readouterr().err
    assert "account prod is suspect: 15 of 20 certificates disappeared within 24 hours" in told


async def test_one_sweep_that_is_refused_says_why_and_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text(DEFAULT_USER.secret)
    keys = Credentials(access_key_id=DEFAULT_KEY, access_key_secret_file=str(tmp_path / "secret"))
    async with Simulator(SimulatorConfig(deny=frozenset({"ListClientCertificate"}))) as simulator:
        account = Account(name="prod", endpoint=simulator.url, credentials=keys)
        config = Config(journal=f"sqlite://{tmp_path}/journal.db", http=Http(listen=""), accounts=(account,))
        assert await swept(config) == PROBLEMS
    assert "account prod is denied: Forbidden.RAM" in capsys.readouterr().err


@pytest.mark.parametrize("once", [True, False])
async def test_beside_a_process_that_is_only_just_starting_nothing_is_opened(tmp_path: Path, once: bool) -> None:
    (tmp_path / "secret").write_text(DEFAULT_USER.secret)
    keys = Credentials(access_key_id=DEFAULT_KEY, access_key_secret_file=str(tmp_path / "secret"))
    async with Simulator() as simulator:
        account = Account(name="prod", endpoint=simulator.url, credentials=keys)
        config = Config(
            journal=f"sqlite://{tmp_path}/mine/journal.db",
            lock_dir=f"{tmp_path}/host",
            http=Http(listen=""),
            accounts=(account,),
        )
        await build_claim(account, build_locks(config, Clock())).begin()  # all that the other one has done so far
        with pytest.raises(Held, match="makes the ten calls a second of access key LTAI…0001"):
            await asyncio.wait_for(running.serve_until(config, stop=asyncio.Event(), once=once), 10)
        assert simulator.calls == 0
        assert os.listdir(tmp_path / "mine") == []


def test_a_sweep_that_was_not_complete_is_told_also_where_every_account_looks_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not running._judged({"prod": {"state": "healthy", "reason": None}}, complete=False, once=True)
    assert "a sweep was not complete" in capsys.readouterr().err


def test_the_journals_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    running.make_folder(Config(journal=f"sqlite://{tmp_path}/a/b/journal.db"))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_told_with_the_key_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal, match=r"cannot be made: Not a directory|File exists.*key journal"):
        running.make_folder(Config(journal=f"sqlite://{tmp_path}/file/journal.db"))


def test_a_reload_that_is_asked_for_while_it_starts_ends_nothing(tmp_path: Path) -> None:
    journal, nobody = f"sqlite://{tmp_path}/journal.db", "http://127.0.0.1:9"
    configure(tmp_path, nobody, journal=journal)
    with process("run", cwd=tmp_path) as service:

        def caught(number: int) -> bool:
            told = Path(f"/proc/{service.pid}/status").read_text()
            (mask,) = (line.split()[1] for line in told.splitlines() if line.startswith("SigCgt"))
            return bool(int(mask, 16) >> (number - 1) & 1)

        end = time.monotonic() + 20
        while not caught(signal.SIGTERM):
            assert time.monotonic() < end
        assert caught(signal.SIGHUP)
        service.send_signal(signal.SIGHUP)
        (said,) = tmp_path.glob("run-*.out")
        until("it is read", 30, lambda: "config.read" in said.read_text())
        service.send_signal(signal.SIGTERM)
        assert service.wait(15) == OK


def test_a_reload_misses_the_file_that_was_there_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CERTSTREAM_ACCOUNTS__0__QPS", "5")
    (tmp_path / "certstream.toml").write_text('[[accounts]]\nname = "prod"\n[[accounts]]\nname = "other"\n')
    readers: list[Callable[[], Config]] = []

    async def started(config: Config, *, once: bool, read: Callable[[], Config]) -> int:
        readers.append(read)
        return OK

    monkeypatch.setattr(running, "log_to_stderr", lambda **_: None)
    monkeypatch.setattr(running, "_until_signal", started)
    with pytest.raises(typer.Exit):
        running.run()
    assert [account.name for account in readers[0]().accounts] == ["prod", "other"]
    (tmp_path / "certstream.toml").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        readers[0]()
