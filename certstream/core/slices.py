"""Splitting an answer into raw JSON slices.

A page keeps each record as its slice: equal bytes cannot hide a change, so an unchanged record is never decoded. A
record that JSON does not allow must not cost the others: a second, tolerant split looks at nothing but strings and
brackets, so that the sick one can be quarantined by whoever decodes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

Slice = msgspec.Raw | bytes
"""The JSON text of one record of a page, as it came."""

_ABSENT: Final = msgspec.Raw(b"")


class Parts(msgspec.Struct):
    """The members of an answer that matter, each as it came; `_ABSENT` where there is none."""

    CertificateList: list[msgspec.Raw]
    TotalCount: msgspec.Raw = _ABSENT
    CurrentPage: msgspec.Raw = _ABSENT
    ShowSize: msgspec.Raw = _ABSENT
    RequestId: msgspec.Raw = _ABSENT


_PARTS: Final = msgspec.json.Decoder(Parts)


def split(body: bytes) -> Parts | None:
    """The members of an answer, or None where it is no JSON object with a `CertificateList` array."""
    try:
        return _PARTS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return split_tolerantly(body)


# The tolerant split. Quantifiers are possessive, so that no answer can make it slow.
_MARK: Final = re.compile(rb"[ \t\n\r]*+([,:\[\]{}])[ \t\n\r]*+")
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb'[^\s,:\[\]{}"]++')
_STEP: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}"]', re.DOTALL)


class _Lost(Exception):
    """The scanner cannot tell where a value ends."""


def split_tolerantly(body: bytes) -> Parts | None:
    """As `split`, but what is inside a value need not be JSON as long as strings end and brackets match."""
    members: dict[str, tuple[int, int]] = {}
    records: list[msgspec.Raw] = []

    def member(at: int) -> int:
        if not (name := _STRING.match(body, at)):
            raise _Lost
        at = _past(body, name.end(), b":")
        end = _end(body, at)
        members[str(value_of(name.group()))] = at, end  # the last of a name counts, as with msgspec
        return end

    def record(at: int) -> int:
        end = _end(body, at)
        records.append(msgspec.Raw(body[at:end]))
        return end

    try:
        if _listed(body, _past(body, 0, b"{"), b"}", member) != len(body) or "CertificateList" not in members:
            return None
        _listed(body, _past(body, members["CertificateList"][0], b"["), b"]", record)
    except _Lost:
        return None
    total, number, size, request_id = (
        msgspec.Raw(body[slice(*members.get(name, (0, 0)))]) for name in Parts.__struct_fields__[1:]
    )
    return Parts(records, total, number, size, request_id)


def _listed(body: bytes, at: int, close: bytes, item: Callable[[int], int]) -> int:
    """Let `item` scan what commas separate from `at` on. Returns where the next token after `close` begins."""
    if not body.startswith(close, at):
        at = item(at)
        while (token := _MARK.match(body, at)) and token[1] == b",":
            at = item(token.end())
    return _past(body, at, close)


def _past(body: bytes, at: int, mark: bytes) -> int:
    """Where the token after the next one begins, which has to be `mark`."""
    if not (token := _MARK.match(body, at)) or token[1] != mark:
        raise _Lost
    return token.end()


def _end(body: bytes, at: int) -> int:
    """Where the value that begins at `at` ends."""
    if simple := _STRING.match(body, at) or _SCALAR.match(body, at):
        return simple.end()
    if body[at : at + 1] not in (b"{", b"["):
        raise _Lost
    open_brackets = bytearray()
    for step in _STEP.finditer(body, at):
        mark = body[step.start()]
        if mark in b"{[":
            open_brackets.append(mark + 2)  # in ASCII a bracket closes two after it opens
        elif mark in b"}]":
            if open_brackets.pop() != mark:
                raise _Lost
            if not open_brackets:
                return step.end()
        elif step.end() - step.start() == 1:  # a string that never ends
            raise _Lost
    raise _Lost


def value_of(raw: Slice) -> Any:
    """What a JSON text says, None where it is none."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def count_of(raw: Slice) -> int | None:
    """The number that a JSON text says, or that its string does; None where it is no count."""
    value = value_of(raw)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    return value if type(value) is int and 0 <= value < 1 << 63 else None
