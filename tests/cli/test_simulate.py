"""`simulate` as its user meets it: what it prints is pasted and works; denials and clocks are options."""

from __future__ import annotations

import asyncio
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from certstream.cli import app, simulate
from certstream.cli.check import lines
from certstream.cli.exits import OK, USAGE
from certstream.config import load
from certstream.simulator import DEFAULT_USER, Simulator, SimulatorConfig, parse_offset


def pasted(folder: Path, url: str) -> Path:
    """A configuration of the printed block, and the file of its secret."""
    block = simulate.settings(url)
    toml = block.partition("\n# and make")[0]
    assert [one["name"] for one in tomllib.loads(toml)["accounts"]] == ["simulated"]
    file = folder / "certstream.toml"
    file.write_text(f'journal = "sqlite://{folder}/journal.db"\nhttp.listen = ""\n{toml}')
    assert f"echo {DEFAULT_USER.secret} > simulator-secret" in block
    (folder / "simulator-secret").write_text(DEFAULT_USER.secret)
    return file


async def test_the_settings_that_are_printed_work_as_they_are(tmp_path: Path) -> None:
    async with Simulator(SimulatorConfig(certificates=3)) as simulator:
        config = load(pasted(tmp_path, simulator.url), {})
        told = [line async for line in lines(config)]
    assert all(line.ok for line in told), told
    assert "lists 3 certificates" in "\n".join(line.text for line in told)


async def test_the_exports_that_are_printed_work_as_they_are(tmp_path: Path) -> None:
    async with Simulator(SimulatorConfig(certificates=3)) as simulator:
        exports = simulate.settings(simulator.url).partition("# or,")[2].partition("\n")[2]
        shell = await asyncio.create_subprocess_exec(
            "sh",
            "-ec",
            f"{exports}\nexec {sys.executable} -m certstream check",
            env={
                "HOME": str(tmp_path),
                "CERTSTREAM_HTTP__LISTEN": "",
                "CERTSTREAM_LOCK_DIR": "host",
                "PYTHONPATH": ":".join(sys.path),
            },
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await shell.communicate()
    assert shell.returncode == OK, out.decode()
    assert "lists 3 certificates" in out.decode()


def test_another_address_than_loopback_comes_with_insecure(tmp_path: Path) -> None:
    assert load(pasted(tmp_path, "http://sim.example:8099"), {}).accounts[0].insecure
    account = load(pasted(tmp_path, "http://0.0.0.0:8099"), {}).accounts[0]
    assert (account.endpoint, account.insecure) == ("http://127.0.0.1:8099", False)


def test_denials_and_the_clock_are_options(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[SimulatorConfig] = []

    async def serve(config: SimulatorConfig, truth: Path | None, answers: Path | None) -> None:
        seen.append(config)

    monkeypatch.setattr(simulate, "_serve", serve)
    words = ["--deny", "ListClientCertificate", "--deny", "GetCallerIdentity", "--clock", "-20m"]
    assert CliRunner().invoke(app, ["simulate", *words]).exit_code == 0
    assert CliRunner().invoke(app, ["simulate"]).exit_code == 0
    assert [(one.deny, one.clock_offset) for one in seen] == [
        ({"ListClientCertificate", "GetCallerIdentity"}, -1200.0),
        (frozenset(), 0.0),
    ]


@pytest.mark.parametrize("words", [["--deny", "Everything"], ["--clock", "yesterday"], ["--clock", "--5m"]])
def test_a_denial_or_a_clock_that_cannot_be_is_refused(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["simulate", *words])
    assert result.exit_code == USAGE


@pytest.mark.parametrize(("text", "offset"), [("-20m", -1200), ("+90s", 90), ("1h", 3600), ("0s", 0)])
def test_an_offset_is_a_sign_and_a_duration(text: str, offset: float) -> None:
    assert parse_offset(text) == offset
