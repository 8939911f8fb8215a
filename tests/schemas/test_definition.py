"""`certstream.definition`: what the service reads from `schemas/`, and what a broken file is told."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from certstream.core import wire
from certstream.core.errors import Fatal
from certstream.definition import asyncapi, check_schemas, files, parse_topics, schema, schema_names, topics
from tests.schemas.reading import SCHEMAS
from tests.schemas.test_files import ALL, KINDS, MESSAGES

GOOD = asyncapi().decode()


def test_topics_are_those_that_the_code_writes_to() -> None:
    names = [topic.name for topic in topics()]
    assert set(names) == {
        *(wire.EVENTS, wire.INVENTORY, wire.PEM, wire.ACCOUNTS, wire.QUARANTINE, wire.STATE),
        *(wire.kind_topic(kind) for kind in KINDS),
    }
    assert names[0] == wire.EVENTS


def test_a_topic_has_its_configuration_as_the_broker_spells_it() -> None:
    known = {topic.name: topic for topic in topics()}
    assert known["events"].config == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": "1048588",
    }
    assert known["certificate.new"].config["retention.ms"] == str(400 * 86_400_000)
    assert known["inventory"].config["delete.retention.ms"] == str(7 * 86_400_000)
    assert [topic.name for topic in topics() if topic.compacted] == ["inventory", "pem", "accounts", "state"]
    assert {topic.partitions for topic in topics()} == {12}
    assert all(topic.description for topic in topics())


def test_a_topic_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        topics()[0].config["retention.ms"] = "1"  # type: ignore[index]


def test_schemas_are_those_of_the_files() -> None:
    assert list(schema_names()) == MESSAGES
    for name in schema_names():
        assert schema(name) == ALL[name]


def test_an_unknown_schema_is_a_key_error() -> None:
    for name in ("certificate.vanished", "common", "../pyproject"):
        with pytest.raises(KeyError):
            schema(name)


def test_a_caller_may_change_its_copy_of_a_schema() -> None:
    schema("inventory").clear()
    assert schema("inventory") == ALL["inventory"]


def test_an_installed_package_finds_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "asyncapi.yaml").write_bytes(b"")
    monkeypatch.setattr(files, "files", lambda _: tmp_path)
    assert files.folder.__wrapped__() == tmp_path / "schemas"


def test_a_checkout_finds_the_files_beside_the_package() -> None:
    assert Path(str(files.folder.__wrapped__())) == SCHEMAS


def test_no_files_at_all_is_fatal_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "files", lambda _: tmp_path)
    monkeypatch.setattr(files, "__file__", str(tmp_path / "certstream" / "definition" / "files.py"))
    with pytest.raises(Fatal, match="reinstall certstream"):
        files.folder.__wrapped__()


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("asyncapi:", "asyncapi: [", r"line \d+"),
        ("  events:", "  events: {}\n  events:", r"line \d+: the key 'events' is given twice"),
        ("channels:", "canals:", "channels: a mapping is missing"),
        ('address: "{prefix}events"', 'address: "events"', "channels events address: expected '{prefix}events'"),
        ("        partitions: 12", "        partitions: 0", "channels events bindings kafka partitions: .* not 0"),
        ("        partitions: 12", "        partitions: twelve", "bindings kafka partitions: .* not 'twelve'"),
        ("        partitions: 12", "        partitions: 13", "same number of partitions.*events 13"),
        ("        topicConfiguration:", "        configuration:", "kafka topicConfiguration: a mapping is missing"),
        ("[delete]", "[tidy]", r"cleanup\.policy: expected .* not 'tidy'"),
        ("          retention.ms: -1\n", "", "retention.ms must be given"),
        ("          retention.bytes: -1\n", "", "retention.bytes must be given"),
        ("retention.ms: -1", "retention.ms: 1.5", "retention.ms: expected .* not 1.5"),
        (
            "          segment.ms: 21600000",
            "          retention.ms: 1\n          segment.ms: 21600000",
            "means nothing",
        ),
        (
            "          delete.retention.ms: 604800000",
            "          file.delete.delay.ms: 1",
            "delete.retention.ms must be",
        ),
        ("channelBindings/forever", "channelBindings/never", "'#/components/channelBindings/never' points at nothing"),
        ("#/components/channelBindings/forever", "./bindings.yaml", "does not point into this file"),
        ("#/components/channelBindings/forever", "#/channels/events/bindings", "circle"),
        ('"#/components/messages/certificate.new"', '"#/components/messages/certificate.nw"', "nw' points at nothing"),
        ('"#/components/messageTraits/event"', '"#/components/messageTraits/none"', "traits 0 .*none' points"),
        ('"./certificate.new.json"', '"./certificate.nw.json"', "payload .*nw.json' is no file of schemas/"),
        ('"./certificate.new.json"', '"./certificate.new"', "payload .*new' is no file of schemas/"),
        ("      name: certstream.certificate.new.v1\n", "", "certificate.new name: a text is missing"),
    ],
)
def test_a_broken_document_is_fatal_and_says_where(old: str, new: str, place: str) -> None:
    assert old in GOOD
    with pytest.raises(Fatal, match=place) as caught:
        parse_topics(GOOD.replace(old, new, 1).encode())
    assert "schemas/asyncapi.yaml line " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_contradicts_itself_is_told_with_its_line() -> None:
    """Through the `$ref` of the channel's bindings."""
    text = GOOD.replace("        partitions: 12", "        partitions: 0", 1)
    line = next(number for number, one in enumerate(text.splitlines(), 1) if one == "        partitions: 0")
    with pytest.raises(Fatal, match=rf"asyncapi\.yaml line {line}, channels events bindings kafka partitions"):
        parse_topics(text.encode())


@pytest.mark.parametrize(
    ("reference", "other"),
    [
        ("#/components/messages/certificate.new", "#/components/messages/certificate.nw"),
        ("./certificate.new.json", "./certificate.nw.json"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told_with_its_line(reference: str, other: str) -> None:
    text = GOOD.replace(f'"{reference}"', f'"{other}"', 1)
    line = next(number for number, one in enumerate(text.splitlines(), 1) if other in one)
    with pytest.raises(Fatal, match=rf"asyncapi\.yaml line {line}, "):
        parse_topics(text.encode())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"required": [', '"required": [[', r"accounts\.json line \d+, column \d+: not JSON"),
        ('"type": "object",', '"type": "objekt",', r'accounts\.json line 6, type: "objekt" is not'),
        ('"#/$defs/account"', '"#/$defs/akkount"', r"accounts\.json line \d+, properties account \$ref: .*akkount"),
    ],
)
def test_a_broken_schema_is_fatal_and_says_the_line(old: str, new: str, told: str) -> None:
    text = (SCHEMAS / "accounts.json").read_text("utf-8")
    assert old in text
    with pytest.raises(Fatal, match=told):
        files.parse_schema(text.replace(old, new, 1).encode(), "accounts.json")


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        (
            "asyncapi.yaml",
            "        partitions: 12",
            "        partitions: 0",
            r"asyncapi\.yaml line \d+, channels events",
        ),
        ("asyncapi.yaml", '"./accounts.json"', '"./acounts.json"', r"asyncapi\.yaml line \d+, .*no file of schemas/"),
        ("inventory.json", '"type": "object",', '"type": "objekt",', r"inventory\.json line 6, type"),
        ("inventory.json", '"type": "object",', '"type": "array",', r"inventory\.json line 6, type: .* own example"),
    ],
)
def test_a_service_does_not_start_with_a_broken_file(file: str, old: str, new: str, told: str, tmp_path: Path) -> None:
    """The real process, in a copy of the checkout."""
    for name in ("certstream", "schemas"):
        shutil.copytree(
            SCHEMAS.parent / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "released")
        )
    broken = tmp_path / "schemas" / file
    broken.write_text(broken.read_text("utf-8").replace(old, new, 1), "utf-8")
    config = tmp_path / "certstream.toml"
    config.write_text(f'journal = "sqlite://{tmp_path}/journal.db"\n')
    words = [sys.executable, "-m", "certstream", "run", "--config", str(config)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert re.search(told, done.stderr), done.stderr


def test_check_names_a_broken_file_and_tries_the_rest(tmp_path: Path) -> None:
    for name in ("certstream", "schemas"):
        shutil.copytree(
            SCHEMAS.parent / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "released")
        )
    broken = tmp_path / "schemas" / "inventory.json"
    broken.write_text(broken.read_text("utf-8").replace('"type": "object",', '"type": "object"', 1), "utf-8")
    words = [sys.executable, "-m", "certstream", "check"]
    bare = {"HOME": str(tmp_path), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
    done = subprocess.run(words, cwd=tmp_path, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"^✗ schemas: schemas/inventory\.json line 7, column 3: not JSON", done.stdout, re.M), done.stdout
    assert re.search(r"^✓ journal: ", done.stdout, re.M), done.stdout


def test_every_schema_is_one() -> None:
    check_schemas()


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"channels: {}", b"channels: []", b"\xff\xfe\x00", b"? [a]\n: b", b"&a [*a]"]
)
def test_a_document_without_topics_is_fatal(text: bytes) -> None:
    with pytest.raises(Fatal, match=r"schemas/asyncapi\.yaml"):
        parse_topics(text)
