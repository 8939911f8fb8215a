"""The AsyncAPI document with every reference followed, for readers that follow none."""

from __future__ import annotations

from typing import Any

from certstream.core.errors import Fatal
from certstream.definition.files import ASYNCAPI, MEND, asyncapi, parse_yaml, schema

_DEEP = 64
"""References within references; more is a circle."""


def resolved_asyncapi() -> dict[str, Any]:
    """The document, a new copy, without `$ref`. Raises Fatal where one leads nowhere or round in a circle."""
    root = parse_yaml(asyncapi(), ASYNCAPI)
    found: dict[str, Any] = _resolved(root, root, _DEEP)
    return found


def _resolved(value: Any, root: dict[str, Any], deep: int) -> Any:
    if isinstance(value, list):
        return [_resolved(item, root, deep) for item in value]
    if not isinstance(value, dict):
        return value
    own = {name: item for name, item in value.items() if name != "$ref"}
    if not isinstance(value.get("$ref"), str):
        return {name: _resolved(item, root, deep) for name, item in own.items() if name != "$defs"}
    if deep == 0:
        raise Fatal(f"schemas/: the $refs go round in a circle at {value['$ref']!r}: {MEND}")
    target, home = _target(value["$ref"], root)
    return {**_resolved(target, home, deep - 1), **_resolved(own, root, deep)}


def _target(reference: str, root: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What a reference points at, and the document that it is in."""
    name, _, pointer = reference.partition("#")
    try:
        home = schema(name.removeprefix("./").removesuffix(".json")) if name else root
        found: Any = home
        for part in pointer.split("/")[1:]:
            found = found[part.replace("~1", "/").replace("~0", "~")]
    except (KeyError, TypeError):
        raise Fatal(f"schemas/: $ref {reference!r} points at nothing: {MEND}") from None
    return found, home
