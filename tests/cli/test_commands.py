"""The command line as a user meets it: help, exit codes, refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from certstream.cli import app
from certstream.cli.exits import FATAL, FENCED, MEANINGS, USAGE, code_of
from certstream.config import ConfigError
from certstream.core.errors import Fatal, Transient
from certstream.ports import Fenced

COMMANDS = ("demo", "simulate", "run", "once", "check", "tail", "inventory", "topics", "schemas", "journal")
runner = CliRunner()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "120")


def test_help_names_every_command_and_every_exit_code() -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.output
    for code in MEANINGS:
        assert f"{code}  " in result.output


@pytest.mark.parametrize(
    "command",
    [(one,) for one in COMMANDS]
    + [("topics", "plan"), ("topics", "apply"), ("schemas", "validate"), ("journal", "copy")],
)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_help_is_there_at_once() -> None:
    # Kafka's and cryptography's libraries take most of a second to import, and help needs neither.
    code = "import sys, certstream.cli; print([m for m in ('aiokafka', 'certstream.app') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_version_is_told() -> None:
    result = runner.invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("certstream 0.")


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["tail", "--from", "yesterday"],
        ["inventory", "--expiring", "soon"],
        ["simulate", "--faults", "gremlins=1"],
        ["simulate", "--speed", "0"],
        ["demo", "--certificates", "1"],
        ["demo", "--kafka", "127.0.0.1:99999"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(words: list[str]) -> None:
    assert runner.invoke(app, words).exit_code == USAGE


@pytest.mark.parametrize("command", ["run", "once", "tail", "inventory", "check"])
def test_a_wrong_configuration_is_exit_code_2_with_file_and_key(command: str, tmp_path: Path) -> None:
    (tmp_path / "certstream.toml").write_text("[[accounts]]\nqps = 11")
    result = runner.invoke(app, [command])
    assert result.exit_code == USAGE
    assert "certstream.toml: accounts[0].qps: 11 is not allowed; 1 to 10" in result.output


def test_a_configuration_that_is_not_there_is_exit_code_2(tmp_path: Path) -> None:
    result = runner.invoke(app, ["tail", "--config", "gone.toml"])
    assert result.exit_code == USAGE
    assert "gone.toml: cannot be read" in result.output


def test_the_configuration_can_be_named_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTSTREAM_CONFIG", "elsewhere.toml")
    assert "elsewhere.toml: cannot be read" in runner.invoke(app, ["inventory"]).output


def test_topics_of_an_embedded_journal_are_refused_with_what_to_do() -> None:
    result = runner.invoke(app, ["topics", "plan"])
    assert result.exit_code == FATAL
    assert "set journal =" in result.output


def test_a_hostile_message_is_escaped_on_its_way_to_the_terminal(tmp_path: Path) -> None:
    result = runner.invoke(app, ["tail", "--config", "a\x1b[31mb"])
    assert "\x1b[31mb: cannot" not in result.output
    assert "a\\x1b[31mb: cannot be read" in result.output


def test_python_without_asserts_is_refused(tmp_path: Path) -> None:
    run = [sys.executable, "-O", "-m", "certstream", "once"]
    result = subprocess.run(run, capture_output=True, text=True, check=False)
    assert result.returncode == FATAL
    assert "-O" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), USAGE),
        (Fatal("x"), FATAL),
        (Transient("x"), FATAL),
        (Fenced("x"), FENCED),
        (ExceptionGroup("g", [Transient("x"), ExceptionGroup("h", [Fenced("y")])]), FENCED),
    ],
)
def test_each_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert code_of(error) == code


def test_an_inventory_of_an_account_that_nobody_knows_is_exit_code_2_with_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERTSTREAM_ACCOUNTS__0__NAME", "prod")
    result = runner.invoke(app, ["inventory", "--account", "nope"])
    assert result.exit_code == USAGE
    assert "no account 'nope' is known; there are: prod" in result.output
    assert runner.invoke(app, ["inventory", "--account", "prod"]).exit_code == 0


def test_an_inventory_without_a_journal_says_so() -> None:
    result = runner.invoke(app, ["inventory"])
    assert result.exit_code == 0
    assert "there is no journal at" in result.output
