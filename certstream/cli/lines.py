"""One event, one line for a person. Pure: the event in, styled text out.

Everything that a certificate says is hostile: it is escaped here, and never parsed as markup (`rich.text.Text`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from certstream.core.times import parse_rfc3339

STYLES = {
    "discovered": "cyan",
    "new": "bold green",
    "revoked": "bold red",
    "expiring": "yellow",
    "expired": "red",
    "changed": "blue",
    "deleted": "magenta",
}
KINDS = tuple(STYLES)
"""The seven kinds of certificate events, in the order of a certificate's life."""

WIDE = 500
"""Columns of a table where stdout is no terminal: none is that wide, so nothing is cut."""

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def safe(value: Any, limit: int = 64) -> str:
    """Text that is safe on a terminal and in a log line: control, escape, bidi and invisible characters as `\\xNN`
    or `\\uNNNN`, a backslash doubled (so that nobody can imitate an escape), at most `limit` characters."""
    text = str(value)
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(_escaped(one) for one in cut)


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character == " " or unicodedata.category(character) not in _INVISIBLE | {"Zs"}:
        return character
    point = ord(character)
    return f"\\x{point:02x}" if point < 256 else f"\\u{point:04x}" if point < 65536 else f"\\U{point:08x}"


def kind_of(event: Mapping[str, Any]) -> str:
    """`certstream.certificate.revoked.v1` → `revoked`, `certstream.account.suspect.v1` → `suspect`."""
    parts = str(event.get("type", "")).split(".")
    return parts[2] if len(parts) == 4 and parts[0] == "certstream" else str(event.get("type", "?"))


def describe(event: Mapping[str, Any]) -> Text:
    """Time (UTC), kind, account, common name, identifier, and what happened."""
    data = _mapping(event.get("data"))
    certificate = _mapping(data.get("certificate"))
    kind = kind_of(event)
    line = Text(no_wrap=True, overflow="ignore")
    line.append(safe(event.get("time", "?"))[:19].replace("T", " "), "dim")
    line.append(f"  {safe(kind, 14):<10}", STYLES.get(kind, "bold white"))
    line.append(f"  {safe(data.get('account', '?'))}")
    if certificate:
        # A column while names are of a usual length: lines that begin alike are read faster.
        line.append(f"  {safe(certificate.get('commonName', '(no name)')):<26}", "bold")
        line.append(f"  {short(certificate.get('identifier', event.get('subject', '?')))}", "dim")
    line.append(f"  {_what(kind, event, data, certificate)}")
    if data.get("findings"):
        line.append(f"  ⚠ {_findings(data['findings'])}", "bold yellow")
    return line


def short(identifier: Any) -> str:
    """The beginning of an identifier, enough to tell a few thousand apart."""
    text = str(identifier)
    return safe(text) if len(text) <= 12 else safe(text[:10]) + "…"


def _what(kind: str, event: Mapping[str, Any], data: Mapping[str, Any], certificate: Mapping[str, Any]) -> str:
    if kind == "expiring":
        told = f"threshold {safe(data.get('threshold', '?'))}" + (
            ", seen at the baseline" if data.get("baseline") else ""
        )
        return f"expires in {_left(event, certificate)} ({told})"
    if kind == "expired":
        return f"expired at {_second(certificate.get('notAfter'))}"
    if kind in ("revoked", "changed"):
        return _changes(_mapping(data.get("changes")))
    if kind == "deleted":
        moved = data.get("reason") == "moved"
        return "moved out of the account's resource group" if moved else "gone: a look-up finds nothing"
    if kind == "new":
        first = "returned" if data.get("returned") else "first seen"
        replaces = f", replaces {short(data['replaces'])}" if data.get("replaces") else ""
        return f"{first}{replaces}, {_validity(event, data, certificate)}"
    if kind == "discovered":
        return f"was there when watching began, {_validity(event, data, certificate)}"
    return _account(kind, data)


def _validity(event: Mapping[str, Any], data: Mapping[str, Any], certificate: Mapping[str, Any]) -> str:
    lifecycle = str(data.get("lifecycle", "valid"))
    if lifecycle == "valid":
        return f"valid for {_left(event, certificate)}"
    return f"expired at {_second(certificate.get('notAfter'))}" if lifecycle == "expired" else safe(lifecycle)


def _account(kind: str, data: Mapping[str, Any]) -> str:
    count = data.get("count")
    texts = {
        "baselined": f"first complete sweep done: {safe(count)} certificates are known",
        "digest": f"digest of {safe(count)} certificates: {safe(data.get('digest', '?'), 16)}",
        "suspect": f"deletions are held back: {safe(data.get('reason', '?'), 200)} ({safe(count)})",
        "forgotten": f"history ended with {safe(count)} certificates",
    }
    if kind in texts:
        return texts[kind]
    who = f"by {safe(data['by'])}" if data.get("by") else ""
    why = f": {safe(data['why'], 200)}" if data.get("why") else ""
    return who + why


def _changes(changes: Mapping[str, Any]) -> str:
    shown = []
    for field in sorted(changes, key=lambda name: (name != "status", name)):
        change = _mapping(changes[field])
        if field == "pem":
            shown.append("pem replaced")
        else:
            shown.append(f"{safe(field)} {_value(change.get('from'))} → {_value(change.get('to'))}")
    return ", ".join(shown) or "changed"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + safe(", ".join(str(_mapping(one).get("value", one)) for one in value)) + "]"
    return "–" if value is None else safe(value, 48)


def _findings(findings: Any) -> str:
    if not isinstance(findings, list):
        return safe(findings)
    return ", ".join(safe(_mapping(one).get("detail", one)) for one in findings[:3])


def _left(event: Mapping[str, Any], certificate: Mapping[str, Any]) -> str:
    now, end = _instant(event.get("time")), _instant(certificate.get("notAfter"))
    return "an unknown time" if now is None or end is None else span((end - now) / 1000)


def span(seconds: float) -> str:
    """A duration in its largest unit that gives at least 2: `29 d`, `5 h`, `90 s`; negative ones say `-`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{int(seconds / size)} {unit}"
    return f"{round(seconds)} s"


def _instant(text: Any) -> int | None:
    try:
        return parse_rfc3339(text)
    except (TypeError, ValueError):
        return None


def _second(text: Any) -> str:
    return "?" if _instant(text) is None else safe(text)[:19].replace("T", " ")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
