"""What an operator says, as it will stand in an event."""

from __future__ import annotations

from typing import Any

import orjson


def words(body: bytes) -> tuple[str, str]:
    """Who and why, of a request's JSON. Raises ValueError with what is wrong."""
    try:
        return checked(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise ValueError("the body is no JSON") from None


def checked(given: Any) -> tuple[str, str]:
    """Who and why. Raises ValueError with what is wrong."""
    found = []
    for name, longest in (("by", 100), ("why", 500)):
        text = given.get(name) if isinstance(given, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name} is missing: the body is an object with the texts by and why")
        if len(text) > longest or not text.isprintable():
            raise ValueError(f"{name} has at most {longest} characters, all of them printable")
        found.append(text.strip())
    if found[0].casefold() == "certstream":  # stands for what nobody asked for
        raise ValueError("by is certstream itself only when it decided alone: give the name of whoever confirms it")
    return found[0], found[1]
