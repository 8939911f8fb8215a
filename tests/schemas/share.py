"""`python -m tests.schemas.share`: copies the definitions of `schemas/common.json` into the files that use them.

Each file must stand alone: a `$ref` to another file cannot be resolved against an `$id` that is a URN (RFC 3986 §5.2.3
gives `urn:common.json`; jsonschema-rs refuses it), and registries want one self-contained text. A test says when a
copy has gone stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from tests.schemas.reading import SCHEMAS, schema_of, told

LOCAL = "#/$defs/"


def files() -> dict[str, dict[str, Any]]:
    """Every schema by its name, `common` among them. Raises Fatal for a file that is broken."""
    return {path.name.removesuffix(".json"): schema_of(path) for path in SCHEMAS.glob("*.json")}


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in a schema."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def shared(schema: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """The schema with fresh copies of what it uses of `common`, and without what it no longer uses."""
    known = common["$defs"]
    own = {name: part for name, part in schema["$defs"].items() if name not in known}
    used: set[str] = set()
    todo = [*references({**schema, "$defs": own})]
    while todo:
        name = todo.pop().removeprefix(LOCAL)
        if name in known and name not in used:
            used.add(name)
            todo += references(known[name])
    return {**schema, "$defs": {**own, **{name: part for name, part in known.items() if name in used}}}


def text(schema: dict[str, Any]) -> str:
    """A schema as it is written into its file."""
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def main() -> int:
    """Write the copies anew."""
    everything = files()
    for name, schema in everything.items():
        if name != "common":
            (SCHEMAS / f"{name}.json").write_text(text(shared(schema, everything["common"])), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(told(main))
