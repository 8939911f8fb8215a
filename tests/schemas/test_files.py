"""The files in `schemas/`: valid, complete in themselves, described, and their examples tell one story."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import orjson
import pytest

from tests.schemas.reading import SCHEMAS
from tests.schemas.share import files, references, shared, text
from tests.schemas.validate import problems, problems_of

KINDS = ("discovered", "new", "revoked", "expiring", "expired", "changed", "deleted")
ACCOUNT = ("baselined", "digest", "suspect", "released", "paused", "resumed", "sweeprequested", "forgotten")
EVENTS = (*(f"certificate.{kind}" for kind in KINDS), *(f"account.{kind}" for kind in ACCOUNT))
ALL = files()
MESSAGES = sorted(ALL.keys() - {"common"})
SOURCE = re.compile(r"\(API: \w|Source: (the )?(certstream|API|X\.509|configuration|operator)")
"""Where a field comes from: the API's field, the certificate's content, the configuration, a person, certstream."""


def canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def follow(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part with what its `$ref` (also through one `allOf`) gives; its own words win."""
    for one in part.get("allOf", []):
        part = {**follow(schema, one), **part}
    if "$ref" in part:
        part = {**follow(schema, schema["$defs"][part["$ref"].removeprefix("#/$defs/")]), **part}
    return part


def fields(schema: dict[str, Any], part: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property and item that a schema names, with where."""
    if not isinstance(part, dict):
        return
    for name, field in part.get("properties", {}).items():
        if field.keys() != {"required"}:  # `{"certificate": {"required": […]}}` only demands, it does not define
            yield f"{place}.{name}", follow(schema, field)
        yield from fields(schema, field, f"{place}.{name}")
    for key in ("items", "additionalProperties"):
        if key in part:
            yield f"{place}[]", follow(schema, part[key])
            yield from fields(schema, part[key], f"{place}[]")


def test_there_is_one_file_for_every_message() -> None:
    assert set(MESSAGES) == {*EVENTS, "inventory", "accounts", "quarantine"}


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_schema_is_valid_2020_12_and_named_by_its_urn(name: str) -> None:
    schema = ALL[name]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:certstream:schema:{name}:1"
    jsonschema_rs.meta.validate(schema)


@pytest.mark.parametrize("name", sorted(ALL))
def test_objects_are_open(name: str) -> None:
    assert '"additionalProperties": false' not in text(ALL[name])
    assert "unevaluatedProperties" not in text(ALL[name])


@pytest.mark.parametrize("name", MESSAGES)
def test_a_file_stands_alone_and_its_copies_are_fresh(name: str) -> None:
    schema = ALL[name]
    assert {reference.removeprefix("#/$defs/") for reference in references(schema)} <= schema["$defs"].keys()
    written = (SCHEMAS / f"{name}.json").read_text("utf-8")
    assert written == text(shared(schema, ALL["common"])), "run: python -m tests.schemas.share"


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_field_has_a_description_and_an_example_that_fits(name: str) -> None:
    schema = ALL[name]
    found = list(fields(schema, schema))
    for part_name, part in schema["$defs"].items():
        found += [(part_name, follow(schema, part)), *fields(schema, part, part_name)]
    for place, field in found:
        assert field.get("description"), place
        assert SOURCE.search(field["description"]) or place.endswith(".data") or place == "data", place
        assert field.get("examples"), place
        bare = {**field, "$defs": schema["$defs"]}
        check = jsonschema_rs.Draft202012Validator(bare, validate_formats=True)
        for example in field["examples"]:
            assert check.is_valid(example), f"{place}: {example}"


@pytest.mark.parametrize("field", ["status", "algorithm", "certificateType", "signAlgorithm", "countryCode"])
def test_words_of_the_api_that_nobody_knows_are_valid(field: str) -> None:
    for name in MESSAGES:
        (example, *_) = ALL[name]["examples"]
        record = json.loads(canonical(example))
        certificate = record.get("data", record).get("certificate")
        if certificate is not None and not (field == "status" and name == "certificate.revoked"):
            certificate[field] = "BRAND-NEW"
            certificate["extra"] = {"NewField": {"deep": [1, None]}}
            check = jsonschema_rs.Draft202012Validator(ALL[name], validate_formats=True)
            assert check.is_valid(record), name


@pytest.mark.parametrize("name", MESSAGES)
def test_every_example_is_valid(name: str) -> None:
    examples = ALL[name]["examples"]
    assert examples
    for example in examples:
        assert problems_of(name, canonical(example)) == []
        if name in EVENTS:
            assert problems(canonical(example)) == []


def story() -> list[dict[str, Any]]:
    """The example events of all files, by sequence."""
    return sorted(
        (example for name in EVENTS for example in ALL[name]["examples"]), key=lambda event: event["sequence"]
    )


def test_the_example_events_are_one_history_with_true_hashes() -> None:
    previous, by_certificate = "0" * 64, dict[str, str]()
    for number, event in enumerate(story(), 1):
        place = f"{event['type']}, sequence {event['sequence']}"
        assert int(event["sequence"]) == number, place
        assert event["prevhash"] == previous, place
        previous = hashlib.sha256(canonical(event)).hexdigest()
        if event["type"].startswith("certstream.certificate."):
            assert event["certprevhash"] == by_certificate.get(event["subject"], "0" * 64), place
            by_certificate[event["subject"]] = previous


def test_the_inventory_examples_are_the_fold_of_the_example_events() -> None:
    events = {event["sequence"]: event for event in story()}
    for row in ALL["inventory"]["examples"]:
        event = events[row["sequence"]]
        assert row["hash"] == hashlib.sha256(canonical(event)).hexdigest()
        assert (row["identifier"], row["lineage"]) == (event["subject"], event["lineage"])
        assert row["certificate"] == event["data"]["certificate"]


def test_the_digest_example_can_be_rebuilt() -> None:
    (event,) = ALL["account.digest"]["examples"]
    rows = [row for row in ALL["inventory"]["examples"] if row["lifecycle"] == "revoked"]
    lines = sorted(f"{row['identifier']} {hashlib.sha256(canonical(row)).hexdigest()}\n" for row in rows)
    assert event["data"]["digest"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert event["data"]["count"] == len(lines)


@pytest.mark.parametrize("name", EVENTS)
def test_type_and_dataschema_name_the_file(name: str) -> None:
    schema = ALL[name]
    assert schema["properties"]["type"]["const"] == f"certstream.{name}.v1"
    urn, pointer = schema["properties"]["dataschema"]["const"].split("#")
    assert urn == schema["$id"]
    assert pointer == "/$defs/data"
    assert schema["properties"]["data"] == {"$ref": "#/$defs/data"}


@pytest.mark.parametrize("name", EVENTS)
def test_attribute_names_are_cloudevents_names(name: str) -> None:
    # CloudEvents 1.0, Naming conventions: lower-case letters and digits, at most 20 characters for extensions.
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", attribute) for attribute in ALL[name]["properties"])
