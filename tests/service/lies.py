"""Answers that the real service might give on a bad day: rows that are not there, other people's rows, garbage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from certstream.simulator import Simulator
from certstream.simulator.server import Intercept

Rows = list[tuple[str, bytes]]
"""(identifier that a look-up finds it by, the record's JSON text), in the order of the list."""


def rows(simulator: Simulator) -> Rows:
    """The true list, newest first."""
    population = simulator.population
    found = [(row.blueprint.identifier, population.encoded(row)) for row in population]
    return found[::-1]


def page(params: dict[str, str], listed: Rows, **tail: Any) -> web.Response:
    """The answer of a server that has these rows. `tail` replaces members beside the list; `...` leaves one out."""
    if "Identifier" in params:
        listed = [row for row in listed if row[0] == params["Identifier"]]
    number, size = int(params["CurrentPage"]), int(params["ShowSize"])
    shown = [record for _, record in listed[(number - 1) * size : number * size]]
    members: dict[str, Any] = {
        "CurrentPage": number,
        "PageCount": -(-len(listed) // size),
        "ShowSize": size,
        "TotalCount": len(listed),
        "RequestId": "15C66C7B-671A-4297-9187-2C4477247A74",
        **tail,
    }
    rest = json.dumps({name: value for name, value in members.items() if value is not ...})
    return body(b'{"CertificateList":[' + b",".join(shown) + b"]," + rest.encode()[1:])


def body(content: bytes, *, status: int = 200, kind: str = "application/json") -> web.Response:
    """An answer with these bytes."""
    return web.Response(body=content, status=status, content_type=kind)


def lying(simulator: Simulator, change: Callable[[Rows], Rows], **tail: Any) -> Intercept:
    """A server whose rows are the true ones after `change`, in the list and in look-ups."""
    return lambda params: page(params, change(rows(simulator)), **tail)


def hiding(simulator: Simulator, hidden: Iterable[str], *, look_ups: bool = True) -> Intercept:
    """These certificates are not shown; with `look_ups` false, look-ups still find them."""
    gone = set(hidden)

    def intercept(params: dict[str, str]) -> web.Response | None:
        if "Identifier" in params and not look_ups:
            return None
        return page(params, [row for row in rows(simulator) if row[0] not in gone])

    return intercept


def refusing(code: str, status: int, where: Callable[[dict[str, str]], bool], **headers: str) -> Intercept:
    """An error of the API for some calls."""

    def intercept(params: dict[str, str]) -> web.Response | None:
        if not where(params):
            return None
        error = {"Code": code, "Message": "said the test", "RequestId": "R", "HostId": "h"}
        return web.json_response(error, status=status, headers=headers)

    return intercept


def down(params: dict[str, str]) -> web.Response:
    """An intercept: the service is away."""
    return web.json_response({"Code": "ServiceUnavailable", "Message": "away", "RequestId": "R"}, status=503)


def edited(record: bytes, **fields: Any) -> bytes:
    """A record with other values."""
    return json.dumps({**json.loads(record), **fields}).encode()
