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
    """A sentence for each place with breaking changes between two complete schemas; it begins with the place."""
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
    if told := _other_type(old, new):
        # What else was said of the value was said of its type.
        yield f"{at}: {told}"
        return
    if said := [*_values(old, new), *_limits(old, new), *_members(old, new), *_contents(old, new)]:
        yield f"{at}: {'; '.join(said)}"
    for name in sorted(old.properties.keys() & new.properties.keys()):
        inner = f"{place}.{name}" if place else name
        yield from _compare((before[0], old.properties[name]), (now[0], new.properties[name]), inner)
    for name in sorted(new.properties.keys() - old.properties.keys()) if old.members else ():
        yield from _compare((before[0], old.members), (now[0], new.properties[name]), f"{place}.{name}")
    if old.items and new.items:
        yield from _compare((before[0], old.items), (now[0], new.items), f"{place}[]")
    if old.members and new.members:
        yield from _compare((before[0], old.members), (now[0], new.members), f"{place}.*")


def _reached(types: set[str]) -> set[str]:
    """The types that a reader of any of these can expect: an integer is a number, too."""
    return types | {"number"} if "integer" in types else types


def _other_type(old: _View, new: _View) -> str | None:
    if not old.types:
        return None
    if new.types is None:
        return f"it may be of any type now, and was {_list(old.types)}"
    if not old.types & _reached(new.types):
        return f"its type changes from {_list(old.types)} to {_list(new.types)}"
    return None


def _values(old: _View, new: _View) -> Iterator[str]:
    if old.types and new.types and (more := {one for one in new.types if not _reached({one}) & old.types}):
        yield f"its type may be {_list(more)} now, too, and was {_list(old.types)}"
    if old.values is not None:
        if new.values is None:
            yield f"it may be anything now, and was {_one_of(old.values)}"
        elif grown := [value for value in new.values if value not in old.values]:
            yield f"it may be {_list(grown)} now, and was {_one_of(old.values)}"


def _one_of(values: Sequence[Any]) -> str:
    return f"{'one of ' * (len(values) > 1)}{_list(values)}"


def _limits(old: _View, new: _View) -> Iterator[str]:
    if old.patterns != new.patterns:
        yield f"its pattern is {_list(new.patterns) or 'gone'}, and was {_list(old.patterns) or 'none'}"
    for lost in sorted(old.formats - new.formats):
        yield f"it need no longer be a {lost}"
    for key, bound in old.bounds.items():
        there = new.bounds.get(key)
        looser = there is None or (there < bound if key in _LOWER else there > bound)
        if looser:
            yield f"its {key} is {'gone' if there is None else _number(there)}, and was {_number(bound)}"
    if old.unevaluated != new.unevaluated:
        yield "its unevaluatedProperties changed; objects stay open, so that members can be added later"
    for key, text in sorted(old.others - new.others):
        yield f"its {key} is no longer {text}"


def _number(value: float) -> str:
    """In full: 1000000, not 1e+06."""
    return f"{int(value)}" if float(value).is_integer() else f"{value}"


def _members(old: _View, new: _View) -> Iterator[str]:
    removed = old.properties.keys() - new.properties.keys()
    for name in sorted(old.required - new.required - removed):
        yield f"the member {name} may be absent now, and readers rely on it"
    for name in sorted(removed):
        yield f"the member {name} is no longer described (removed or renamed), and readers may use it"
    if new.closed and not old.closed:
        yield "the object is closed (additionalProperties); objects stay open, so that members can be added"


def _contents(old: _View, new: _View) -> Iterator[str]:
    if old.items and not new.items:
        yield "its items may be anything now"
    if old.members and not new.members and not new.closed:
        yield "its other members may be anything now"


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
