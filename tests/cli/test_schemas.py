"""`certstream schemas`: what it prints and exports can be used alone; what it validates is told by line and path."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from certstream.cli import app
from certstream.definition import asyncapi, schema, topics
from certstream.definition.bundle import of_topic
from certstream.definition.records import problems
from tests.schemas.asyncapi import against_schema, by_parser, has_node
from tests.schemas.test_files import ALL, EVENTS, MESSAGES, canonical, story

runner = CliRunner()


def test_the_names_are_printed_and_each_schema_as_it_is() -> None:
    names = runner.invoke(app, ["schemas", "print"]).stdout.split()
    assert names == ["asyncapi", *MESSAGES]
    for name in ("certificate.new", "quarantine"):
        assert json.loads(runner.invoke(app, ["schemas", "print", name]).stdout) == ALL[name]
    wrong = runner.invoke(app, ["schemas", "print", "certificate.vanished"])
    assert wrong.exit_code == 2
    assert "certificate.new" in wrong.stderr


def test_what_is_exported_can_be_used_alone(tmp_path: Path) -> None:
    for _ in range(2):
        assert runner.invoke(app, ["schemas", "export", str(tmp_path / "out")]).exit_code == 0
    out = tmp_path / "out"
    assert (out / "asyncapi.yaml").read_bytes() == asyncapi()
    for name in MESSAGES:
        assert json.loads((out / f"{name}.json").read_text("utf-8")) == schema(name)
    bundle = (out / "asyncapi.json").read_text("utf-8")
    assert '"./' not in bundle
    assert against_schema(out / "asyncapi.json") == []
    payload = json.loads(bundle)["components"]["messages"]["certificate.new"]["payload"]
    assert payload["properties"]["data"] == {"$ref": "#/components/messages/certificate.new/payload/$defs/data"}
    expected = {topic.name for topic in topics()} - {"state", "pem"}
    assert {path.stem for path in (out / "registry").iterdir()} == expected


@pytest.mark.skipif(not has_node(), reason="the official parser needs Node")
def test_the_bundle_is_valid_for_the_official_parser(tmp_path: Path) -> None:
    runner.invoke(app, ["schemas", "export", str(tmp_path)])
    (tmp_path / "alone").mkdir()
    (tmp_path / "asyncapi.json").rename(tmp_path / "alone" / "asyncapi.json")
    assert by_parser(tmp_path / "alone" / "asyncapi.json") == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = runner.invoke(app, ["schemas", "export", str(tmp_path / "file")])
    assert result.exit_code == 3
    assert "cannot be written" in result.stderr


@pytest.mark.parametrize("topic", sorted({topic.name for topic in topics()} - {"state", "pem"}))
def test_what_a_registry_gets_is_draft_07_and_judges_as_the_schema_does(topic: str) -> None:
    held = of_topic(topic)
    assert held is not None
    jsonschema_rs.meta.validate(held)
    assert '"$defs' not in json.dumps(held)
    assert "#/$defs" not in json.dumps({key: item for key, item in held.items() if key != "dataschema"}).replace(
        "1#/$defs/data", ""
    )
    check = jsonschema_rs.Draft7Validator(held, validate_formats=True, offline=True)
    for name in EVENTS if topic == "events" else [topic]:
        for example in ALL[name]["examples"]:
            assert check.is_valid(example), name
            for key in ALL[name]["required"]:
                assert not check.is_valid({other: item for other, item in example.items() if other != key}), (name, key)


def test_the_log_of_record_allows_kinds_that_nobody_knows_yet() -> None:
    held = of_topic("events")
    assert held is not None
    check = jsonschema_rs.Draft7Validator(held)
    assert check.is_valid({"type": "certstream.certificate.reissued.v1"})
    assert not check.is_valid({"type": "certstream.certificate.new.v1"})


def test_topics_that_are_private_or_no_json_have_no_schema() -> None:
    assert of_topic("state") is None
    assert of_topic("pem") is None


def test_a_reference_of_a_schema_has_no_neighbours_that_draft_07_would_ignore() -> None:
    def walk(value: object) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert value.keys() <= {"$ref", "description", "examples", "title"}, value
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    for name in MESSAGES:
        walk(ALL[name])


def test_good_events_are_valid() -> None:
    lines = b"\n".join(canonical(event) for event in story())
    result = runner.invoke(app, ["schemas", "validate"], input=lines + b"\n\n")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"{len(story())} records, all valid" in result.stderr


def test_a_bad_record_is_told_by_line_path_and_reason(tmp_path: Path) -> None:
    first, second = (copy.deepcopy(ALL[name]["examples"][0]) for name in ("account.digest", "certificate.new"))
    second["data"]["certificate"]["notAfter"] = "soon\x1b[31m"
    second["data"]["certificate"]["sans"] = [{"type": "planet", "value": "Mars"}]
    strange = {**first, "type": "certstream.certificate.new.v7"}
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join([canonical(first), b"", canonical(second), b"{", b"[]", canonical(strange)]))
    result = runner.invoke(app, ["schemas", "validate", str(file)])
    assert result.exit_code == 1
    told = result.stdout.splitlines()
    assert any(line.startswith("line 3: data.certificate.sans[0].type: ") and "planet" in line for line in told)
    assert any(line.startswith("line 3: data.certificate.notAfter: ") and "date-time" in line for line in told)
    assert "\x1b" not in result.stdout
    assert any(line.startswith("line 4: the record: not JSON") for line in told)
    assert any(line.startswith("line 5: type: ") for line in told)
    assert any(line.startswith("line 6: type: no schema of this version for") for line in told)
    assert "5 records, 4 of them not valid" in result.stderr


@pytest.mark.parametrize(
    ("member", "value", "told"),
    [
        ("time", None, 'time: null is not of type "string"'),
        ("time", "0000-03-01T08:00:00.123Z", 'time: "0000-03-01T08:00:00.123Z" must not match "^0000"'),
        ("sequence", "0" * 20, f'sequence: "{"0" * 20}" is not allowed here'),
        ("certprevhash", "0" * 64, "the record: the member certprevhash is not allowed here"),
    ],
)
def test_a_reason_is_told_once_and_in_words(member: str, value: object, told: str) -> None:
    record = {**ALL["account.digest"]["examples"][0], member: value}
    result = runner.invoke(app, ["schemas", "validate"], input=canonical(record))
    assert told in [line.removeprefix("line 1: ") for line in result.stdout.splitlines()]
    assert sum(f" {told.split(': ')[0]}: " in line for line in result.stdout.splitlines()) == 1, result.stdout


def test_rows_of_other_topics_are_validated_by_their_name() -> None:
    row = ALL["inventory"]["examples"][0]
    good = runner.invoke(app, ["schemas", "validate", "--as", "inventory"], input=canonical(row))
    assert good.exit_code == 0
    bad = runner.invoke(app, ["schemas", "validate", "--as", "inventory"], input=canonical({**row, "sequence": "7"}))
    assert bad.exit_code == 1
    assert bad.stdout.startswith("line 1: sequence: ")
    assert runner.invoke(app, ["schemas", "validate", "--as", "state"], input=b"").exit_code == 2


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = runner.invoke(app, ["schemas", "validate", str(tmp_path / "none.jsonl")])
    assert result.exit_code == 3
    assert "cannot be read" in result.stderr


def test_members_that_nobody_knows_are_allowed() -> None:
    for event in story():
        assert problems(canonical({**event, "traceparent": "x", "data": {**event["data"], "more": [1]}})) == []
