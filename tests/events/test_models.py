"""The typed models say what the schemas say, in both directions, and read what the schemas allow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from certstream.events import (
    CLASSES,
    AccountHealth,
    CertificateRevoked,
    InventoryRow,
    NotAnEvent,
    QuarantinedRecord,
    UnknownEvent,
    decode,
    decode_record,
)
from tests.events.generated import records
from tests.schemas.test_files import ALL, EVENTS, MESSAGES, canonical, follow
from tests.schemas.validate import validator

RECORDS: dict[str, Any] = {"inventory": InventoryRow, "accounts": AccountHealth, "quarantine": QuarantinedRecord}
JSON_TYPES: dict[type[inspect.Type], str] = {
    inspect.StrType: "string",
    inspect.DateTimeType: "date-time",
    inspect.IntType: "integer",
    inspect.BoolType: "boolean",
    inspect.VarTupleType: "array",
    inspect.DictType: "object",
    inspect.StructType: "object",
}


def model(kind: str) -> Any:
    return RECORDS.get(kind) or CLASSES[ALL[kind]["properties"]["type"]["const"]]


def read(kind: str, value: bytes) -> msgspec.Struct:
    return decode_record(value, RECORDS[kind]) if kind in RECORDS else decode(value)


def said(part: dict[str, Any]) -> Any:
    """What a schema allows a value to be: a set of JSON types, closed words, or None for anything."""
    if "enum" in part:  # also where one kind of event has only one of the words: `lifecycle`
        return set(part["enum"])
    if part.get("const", "").startswith(("1.0", "application/", "certstream.")):
        return {part["const"]}
    if part.get("format") == "date-time":
        return {"date-time"}
    if not part.keys() & {"type", "properties"}:
        return None
    kinds = part.get("type", "object")
    return {kinds} if isinstance(kinds, str) else set(kinds)


def held(kind: inspect.Type) -> Any:
    """The same of a model's field."""
    if isinstance(kind, inspect.AnyType):
        return None
    if isinstance(kind, inspect.LiteralType):
        return set(kind.values)
    return {JSON_TYPES[type(one)] for one in options(kind)}


def options(kind: inspect.Type) -> list[inspect.Type]:
    kinds = list(kind.types) if isinstance(kind, inspect.UnionType) else [kind]
    return [one for one in kinds if not isinstance(one, inspect.NoneType)]


def differences(root: dict[str, Any], part: dict[str, Any], kind: inspect.Type, place: str) -> Iterator[str]:
    """Where a model and a schema do not say the same."""
    part = follow(root, part)
    if said(part) != held(kind):
        yield f"{place}: the schema says {said(part)}, the model {held(kind)}"
    for one in options(kind):
        if isinstance(one, inspect.StructType):
            yield from _members(root, part, one, place)
        elif isinstance(one, inspect.VarTupleType):
            yield from differences(root, part["items"], one.item_type, f"{place}[]")
        elif isinstance(one, inspect.DictType) and "additionalProperties" in part:
            yield from differences(root, part["additionalProperties"], one.value_type, f"{place}{{}}")


def _members(root: dict[str, Any], part: dict[str, Any], struct: inspect.StructType, place: str) -> Iterator[str]:
    properties: dict[str, Any] = part.get("properties", {})
    fields = {field.encode_name: field for field in struct.fields}
    yield from (f"{place}.{name}: not in the model" for name in properties.keys() - fields.keys())
    yield from (f"{place}.{name}: not in the schema" for name in fields.keys() - properties.keys())
    for name in properties.keys() & fields.keys():
        if (name in part.get("required", ())) != fields[name].required:
            yield f"{place}.{name}: required in one, not in the other"
        yield from differences(root, properties[name], fields[name].type, f"{place}.{name}")


def written(record: msgspec.Struct) -> Any:
    """What a model holds, as the wire has it."""
    return comparable(msgspec.to_builtins(record, builtin_types=(datetime,)))


def comparable(value: Any) -> Any:
    """Plain JSON values; a `returned` that is false is as good as absent, nothing else is."""
    if isinstance(value, dict):
        return {name: comparable(item) for name, item in value.items() if (name, item) != ("returned", False)}
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def without_later(root: dict[str, Any], part: dict[str, Any], value: Any) -> Any:
    """A record without the members that its schema does not name."""
    part = follow(root, part)
    if isinstance(value, dict):
        properties, others = part.get("properties", {}), part.get("additionalProperties")
        if not properties and others is None:
            return value
        kept = {name: properties.get(name, others) for name in value if name in properties or others is not None}
        return {name: without_later(root, inner, value[name]) for name, inner in kept.items()}
    return [without_later(root, part["items"], item) for item in value] if "items" in part else value


def test_every_message_of_the_schemas_has_a_model_and_every_model_a_message() -> None:
    assert {f"certstream.{name}.v1" for name in EVENTS} == set(CLASSES)
    assert {*EVENTS, *RECORDS} == set(MESSAGES)


@pytest.mark.parametrize("kind", MESSAGES)
def test_model_and_schema_name_the_same_members_of_the_same_types(kind: str) -> None:
    assert list(differences(ALL[kind], ALL[kind], inspect.type_info(model(kind)), kind)) == []


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_example_decodes_and_loses_nothing(kind: str) -> None:
    for example in ALL[kind]["examples"]:
        record = read(kind, canonical(example))
        assert type(record) is model(kind)
        assert written(record) == comparable(example)


@pytest.mark.parametrize("kind", MESSAGES)
def test_whatever_the_schema_allows_decodes_and_only_unknown_members_are_lost(kind: str) -> None:
    @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def hold(data: st.DataObject) -> None:
        value = data.draw(records(kind))
        assert validator(kind).is_valid(value)
        record = read(kind, msgspec.json.encode(value))
        assert type(record) is model(kind)
        assert written(record) == comparable(without_later(ALL[kind], ALL[kind], value))

    hold()


def test_an_unknown_type_is_an_unknown_event() -> None:
    event = {**ALL["certificate.revoked"]["examples"][0], "type": "certstream.certificate.revoked.v2", "data": [1]}
    record = decode(canonical(event))
    assert isinstance(record, UnknownEvent)
    assert (record.type, record.id, record.data) == (event["type"], event["id"], [1])


@pytest.mark.parametrize("value", [b"", b"null", b"[]", b'{"type":1}', b'"\xff"', b"{}", b"[" * 100_000])
def test_what_is_no_event_is_refused(value: bytes) -> None:
    with pytest.raises(NotAnEvent):
        decode(value)
    with pytest.raises(NotAnEvent):
        decode_record(value, InventoryRow)


def test_an_event_without_a_required_member_is_refused_by_name() -> None:
    event = {**ALL["certificate.revoked"]["examples"][0]}
    del event["prevhash"]
    with pytest.raises(NotAnEvent, match="prevhash"):
        decode(canonical(event))


def test_the_names_are_those_of_python() -> None:
    event = decode(canonical(ALL["certificate.revoked"]["examples"][0]))
    assert isinstance(event, CertificateRevoked)
    assert event.data.certificate.subject_dn is not None
    assert event.data.changes["status"].from_ == "ISSUE"
    assert event.time.tzinfo is not None


def test_a_reader_loads_nothing_of_the_service() -> None:
    script = "import sys, certstream.events; print(*[m for m in sys.modules if m.startswith(('certstream', 'aio'))])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert all(name == "certstream" or name.startswith("certstream.events") for name in modules), modules
