"""Whether a record is what its schema says: formats are checked, members that nobody knows are allowed."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jsonschema_rs
import orjson

from certstream.definition.files import schema, schema_names


class Problem(NamedTuple):
    """What is wrong, and where: `data.certificate.sans[0].type`, empty for the record itself."""

    path: str
    reason: str


def problems(value: bytes, name: str | None = None) -> list[Problem]:
    """What is wrong with a record's bytes; nothing for a good one.

    `name` is the schema's (`inventory`, `certificate.new`); None: an event, whose `type` says it.
    Raises KeyError for a name that is not in `schema_names`.
    """
    try:
        record = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return [Problem("", f"not JSON: {error}")]
    if name is None:
        if not isinstance(record, dict) or not isinstance(kind := record.get("type"), str):
            return [Problem("type", "missing: this is no event (a row of another topic is validated by its name)")]
        if kind not in _names():
            return [Problem("type", f"no schema of this version for {kind!r}")]
        name = _names()[kind]
    found = [(_path(error.instance_path), error) for error in _validator(name).iter_errors(record)]
    # Of a value of the wrong type nothing else is worth saying.
    mistyped = {path for path, error in found if _is_type(error)}
    return [Problem(path, _reason(error)) for path, error in found if path not in mistyped or _is_type(error)]


def _is_type(error: jsonschema_rs.ValidationError) -> bool:
    return isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Type)


def _reason(error: jsonschema_rs.ValidationError) -> str:
    """In words, also where the library quotes the schema that must not hold: `{"pattern":"^0000"} is not allowed`."""
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Not):
        match error.kind.schema:
            case {"pattern": pattern}:
                return f"{orjson.dumps(error.instance).decode()} must not match {orjson.dumps(pattern).decode()}"
            case {"const": _}:
                return f"{orjson.dumps(error.instance).decode()} is not allowed here"
            case {"required": [name]}:
                return f"the member {name} is not allowed here"
    return error.message


@cache
def _names() -> dict[str, str]:
    """`type` of an event → its schema's name."""
    types = ((schema(name).get("properties", {}).get("type", {}).get("const"), name) for name in schema_names())
    return {type_: name for type_, name in types if type_}


@cache
def _validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema(name), validate_formats=True, offline=True)


def _path(parts: list[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")
