"""AsyncAPI's own schema and parser on `asyncapi.yaml`: `make check` asks both, and both can say no."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.schemas.asyncapi import CACHE, HERE, against_schema, by_parser, has_node
from tests.schemas.reading import SCHEMAS

GOOD = (SCHEMAS / "asyncapi.yaml").read_text("utf-8")
node = pytest.mark.skipif(not has_node(), reason="the official parser needs Node")


def spoiled(folder: Path, *changes: tuple[str, str]) -> Path:
    """A copy of `schemas/` whose document has each text replaced where it first stands."""
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    shutil.copytree(SCHEMAS, folder / "schemas", ignore=shutil.ignore_patterns("released"))
    (folder / "schemas" / "asyncapi.yaml").write_text(text, "utf-8")
    return folder / "schemas" / "asyncapi.yaml"


def checked(file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "tests.schemas.asyncapi", str(file)]
    env = {**os.environ, **environment}
    return subprocess.run(words, capture_output=True, text=True, cwd=SCHEMAS.parent, env=env, check=False)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("asyncapi: 3.0.0", "asyncapi: 2.6.0", "asyncapi: '2.6.0'"),
        ("channels:", "canals:", "canals"),
        ("        partitions: 12", "        partitions: twelve", "partitions|channelBindings"),
        ("    action: send", "    action: shout", "operations sendEvents"),
        ("  version: 1.0.0\n", "", "version"),
    ],
)
def test_the_official_schema_says_where(old: str, new: str, place: str, tmp_path: Path) -> None:
    found = against_schema(spoiled(tmp_path, (old, new)))
    assert any(word in line for line in found for word in place.split("|")), found


def test_without_node_it_is_said_and_the_schema_is_asked_all_the_same(tmp_path: Path) -> None:
    good = checked(SCHEMAS / "asyncapi.yaml", PATH="/nowhere")
    assert good.returncode == 0
    assert "was checked against AsyncAPI's schema only: the official parser needs Node" in good.stderr
    bad = checked(spoiled(tmp_path, ("    action: send", "    action: shout")), PATH="/nowhere")
    assert bad.returncode == 1


@node
def test_the_official_parser_finds_what_the_schema_does_not_also_in_the_payloads(tmp_path: Path) -> None:
    foreign = ('$ref: "#/channels/accounts/messages/accounts"', '$ref: "#/channels/inventory/messages/inventory"')
    file = spoiled(tmp_path, foreign)
    done = checked(file)
    assert done.returncode == 1
    assert "operations sendAccounts messages" in done.stderr
    payload = file.parent / "accounts.json"
    payload.write_text(payload.read_text("utf-8").replace('"type": "object"', '"type": "objekt"', 1), "utf-8")
    assert against_schema(file) == []
    # Asked itself: the whole check looks at each file alone before it, and tells that one with its line.
    assert any("payload" in line for line in by_parser(file))


@node
def test_the_copy_of_the_schema_is_the_official_one() -> None:
    official = CACHE / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    assert json.loads((HERE / "asyncapi-3.0.0.json").read_text("utf-8")) == json.loads(official.read_text("utf-8"))
