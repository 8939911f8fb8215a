"""`/`: a small page for a browser. No script, nothing from elsewhere, everything escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any

from certstream.core.times import rfc3339

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem 1rem .3rem 0;"
    "border-bottom:1px solid #d5dae1}td:last-child{overflow-wrap:anywhere}.good{color:#116329}.bad{color:#a40e26}"
)
POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
_HEAD = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>certstream</title>\n'
    f'<link rel="icon" href="data:,">\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>certstream</h1>\n'
    "<p>Watches the client and server certificates of Alibaba Cloud accounts, and publishes what changes.</p>\n"
)
_LINKS = (
    ("docs", "topics and events, for those who read them"),
    ("readyz", "whether every account is healthy and the journal answers"),
    ("livez", "whether the process turns"),
    ("metrics", "for Prometheus"),
)
_COLUMNS = ("state", "certificates", "observedthrough", "reason")


def page(why: Sequence[str], status: Mapping[str, Any] | None, *, token: bool) -> str:
    """The page. `why` it is not ready; `status` None: the reader may learn whether it is ready, and nothing else.
    `token`: other paths want one."""
    good = not why
    told = f'<p>Now: <strong class="{"good" if good else "bad"}">{"ready" if good else "not ready"}</strong>'
    hidden = "; the accounts are shown to who has the token." if status is None else "."
    return "".join(
        (_HEAD, told, hidden, "</p>\n", *(_shown(status) if status else ()), *_links(token), "</body>\n</html>\n")
    )


def _shown(status: Mapping[str, Any]) -> Iterator[str]:
    if accounts := status.get("accounts"):
        heads = ("account", "state", "certificates", "observed through", "reason")
        yield f"<h2>Accounts</h2>\n<table>\n<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>\n"
        for name, account in sorted(accounts.items()):
            through = account.get("observedthrough")
            told = account | {"observedthrough": rfc3339(through) if through else "–"}
            yield f"<tr>{''.join(map(_cell, (name, *map(told.get, _COLUMNS))))}</tr>\n"
        yield "</table>\n"
    rest = {name: part for name, part in status.items() if isinstance(part, Mapping) and "state" in part}
    if rest:
        yield "<h2>What they need</h2>\n<table>\n"
        for name, part in sorted(rest.items()):
            reason = part.get("reason") or "; ".join(part.get("reasons") or ())
            yield f"<tr>{''.join(map(_cell, (name, part['state'], reason)))}</tr>\n"
        yield "</table>\n"


def _cell(value: Any) -> str:
    # A reason may quote a stranger: `bdi` keeps characters that turn the direction of writing inside of the cell.
    return f"<td><bdi>{escape(str(value)) if value is not None else ''}</bdi></td>"


def _links(token: bool) -> Iterator[str]:
    yield "<h2>Pages</h2>\n<ul>\n"
    for name, what in _LINKS:
        wanted = " (wants the token)" if token and name == "metrics" else ""
        yield f'<li><a href="{name}">/{name}</a>: {what}{wanted}</li>\n'
    yield "</ul>\n"
