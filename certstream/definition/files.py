"""Finding and reading the files of `schemas/`: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache, partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import yaml

from certstream.core.errors import Fatal

ASYNCAPI = "asyncapi.yaml"
MEND = "mend it there, or restore the file from its release: reinstall certstream"
Place = tuple[str | int, ...]
"""Keys and indexes, from the root of a file."""
_BOUNDS = (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems"))


@cache
def folder() -> Traversable:
    """The folder `schemas`. Raises Fatal where there is none."""
    installed = files("certstream") / "schemas"
    if (installed / ASYNCAPI).is_file():
        return installed
    checkout = Path(__file__).resolve().parents[2] / "schemas"
    if (checkout / ASYNCAPI).is_file():
        return checkout
    raise Fatal(f"schemas/{ASYNCAPI} is neither in the installed package nor beside it: {MEND}")


@cache
def schema_names() -> tuple[str, ...]:
    """The messages that have a JSON Schema, sorted: `account.baselined`, …, `certificate.new`, `inventory`, …"""
    names = (item.name.removesuffix(".json") for item in folder().iterdir() if item.name.endswith(".json"))
    return tuple(sorted(name for name in names if name != "common"))


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one message, complete in itself; a new copy each time.

    Raises KeyError for a name that is not in `schema_names`, Fatal for a file that cannot be read.
    """
    if kind not in schema_names():
        raise KeyError(kind)
    return _object(f"{kind}.json")


def asyncapi() -> bytes:
    """The AsyncAPI document's text, as it is published."""
    return _bytes(ASYNCAPI)


def _bytes(name: str) -> bytes:
    try:
        return (folder() / name).read_bytes()
    except OSError as error:
        raise Fatal(f"schemas/{name} cannot be read ({error.strerror}): {MEND}") from error


@cache
def check_schemas() -> None:
    """See that every message's schema is one, once in a process. Raises Fatal that names the file and the line."""
    for name in schema_names():
        text, file = _bytes(f"{name}.json"), f"{name}.json"
        check_examples(text, file, parse_schema(text, file))


def parse_schema(text: bytes, name: str) -> dict[str, Any]:
    """A JSON Schema. Raises Fatal that names the file and the line of what is broken or contradicts JSON Schema."""
    value = _parse_json(text, name)
    json.loads(text, object_pairs_hook=partial(_once, text, name))
    try:
        jsonschema_rs.meta.validate(value)
        jsonschema_rs.Draft202012Validator(value, offline=True)  # every `$ref` leads somewhere
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        path = getattr(error, "instance_path", ()) or _leading_nowhere(value, error)
        raise _wrong(text, name, path, str(getattr(error, "message", error))) from error
    for path, reason in _crossed(value):
        raise _wrong(text, name, path, reason)
    return value


def check_examples(text: bytes, name: str, schema: dict[str, Any]) -> None:
    """See that a schema allows its own examples: what no record could satisfy does not. Raises Fatal as above."""
    check = jsonschema_rs.Draft202012Validator(schema, offline=True, validate_formats=True)
    for number, example in enumerate(schema.get("examples", ()), 1):
        for error in check.iter_errors(example):
            at = " ".join(map(str, error.instance_path)) or "the record"
            reason = f"this refuses {at} of the file's own example {number}: {error.message}"
            raise _wrong(text, name, error.schema_path, reason)


def _once(text: bytes, name: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, which would silently keep the last of a key given twice."""
    if len(found := dict(pairs)) < len(pairs):
        parse_yaml(text, name)  # JSON is YAML; it refuses that with the line, and takes too long for every start
    return found


def places(value: Any, path: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every object in a value of JSON or YAML, with where it stands."""
    if isinstance(value, dict):
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def _crossed(schema: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Bounds that leave no value between them; those of members that no example has, too."""
    for path, part in places(schema):
        for low, high in _BOUNDS:
            least, most = part.get(low), part.get(high)
            if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
                yield (*path, low), f"{low} {least} is above {high} {most}, so that nothing is valid here"


def _leading_nowhere(schema: dict[str, Any], error: Exception) -> Place:
    """Where the reference stands that the error says leads nowhere; the file itself where it does not say."""
    pointers = re.findall("'([^']+)'", str(error))
    found = ((*path, "$ref") for path, part in places(schema) for one in pointers if one in str(part.get("$ref")))
    return next(found, ())


def _wrong(text: bytes, name: str, path: Sequence[str | int], reason: str) -> Fatal:
    place = f", {' '.join(map(str, path))}" if path else ""
    first = reason.splitlines()[0]
    told = first if len(first) <= 300 else f"{first[:140]} … {first[-140:]}"
    return Fatal(f"schemas/{name} line {line_of(text, path)}{place}: {told}: {MEND}")


def _object(name: str) -> dict[str, Any]:
    return _parse_json(_bytes(name), name)


def _parse_json(text: bytes, name: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Fatal(f"schemas/{name} {where}: not JSON: {error.msg}: {MEND}") from error
    if not isinstance(value, dict):
        raise Fatal(f"schemas/{name} is not a JSON object: {MEND}")
    return value


def line_of(text: bytes, path: Sequence[str | int]) -> int:
    """The line, from 1, of what stands at `path` in YAML or JSON, or of the deepest part of it that is there.
    `$ref`s into the same file are followed."""
    root = node = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in path:
        if (following := _child(_followed(root, node), part)) is None:
            break
        node = following
    return int(node.start_mark.line) + 1 if node is not None else 1


def _followed(root: yaml.Node | None, node: yaml.Node | None) -> yaml.Node | None:
    for _ in range(8):
        reference = _child(node, "$ref")
        if not isinstance(reference, yaml.ScalarNode) or not reference.value.startswith("#/"):
            break
        node = root
        for part in reference.value[2:].split("/"):
            node = _child(node, part)
    return node


def _child(node: yaml.Node | None, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and str(part).isdigit() and int(part) < len(node.value):
        found: yaml.Node = node.value[int(part)]
        return found
    return None


class _Strict(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice; YAML itself would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} is given twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def parse_yaml(text: bytes, name: str) -> dict[str, Any]:
    """A YAML mapping. Raises Fatal that names the file and, where known, the line."""
    try:
        value = yaml.load(text, Loader=_Strict)
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise Fatal(f"schemas/{name}{line}: {problem}: {MEND}") from error
    if not isinstance(value, dict):
        raise Fatal(f"schemas/{name} is not a mapping: {MEND}")
    return value
