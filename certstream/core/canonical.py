"""Canonical JSON (RFC 8785) and the hashes over it.

orjson with sorted keys gives RFC 8785 bytes for ASCII keys and integers within ±2^53; other numbers are turned into
strings of their source text before they get here (`core.normal`), and non-ASCII keys go through `rfc8785`, whose
order (UTF-16 code units) differs from orjson's (code points).
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import rfc8785


def canonical(value: dict[str, Any]) -> bytes:
    """The canonical bytes of a JSON object. Raises ValueError for what JSON cannot say (a lone surrogate)."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if _ascii_keys(value) else rfc8785.dumps(value)
    except (TypeError, UnicodeEncodeError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise ValueError(f"cannot be written as JSON: {error}") from error


def _ascii_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return all(key.isascii() and _ascii_keys(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_ascii_keys(item) for item in value)
    return True


def sha256(data: bytes) -> bytes:
    """32 bytes."""
    return hashlib.sha256(data).digest()
