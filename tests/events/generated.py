"""Records made from the schemas themselves: what a schema allows, whether certstream ever writes it or not."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.schemas.test_files import ALL, follow

WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
LATER = st.dictionaries(st.from_regex(r"later[a-z]{0,4}", fullmatch=True), ANYTHING, max_size=1)
"""Members that a later version adds."""
INSTANTS = st.datetimes().map(lambda when: when.isoformat(timespec="milliseconds") + "Z")


def records(kind: str) -> st.SearchStrategy[Any]:
    """Records of a kind: `certificate.new`, `account.digest`, `inventory`, …"""
    return _values(ALL[kind], ALL[kind])


def _values(root: dict[str, Any], part: dict[str, Any]) -> st.SearchStrategy[Any]:
    part = follow(root, part)
    if "const" in part:
        return st.just(part["const"])
    if "enum" in part:
        return st.sampled_from(part["enum"])
    if part.get("format") == "date-time":
        return INSTANTS
    if not part.keys() & {"type", "properties", "required"}:
        return ANYTHING.filter(lambda value: value is not None)
    kinds = part.get("type", "object")
    return st.one_of(*(_typed(root, part, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)))


def _typed(root: dict[str, Any], part: dict[str, Any], kind: str) -> st.SearchStrategy[Any]:
    match kind:
        case "object":
            return _objects(root, part)
        case "array":
            items = _values(root, part["items"])
            unique = repr if part.get("uniqueItems") else None
            return st.lists(items, min_size=part.get("minItems", 0), max_size=3, unique_by=unique)
        case "integer":
            return st.integers(part.get("minimum", -(2**53)), part.get("maximum", 2**53))
        case "boolean":
            return st.booleans()
        case _:
            return st.sampled_from(part["examples"]) if "pattern" in part else WORDS.filter(bool)


def _objects(root: dict[str, Any], part: dict[str, Any]) -> st.SearchStrategy[Any]:
    known = {name: _values(root, field) for name, field in part.get("properties", {}).items()}
    required = set(part.get("required", ()))
    fixed = st.fixed_dictionaries(
        {name: known[name] for name in known if name in required},
        optional={name: known[name] for name in known if name not in required},
    )
    if "additionalProperties" in part:
        more = st.dictionaries(WORDS, _values(root, part["additionalProperties"]), max_size=2)
    elif not known:
        more = st.dictionaries(WORDS, ANYTHING, max_size=2)
    else:
        more = LATER
    both = st.builds(lambda one, other: {**other, **one}, fixed, more)
    together = part.get("dependentRequired", {})
    return both.filter(
        lambda value: (
            len(value) >= part.get("minProperties", 0)
            and all(other in value for name in together if name in value for other in together[name])
        )
    )
