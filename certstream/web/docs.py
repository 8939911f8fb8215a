"""`/docs`: the AsyncAPI document, shown by AsyncAPI's own component (`static/README.md`). Nothing comes from elsewhere.

The component compiles schemas with `new Function`, also its bundle without a parser, so the page's policy must allow
that; in return the page is sandboxed: it has no origin, can connect to nothing, and sees nothing of this service but
what it was given. The document comes as a script, with every reference followed, as AsyncAPI's parser would leave it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from aiohttp import web

from certstream.definition import asyncapi_document, resolved

_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)
_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>certstream: topics and events</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/asyncapi.css">
</head>
<body>
<main id="asyncapi"><noscript>This page needs JavaScript; the same is in schemas/ and docs/events/.</noscript></main>
<script src="docs/asyncapi.js"></script>
<script src="docs/document.js"></script>
<script src="docs/show.js"></script>
</body>
</html>
"""
_STATIC = {"asyncapi.js": "text/javascript", "asyncapi.css": "text/css", "show.js": "text/javascript"}


def routes() -> list[web.AbstractRouteDef]:
    """The page, what it loads, and the document, for everyone: it is the same in every installation."""
    found: list[web.AbstractRouteDef] = [
        web.get("/docs", _page),
        web.get("/docs/document.js", _document),
        web.get("/docs/{name}", _static),
    ]
    return found


def is_docs(path: str) -> bool:
    """Whether a path is one of these."""
    return path == "/docs" or path.startswith("/docs/")


async def _page(_: web.Request) -> web.StreamResponse:
    return _answer(_PAGE, "text/html")


async def _document(_: web.Request) -> web.StreamResponse:
    return _answer(_script(), "text/javascript")


async def _static(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    if name not in _STATIC:
        raise web.HTTPNotFound
    return _answer(_bytes(name), _STATIC[name])


def _answer(body: bytes, kind: str) -> web.Response:
    headers = {
        "Content-Type": f"{kind}; charset=utf-8",
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    response = web.Response(body=body, headers=headers)
    response.enable_compression()
    return response


def _bytes(name: str) -> bytes:
    return (files("certstream.web") / "static" / name).read_bytes()


@cache
def _script() -> bytes:
    return b"const schema = " + orjson.dumps(resolved(_named(asyncapi_document()))) + b";\n"


def _named(document: dict[str, Any]) -> dict[str, Any]:
    """Marked as AsyncAPI's parser marks what it has read: itself as parsed, its objects by their ids."""
    for kind in (document["channels"], document["operations"], document["components"]["messages"]):
        for name, item in kind.items():
            item["x-parser-unique-object-id"] = name
    for message in document["components"]["messages"].values():
        message["x-parser-message-name"] = message["name"]
    return {**document, "x-parser-spec-parsed": True, "x-parser-api-version": 3}
