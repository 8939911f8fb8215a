"""What in a newer JSON Schema would surprise a reader of an older one, as sentences.

A change is breaking where a record that the newer schema allows could be refused by the older one (forward
compatibility), or where a reader loses a word of what it relies on. References and `allOf` are looked through: moving a
definition is no change. What is not understood here is judged by `jsoncompat` (`tests.schemas.compat`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "$comment", "title", "description", "examples", "default"})
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


@dataclass(slots=True)
class _View:
    """What several schemas together, references looked up, say of one value."""

    types: set[str] | None = None
    values: list[Any] | None = None
    required: set[str] = field(default_factory=set)
    properties: dict[str, list[Any]] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)
    members: list[Any] = field(default_factory=list)
    """`additionalProperties`, where it is a schema; `closed`, where it is false."""
    closed: bool = False
    bounds: dict[str, float] = field(default_factory=dict)
    patterns: set[str] = field(default_factory=set)
    formats: set[str] = field(default_factory=set)
    unevaluated: set[str] = field(default_factory=set)
    others: set[tuple[str, str]] = field(default_factory=set)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """A sentence for each breaking change between two complete schemas; each begins with the place."""
    found = [
        f"{key} is {new.get(key)!r}, and was {old.get(key)!r}"
        for key in ("$schema", "$id")
        if old.get(key) != new.get(key)
    ]
    return found + list(_compare((old, [old]), (new, [new]), ""))


_Side = tuple[dict[str, Any], Sequence[Any]]
"""The whole file, in which references lead somewhere, and the schemas that a value must satisfy."""


def _compare(before: _Side, now: _Side, place: str) -> Iterator[str]:
    old, new = _view(*before), _view(*now)
    at = place or "the record"
    yield from _values(old, new, at)
    yield from _limits(old, new, at)
    yield from _members(old, new, at)
    for name in sorted(old.properties.keys() & new.properties.keys()):
        inner = f"{place}.{name}" if place else name
        yield from _compare((before[0], old.properties[name]), (now[0], new.properties[name]), inner)
    for name in sorted(new.properties.keys() - old.properties.keys()) if old.members else ():
        yield from _compare((before[0], old.members), (now[0], new.properties[name]), f"{place}.{name}")
    if old.items and new.items:
        yield from _compare((before[0], old.items), (now[0], new.items), f"{place}[]")
    elif old.items:
        yield f"{at}: its items may be anything now"
    if old.members and new.members:
        yield from _compare((before[0], old.members), (now[0], new.members), f"{place}.*")
    elif old.members and not new.closed:
        yield f"{at}: its other members may be anything now"


def _values(old: _View, new: _View, at: str) -> Iterator[str]:
    if old.types is not None:
        more = new.types - old.types if new.types is not None else None
        if more == {"integer"} and "number" in old.types:
            more = set()
        if more is None:
            yield f"{at} may be of any type now, and was {_list(old.types)}"
        elif more:
            yield f"{at} may be {_list(more)} now, and was {_list(old.types)}"
    if old.values is not None:
        if new.values is None:
            yield f"{at} may be anything now, and was one of {_list(old.values)}"
        elif grown := [value for value in new.values if value not in old.values]:
            yield f"{at} may be {_list(grown)} now, and was {'one of ' * (len(old.values) > 1)}{_list(old.values)}"


def _limits(old: _View, new: _View, at: str) -> Iterator[str]:
    if old.patterns != new.patterns:
        yield f"{at}: its pattern is {_list(new.patterns) or 'gone'}, and was {_list(old.patterns) or 'none'}"
    for lost in sorted(old.formats - new.formats):
        yield f"{at} needs no longer be a {lost}"
    for key, bound in old.bounds.items():
        there = new.bounds.get(key)
        looser = there is None or (there < bound if key in _LOWER else there > bound)
        if looser:
            yield f"{at}: {key} is {'gone' if there is None else f'{there:g}'}, and was {bound:g}"
    if old.unevaluated != new.unevaluated:
        yield f"{at}: its unevaluatedProperties changed; objects stay open, so that members can be added later"
    for key, text in sorted(old.others - new.others):
        yield f"{at}: its {key} is no longer {text}"


def _members(old: _View, new: _View, at: str) -> Iterator[str]:
    for name in sorted(old.required - new.required):
        yield f"{at}: the member {name} may be absent now, and readers rely on it"
    for name in sorted(old.properties.keys() - new.properties.keys()):
        yield f"{at}: the member {name} is no longer described (removed or renamed), and readers may use it"
    if new.closed and not old.closed:
        yield f"{at}: the object is closed (additionalProperties); objects stay open, so that members can be added"


def _view(root: dict[str, Any], schemas: Sequence[Any]) -> _View:
    view = _View()
    for schema in _flat(root, schemas):
        for key, value in schema.items():
            _take(view, key, value)
    return view


def _flat(root: dict[str, Any], schemas: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Each schema, and what its `$ref` and `allOf` bring, as plain objects without the two."""
    for schema in schemas:
        if not isinstance(schema, dict):
            yield {} if schema else {"not": {}}
            continue
        if "$ref" in schema:
            yield from _flat(root, [_target(root, schema["$ref"])])
        yield from _flat(root, schema.get("allOf", []))
        yield {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}


def _target(root: dict[str, Any], reference: str) -> Any:
    value: Any = root
    for part in reference.removeprefix("#/").split("/"):
        value = value[part.replace("~1", "/").replace("~0", "~")]
    return value


def _take(view: _View, key: str, value: Any) -> None:
    match key:
        case "type":
            types = {value} if isinstance(value, str) else set(value)
            view.types = types if view.types is None else view.types & types
        case "const" | "enum":
            allowed = [value] if key == "const" else list(value)
            view.values = allowed if view.values is None else [one for one in view.values if one in allowed]
        case "required":
            view.required |= set(value)
        case "properties":
            for name, part in value.items():
                view.properties.setdefault(name, []).append(part)
        case "items":
            view.items.append(value)
        case "additionalProperties":
            if isinstance(value, dict):
                view.members.append(value)
            else:
                view.closed |= not value
        case "pattern":
            view.patterns.add(value)
        case "format":
            view.formats.add(value)
        case "unevaluatedProperties":
            view.unevaluated.add(_text(value))
        case _ if key in _LOWER:
            view.bounds[key] = max(value, view.bounds.get(key, value))
        case _ if key in _UPPER:
            view.bounds[key] = min(value, view.bounds.get(key, value))
        case _ if key not in ANNOTATIONS:
            view.others.add((key, _text(value)))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _list(values: Any) -> str:
    return " or ".join(sorted(value if isinstance(value, str) else _text(value) for value in values))
