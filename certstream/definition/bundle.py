"""The same definitions in the forms that others need: one AsyncAPI file, and draft-07 per topic for registries."""

from __future__ import annotations

from typing import Any

from certstream.definition.files import ASYNCAPI, asyncapi, parse_yaml, schema, schema_names

DRAFT_07 = "http://json-schema.org/draft-07/schema#"
_NOT_OLDER = ("$schema", "$id", "$defs", "examples")


def bundled() -> dict[str, Any]:
    """The AsyncAPI document with each message's schema inside of it: it refers to no other file."""
    document = parse_yaml(asyncapi(), ASYNCAPI)
    for name, message in document["components"]["messages"].items():
        if message["payload"].get("$ref") == f"./{name}.json":
            # A `$ref` of a schema starts from this document's root now.
            message["payload"] = _moved(schema(name), f"#/components/messages/{name}/payload/")
    return document


def _moved(value: Any, there: str) -> Any:
    if isinstance(value, list):
        return [_moved(item, there) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: there + item.removeprefix("#/") if key == "$ref" else _moved(item, there)
        for key, item in value.items()
        if key not in ("$schema", "$id")
    }


def of_topic(topic: str) -> dict[str, Any] | None:
    """What a registry holds for a topic's values, in draft-07; None for a topic whose values are not JSON or private.

    Draft-07 is the newest that registries compare (Apicurio 3.3 answers 500 to 2020-12). `events` carries every kind:
    which schema an event follows is decided by its `type`, so that a new kind is no breaking change.
    """
    kinds = [name for name in schema_names() if name.split(".")[0] in ("certificate", "account")]
    if topic == "events":
        return _by_type(kinds)
    return _draft_07(topic) if topic in schema_names() else None


def _draft_07(name: str) -> dict[str, Any]:
    whole = schema(name)
    return {"$schema": DRAFT_07, **_older(whole), "definitions": _older_each(whole["$defs"])}


def _by_type(kinds: list[str]) -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    cases = []
    for kind in kinds:
        one = _draft_07(kind)
        type_ = one["properties"]["type"]["const"]
        prefix = f"#/definitions/{kind}."
        for name, part in one.pop("definitions").items():
            definitions[f"{kind}.{name}"] = _pointing(part, prefix)
        definitions[kind] = _pointing({key: item for key, item in one.items() if key != "$schema"}, prefix)
        then = {"$ref": f"#/definitions/{kind}"}
        cases.append({"if": {"properties": {"type": {"const": type_}}, "required": ["type"]}, "then": then})
    return {
        "$schema": DRAFT_07,
        "title": "The log of record",
        "description": "An event of any kind; more kinds may come. Its `type` decides what it follows.",
        "type": "object",
        "properties": {"type": {"type": "string", "description": "CloudEvents type."}},
        "required": ["type"],
        "allOf": cases,
        "definitions": definitions,
    }


def _pointing(value: Any, prefix: str) -> Any:
    if isinstance(value, list):
        return [_pointing(item, prefix) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: item.replace("#/definitions/", prefix) if key == "$ref" else _pointing(item, prefix)
        for key, item in value.items()
    }


def _older(value: Any) -> Any:
    """A 2020-12 schema in draft-07's words; only what the files in `schemas/` use is known here."""
    if isinstance(value, list):
        return [_older(item) for item in value]
    if not isinstance(value, dict):
        return value
    older: dict[str, Any] = {}
    for key, item in value.items():
        match key:
            case "$ref":
                older[key] = item.replace("#/$defs/", "#/definitions/")
            case "properties":
                older[key] = _older_each(item)
            case "dependentRequired":
                older["dependencies"] = item
            case "const" | "enum":
                older[key] = item
            case _ if key not in _NOT_OLDER:
                older[key] = _older(item)
    return older


def _older_each(schemas: dict[str, Any]) -> dict[str, Any]:
    return {name: _older(part) for name, part in schemas.items()}
