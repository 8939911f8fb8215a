"""A broken file of `schemas/`: every check names it, its line and what is wrong; none ends in a traceback."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.schemas.reading import SCHEMAS

BROKEN = [
    (
        "a comma is missing",
        '"type": "object",',
        '"type": "object"',
        r"accounts\.json line 7, column 3: not JSON: .*','",
    ),
    (
        "a key twice",
        '"type": "object",',
        '"type": "object", "type": "array",',
        r"line 6: the key 'type' is given twice",
    ),
    ("bounds cross", '"minimum": 0,', '"minimum": 10, "maximum": 5,', r"line \d+, .* minimum 10 is above maximum 5"),
    ("no type", '"type": "object",', '"type": "objekt",', r"accounts\.json line 6, type: "),
    ("no such definition", '"#/$defs/account"', '"#/$defs/akkount"', r"line \d+, properties account \$ref: .*akkount"),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the checks read."""
    for name in ("certstream", "schemas", "tests/schemas"):
        ignored = shutil.ignore_patterns("__pycache__", "static")
        shutil.copytree(SCHEMAS.parent / name, tmp_path / name, ignore=ignored)
    shutil.copyfile(SCHEMAS.parent / "tests" / "__init__.py", tmp_path / "tests" / "__init__.py")
    return tmp_path


def spoil(checkout: Path, old: str, new: str, file: str = "accounts.json") -> None:
    path = checkout / "schemas" / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def run(checkout: Path, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=checkout, env={"PATH": ""}, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(("old", "new", "told"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_the_first_check_names_the_file_and_the_line(old: str, new: str, told: str, checkout: Path) -> None:
    spoil(checkout, old, new)
    code, said = run(checkout, "tests.schemas.compat")
    assert code == 1
    assert re.search(rf"^schemas/(accounts\.json )?{told}", said), said
    assert "Traceback" not in said


@pytest.mark.parametrize("check", ["asyncapi", "share", "pages --check"])
def test_no_check_ends_in_a_traceback(check: str, checkout: Path) -> None:
    spoil(checkout, *BROKEN[0][1:3])
    code, said = run(checkout, *f"tests.schemas.{check}".split())
    assert code == 1
    assert re.search(rf"^schemas/{BROKEN[0][3]}", said), said
    assert "Traceback" not in said


def test_a_schema_that_refuses_its_own_example_is_told(checkout: Path) -> None:
    spoil(checkout, '"type": "object",', '"type": "array",')
    code, said = run(checkout, "tests.schemas.asyncapi")
    assert code == 1
    assert re.search(r"^schemas/accounts\.json line 6, type: this refuses the record of the file's own example 1", said)


DOCUMENTS = [
    (
        "a reference to no message",
        '"#/components/messages/certificate.new"',
        '"#/components/messages/certificate.nw"',
        r"asyncapi\.yaml line \d+, channels \S+ messages certificate\.new \$ref: .* points at nothing: mend it there",
    ),
    (
        "a payload of no file",
        '"./certificate.new.json"',
        '"./certificate.nw.json"',
        r"asyncapi\.yaml line \d+, components messages certificate\.new payload \$ref: .* is no file of schemas/",
    ),
    (
        "no time kept",
        "          retention.ms: -1\n",
        "",
        r"asyncapi\.yaml line \d+, channels events bindings kafka topicConfiguration: retention\.ms must be given",
    ),
]


@pytest.mark.parametrize(
    ("check", "old", "new", "told"),
    [("compat", *DOCUMENTS[0][1:]), ("asyncapi", *DOCUMENTS[1][1:]), ("pages --check", *DOCUMENTS[2][1:])],
    ids=[row[0] for row in DOCUMENTS],
)
def test_a_broken_document_is_told_with_its_line(check: str, old: str, new: str, told: str, checkout: Path) -> None:
    spoil(checkout, old, new, "asyncapi.yaml")
    code, said = run(checkout, *f"tests.schemas.{check}".split())
    assert code == 1
    assert re.search(rf"^schemas/{told}", said), said
    assert "Traceback" not in said
