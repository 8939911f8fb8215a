"""The AsyncAPI document with every reference followed and every trait merged, for readers that do neither."""

from __future__ import annotations

from typing import Any

from certstream.core.errors import Fatal
from certstream.definition.files import ASYNCAPI, MEND, asyncapi, parse_yaml, schema

_DEEP = 64
"""References within references; more is a circle."""


def asyncapi_document() -> dict[str, Any]:
    """The document as it is written, parsed; a new copy."""
    return parse_yaml(asyncapi(), ASYNCAPI)


def resolved(document: dict[str, Any]) -> dict[str, Any]:
    """A new copy without `$ref` and `traits`. Raises Fatal where a reference leads nowhere, or round in a circle."""
    found: dict[str, Any] = _resolved(document, document, _DEEP)
    return found


def _resolved(value: Any, root: dict[str, Any], deep: int) -> Any:
    if isinstance(value, list):
        return [_resolved(item, root, deep) for item in value]
    if not isinstance(value, dict):
        return value
    own = {name: item for name, item in value.items() if name != "$ref"}
    if not isinstance(value.get("$ref"), str):
        found = {name: _resolved(item, root, deep) for name, item in own.items() if name != "$defs"}
        # AsyncAPI 3.0, Traits Merge Mechanism: what the message says itself wins.
        for trait in found.pop("traits") if isinstance(found.get("traits"), list) else ():
            found = {**trait, **found}
        return found
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
