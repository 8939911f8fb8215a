"""What may change in `schemas/`, and what is refused: the check of `make check` on a table of example changes."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.schemas import compat
from tests.schemas.compat import COMMON, broken, freeze, judged
from tests.schemas.reading import SCHEMAS, document
from tests.schemas.surface import lost
from tests.schemas.test_files import ALL, MESSAGES

Change = Callable[[dict[str, Any]], object]


def put(path: str, value: Any) -> Change:
    """Set one place; keys joined by a blank, as topics have dots and patterns slashes."""

    def change(root: dict[str, Any]) -> None:
        *way, last = path.split(" ")
        for key in way:
            root = root[key]
        root[last] = value

    return change


def drop(path: str) -> Change:
    def change(root: dict[str, Any]) -> None:
        *way, last = path.split(" ")
        for key in way:
            root = root[key]
        del root[last]

    return change


def both(*changes: Change) -> Change:
    def change(root: dict[str, Any]) -> None:
        for one in changes:
            one(root)

    return change


def copied(source: str, target: str) -> Change:
    """What stands at one place now stands at another, too."""

    def change(root: dict[str, Any]) -> None:
        value: Any = root
        for key in source.split(" "):
            value = value[key]
        put(target, copy.deepcopy(value))(root)

    return change


def less(path: str, name: str) -> Change:
    """Take a word out of a list."""

    def change(root: dict[str, Any]) -> None:
        value: Any = root
        for key in path.split(" "):
            value = value[key]
        value.remove(name)

    return change


TEXT = {"type": "string"}
CERT = "$defs certificate properties"
DATA = "$defs data properties"
CHANGE = "$defs data properties changes properties status properties to"

ALLOWED: list[tuple[str, str, Change]] = [
    ("a new optional member in data", "certificate.new", put(f"{DATA} owner", TEXT)),
    ("a new optional member in the certificate", "inventory", put(f"{CERT} keyUsage", TEXT)),
    ("a new attribute of the event", "account.digest", put("properties traceparent", TEXT)),
    ("a new member that is required", "account.digest", both(
        put(f"{DATA} algorithm", TEXT), put("$defs data required", ["account", "digest", "count", "algorithm"]))),
    ("an optional member becomes required", "inventory", put("$defs certificate required", ["identifier", "status"])),
    ("a closed list loses a word", "inventory", less("$defs lifecycle enum", "expired")),
    ("a member allows one type of two", "inventory", put("$defs whole type", "integer")),
    ("a maximum is lowered", "inventory", put("$defs whole maximum", 2**40)),
    ("a minimum is raised", "inventory", put("$defs whole minimum", 0)),
    ("a list has more items at least", "certificate.new", put("$defs findings minItems", 2)),
    ("a text has a greatest length", "certificate.new", put(f"{CERT} md5 maxLength", 32)),
    ("a text gets a format", "inventory", put(f"{CERT} sha2 format", "regex")),
    ("a text gets a closed list", "certificate.new", put(f"{CERT} status enum", ["ISSUE", "REVOKE"])),
    ("two members come together only", "certificate.new",
     put("$defs data dependentRequired", {"replaces": ["omitted"]})),
    ("another description", "certificate.new", put("$defs data description", "In other words.")),
    ("another title", "certificate.new", put("title", "A new certificate")),
    ("another example", "certificate.new", put("examples", [])),
    ("a definition gets another name", "certificate.new", both(
        copied("$defs lifecycle", "$defs phase"), put(f"{DATA} lifecycle", {"$ref": "#/$defs/phase"}))),
    ("a reference is written out", "certificate.new", copied("$defs sans", f"{CERT} sans")),
    ("more counts are described", "accounts", put("properties counts properties revoked", {"$ref": "#/$defs/count"})),
    ("an integer where a number was allowed", "made.number", put("properties size type", "integer")),
]  # fmt: skip

REFUSED: list[tuple[str, str, Change, str]] = [
    ("a member is removed", "certificate.new", drop(f"{CERT} md5"),
     "data.certificate: the member md5 is no longer described (removed or renamed)"),
    ("a member is renamed", "certificate.new", both(copied(f"{CERT} md5", f"{CERT} md5Sum"), drop(f"{CERT} md5")),
     "data.certificate: the member md5 is no longer described"),
    ("an attribute is removed", "account.digest", drop("properties partitionkey"),
     "the record: the member partitionkey"),
    ("a member is required no longer", "certificate.new", put("$defs certificate required", []),
     "data.certificate: the member identifier may be absent now"),
    ("an attribute is required no longer", "certificate.new", less("required", "prevhash"),
     "the record: the member prevhash may be absent now"),
    ("another type", "certificate.new", put(f"{CERT} md5 type", "integer"),
     "data.certificate.md5: its type changes from string to integer"),
    ("one more type", "certificate.new", put(f"{CERT} md5 type", ["string", "null"]), "its type may be null now, too"),
    ("any type", "certificate.new", drop(f"{CERT} md5 type"), "md5: it may be of any type now, and was string"),
    ("a number where an integer was", "inventory", put("$defs whole type", ["number", "string"]),
     "certificate.days: its type may be number now, too"),
    ("a closed list grows", "inventory", put("$defs lifecycle enum", ["valid", "expired", "revoked", "held"]),
     "lifecycle: it may be held now, and was one of expired or revoked or valid"),
    ("a closed list is opened", "inventory", drop("$defs lifecycle enum"), "lifecycle: it may be anything now"),
    ("what can be omitted grows", "certificate.new",
     put("$defs omitted items enum", ["pem", "sans", "extra", "subjectDN"]),
     "data.omitted[]: it may be subjectDN now"),
    ("another constant", "certificate.revoked", put(f"{CHANGE} const", "REVOKED"),
     "data.changes.status.to: it may be REVOKED now, and was REVOKE"),
    ("another type of event", "certificate.new", put("properties type const", "certstream.certificate.new.v2"),
     "type: it may be certstream.certificate.new.v2 now"),
    ("another schema of the data", "certificate.new", put("properties dataschema const", "urn:x"),
     "dataschema: it may be urn:x"),
    ("another identity", "certificate.new", put("$id", "urn:certstream:schema:certificate.new:2"), "$id is"),
    ("another dialect", "certificate.new", put("$schema", "http://json-schema.org/draft-07/schema#"), "$schema is"),
    ("a wider pattern", "certificate.new", put("$defs hash pattern", "^[0-9a-f]{64,128}$"), "prevhash: its pattern is"),
    ("a narrower pattern", "certificate.new", put("$defs hash pattern", "^[0-9a-f]{63}0$"), "prevhash: its pattern is"),
    ("no pattern any more", "certificate.new", drop("$defs hash pattern"), "prevhash: its pattern is gone"),
    ("a pattern where there was none", "certificate.new", put(f"{CERT} md5 pattern", "^[0-9a-f]{32}$"),
     "md5: its pattern is ^[0-9a-f]{32}$, and was none"),
    ("no format any more", "certificate.new", drop("$defs instant format"), "time: it need no longer be a date"),
    ("another format", "certificate.new", put("$defs instant format", "date"), "time: it need no longer be a date"),
    ("zero becomes a sequence", "certificate.new", drop("$defs sequence not"), "sequence: its not is no longer"),
    ("a maximum is raised", "inventory", put("$defs whole maximum", 2**60), "certificate.days: its maximum is"),
    ("no maximum any more", "inventory", drop("$defs whole maximum"), "certificate.days: its maximum is gone"),
    ("a minimum is lowered", "accounts", put("$defs count minimum", -1),
     "counts.certificates: its minimum is -1, and was 0"),
    ("an empty list is allowed", "certificate.new", drop("$defs findings minItems"), "findings: its minItems is gone"),
    ("no change need be told", "certificate.changed", drop("$defs changes minProperties"),
     "data.changes: its minProperties is gone"),
    ("repeats are allowed", "certificate.new", drop("$defs sans uniqueItems"), "sans: its uniqueItems is no longer"),
    ("other items", "certificate.new", put("$defs sans items", TEXT), "sans[]: its type changes from object to string"),
    ("any items", "certificate.new", drop("$defs sans items"), "sans: its items may be anything now"),
    ("any change", "certificate.changed", put("$defs changes additionalProperties", {}),
     "data.changes.*: it may be of any type"),
    ("no words on changes", "certificate.changed", drop("$defs changes additionalProperties"),
     "data.changes: its other members may be anything now"),
    ("one change of another form", "certificate.changed", put("$defs changes properties days", TEXT),
     "data.changes.days: its type changes from object to string"),
    ("an object is closed", "certificate.new", put("$defs data additionalProperties", False),
     "data: the object is closed (additionalProperties)"),
    ("an object is closed otherwise", "certificate.new", put("$defs data unevaluatedProperties", False),
     "data: its unevaluatedProperties changed"),
    ("any data", "certificate.new", put("properties data", {}), "data: it may be of any type now"),
    ("another encoding", "quarantine", put("properties bytes contentEncoding", "base32"),
     'bytes: its contentEncoding is no longer "base64"'),
    ("longer bytes", "quarantine", put("properties bytes maxLength", 10**6), "bytes: its maxLength is 1000000,"),
    ("of two one may come alone", "account.forgotten", drop("$defs data dependentRequired"),
     "its dependentRequired is no"),
    ("only jsoncompat sees it", "made.closed", put("properties size", TEXT), "jsoncompat finds"),
]  # fmt: skip

MADE: dict[str, dict[str, Any]] = {
    "made.number": {"type": "object", "properties": {"size": {"type": "number"}}},
    "made.closed": {"type": "object", "properties": {"name": TEXT}, "additionalProperties": False},
}


def edited(name: str, change: Change) -> tuple[dict[str, Any], dict[str, Any]]:
    old = ALL[name] if name in ALL else MADE[name]
    new = copy.deepcopy(old)
    change(new)
    return old, new


@pytest.mark.parametrize(("name", "change"), [row[1:] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
def test_allowed(name: str, change: Change) -> None:
    old, new = edited(name, change)
    assert old != new
    assert judged(old, new) == []


@pytest.mark.parametrize(("name", "change", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_in_a_sentence(name: str, change: Change, told: str) -> None:
    found = judged(*edited(name, change))
    assert any(told in sentence for sentence in found), found


BINDINGS = "components channelBindings"
TOPICS_ALLOWED: list[tuple[str, Change]] = [
    ("a new topic", copied("channels certificate.new", "channels certificate.reissued")),
    ("a new kind of event",
     copied("channels events messages certificate.new", "channels events messages certificate.held")),
    ("kept for longer", put(f"{BINDINGS} kind kafka topicConfiguration retention.ms", -1)),
    ("another limit of a batch", put(f"{BINDINGS} kind kafka topicConfiguration max.message.bytes", 2_097_152)),
    ("one more header", put("components schemas eventHeaders properties ce_time", TEXT)),
    ("other words", put("channels events description", "Everything, with isolation.level=read_committed.")),
]  # fmt: skip
TOPICS_REFUSED: list[tuple[str, Change, str]] = [
    ("a topic is gone", drop("channels certificate.expiring"), "topic certificate.expiring: it is gone"),
    ("a topic has another name", put("channels events address", "{prefix}log"),
     "topic events: its name is '{prefix}log'"),
    ("more partitions", put(f"{BINDINGS} kind kafka partitions", 24),
     "certificate.new: it has 24 partitions, and had 12"),
    ("deleted where it was compacted", put(f"{BINDINGS} compacted kafka topicConfiguration cleanup.policy", ["delete"]),
     "topic inventory: its cleanup.policy is ['delete']"),
    ("not kept for ever", put(f"{BINDINGS} forever kafka topicConfiguration retention.ms", 10**12),
     "topic events: its retention.ms is 1000000000000, and was -1"),
    ("kept for less", put(f"{BINDINGS} kind kafka topicConfiguration retention.ms", 1),
     "certificate.new: its retention.ms is 1"),
    ("tombstones kept for less", drop(f"{BINDINGS} compacted kafka topicConfiguration delete.retention.ms"),
     "topic inventory: its delete.retention.ms is None"),
    ("another key", put("components messageBindings certificate kafka key pattern", "^.*$"),
     "topic inventory: inventory: its key: the record: its pattern is ^.*$"),
    ("another type", put("components messages certificate.new name", "certstream.certificate.new.v2"),
     "topic events: certificate.new: its type is certstream.certificate.new.v2"),
    ("a kind is no longer in the log", drop("channels events messages account.digest"),
     "topic events: the message account.digest is no longer in it"),
    ("another content type", put("components messageTraits event contentType", "application/json"),
     "its content type is application/json"),
    ("a header may be absent", put("components schemas eventHeaders required", ["content-type", "ce_type"]),
     "its headers: the record: the member ce_id may be absent now"),
    ("another payload", put("components messages inventory payload $ref", "./accounts.json"), "its payload is"),
    ("another pem", put("components messages pem payload type", "object"), "record: its type changes from string"),
]  # fmt: skip


DOCUMENT = document(SCHEMAS)


def rewritten(change: Change) -> dict[str, Any]:
    new = copy.deepcopy(DOCUMENT)
    change(new)
    return new


@pytest.mark.parametrize("change", [row[1] for row in TOPICS_ALLOWED], ids=[row[0] for row in TOPICS_ALLOWED])
def test_allowed_in_topics(change: Change) -> None:
    assert lost(DOCUMENT, rewritten(change)) == []


@pytest.mark.parametrize(
    ("change", "told"), [row[1:] for row in TOPICS_REFUSED], ids=[row[0] for row in TOPICS_REFUSED]
)
def test_refused_in_topics(change: Change, told: str) -> None:
    found = lost(DOCUMENT, rewritten(change))
    assert any(told in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("accounts", put("$defs count type", "string"), "counts.certificates: its type changes from integer to string"),
        ("accounts", put("$defs count", TEXT), "counts.certificates: its type changes from integer to string"),
        (
            "inventory",
            both(put("$defs whole minimum", -(10**18)), put("$defs whole maximum", 10**18)),
            "certificate.days: its minimum is -1000000000000000000, and was -9007199254740992; "
            "its maximum is 1000000000000000000, and was 9007199254740992",
        ),
    ],
    ids=["another type", "not the bounds that the old type had", "several of one member"],
)
def test_a_member_is_told_once_and_its_type_alone(name: str, change: Change, told: str) -> None:
    place = told.split(" ")[0]
    assert [one for one in judged(*edited(name, change)) if one.startswith(place)] == [told]


def test_a_definition_that_messages_share_is_told_once(tmp_path: Path) -> None:
    shutil.copytree(SCHEMAS, tmp_path / "schemas", ignore=shutil.ignore_patterns("released"))
    for name in ("account.digest", "account.baselined"):
        path = tmp_path / "schemas" / f"{name}.json"
        path.write_text(path.read_text().replace('"minimum": 0', '"minimum": -1'))
    found = broken(SCHEMAS, tmp_path / "schemas")
    assert found == ["account.baselined, account.digest: data.count: its minimum is -1, and was 0"]


def test_a_message_that_is_gone_is_told(tmp_path: Path) -> None:
    shutil.copytree(SCHEMAS, tmp_path / "schemas", ignore=shutil.ignore_patterns("released"))
    (tmp_path / "schemas" / "account.digest.json").unlink()
    topics = tmp_path / "schemas" / "asyncapi.yaml"
    text = re.sub(r"(?m)^ +account\.digest:\n +\$ref: .*\n| +- \$ref: .*/account\.digest\"\n", "", topics.read_text())
    topics.write_text(re.sub(r"(?m)^    account\.digest:\n(?:      .*\n)+", "", text))
    assert "account.digest: the message is gone, and its readers still read it" in broken(SCHEMAS, tmp_path / "schemas")


def test_the_check_fails_with_a_sentence_and_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    shutil.copytree(SCHEMAS, folder, ignore=shutil.ignore_patterns("released"))
    path = folder / "certificate.new.json"
    schema = json.loads(path.read_text())
    schema["$defs"]["certificate"]["properties"].pop("md5")
    path.write_text(json.dumps(schema))
    words = [sys.executable, "-m", "tests.schemas.compat", "--schemas", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=SCHEMAS.parent, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "breaks 1.0: certificate.new: data.certificate: the member md5 is no longer described (removed or renamed), "
        "and readers may use it.\n"
    )
    assert "docs/contracts.md" in done.stderr


def test_every_message_is_in_version_1_0_and_what_is_released_never_changes(tmp_path: Path) -> None:
    released = {path.stem for path in (SCHEMAS / "released" / "1.0").glob("*.json")}
    assert released <= set(MESSAGES)
    assert {"certificate.new", "account.digest", "inventory", "accounts", "quarantine"} <= released
    assert not (SCHEMAS / "released" / "1.0" / COMMON).exists()
    shutil.copytree(SCHEMAS, tmp_path / "schemas")
    with pytest.raises(FileExistsError):
        freeze("1.0", tmp_path / "schemas")


def test_a_released_version_cannot_be_edited_unnoticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "schemas"
    shutil.copytree(SCHEMAS, folder)
    monkeypatch.setattr(compat, "SCHEMAS", folder)
    assert freeze("1.1", folder) == folder / "released" / "1.1"
    assert compat.main([]) == 0, capsys.readouterr().err
    for place in (
        folder,
        folder / "released" / "1.0",
        folder / "released" / "1.1",
    ):  # in all alike: compared, nothing broke
        path = place / "certificate.new.json"
        schema = json.loads(path.read_text())
        schema["required"].remove("certprevhash")
        path.write_text(json.dumps(schema))
    (folder / "released" / "1.1" / "inventory.json").unlink()
    (folder / "released" / "1.1" / "later.json").write_text("{}")
    assert compat.main([]) == 1
    kept = "was released and is not what was released: git checkout schemas/released"
    assert capsys.readouterr().err.splitlines() == [
        f"schemas/released/1.0/certificate.new.json {kept}/1.0/certificate.new.json",
        f"schemas/released/1.1/certificate.new.json {kept}/1.1/certificate.new.json",
        "schemas/released/1.1/inventory.json was released and is gone: "
        "git checkout schemas/released/1.1/inventory.json",
        "schemas/released/1.1/later.json was not released with 1.1: remove it",
    ]
    (folder / "released" / "1.1" / "SHA256SUMS").unlink()
    assert compat.main([]) == 1
    assert "schemas/released/1.1/SHA256SUMS is gone, and says what was released" in capsys.readouterr().err
