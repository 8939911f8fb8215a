"""What the tests need and cannot be had at once: tried again, then told with the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.programs import EXAMPLES
from tests.interop.written import readers
from tests.real import fetching
from tests.real.fetching import Missing, debian, fetched


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSE", 0.0)


def fails(times: int, folder: Path) -> list[str]:
    """A command that fails so many times, then works."""
    return ["sh", "-c", f'echo x >> "{folder}/tries"; [ "$(wc -l < "{folder}/tries")" -gt {times} ]']


def test_what_fails_once_is_tried_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetched("fetching the jars", fails(1, tmp_path))
    assert (tmp_path / "tries").read_text() == "x\n" * 2
    assert "fetching the jars …\nit failed, its words are above; once more in" in capfd.readouterr().err


def test_what_fails_always_is_told_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"fetching the jars: failed 3 times.*the command was: sh -c "):
        fetched("fetching the jars", fails(9, tmp_path))


def test_a_command_that_is_missing_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="kcat is one of the readers and is missing: as root, apt-get install kcat"):
        debian("kcat", "kcat", why="is one of the readers")


def test_every_example_has_a_command_in_their_readme() -> None:
    """`make test-interop ARGS=--as-written` runs these."""
    files = {path for path in EXAMPLES.glob("*/*") if path.suffix in (".py", ".java", ".go", ".sh")}
    assert {reader.folder for reader in readers("b:1", "certstream.events")} == {path.parent for path in files}
    assert len(readers("b:1", "certstream.events")) == len(files)
