"""`/`, `/livez`, `/readyz`, `/metrics`, `/docs`, and what operators ask for, on aiohttp."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from certstream.config import is_loopback
from certstream.core.errors import CertstreamError, Fatal
from certstream.service.confirming import NothingToConfirm
from certstream.service.forgetting import Unknown, Watched
from certstream.web import docs, page
from certstream.web.words import words

CONNECTIONS = 100
"""At a time."""

Status = Mapping[str, Any]
"""`{"accounts": {name: {"state", "reason", …}}, "journal": {"state": "ok" | "away", "reason"}, …}`, free of secrets."""
Confirm = Callable[[str, str, str], int]
"""Account, who, why → how many certificates are confirmed as gone. Raises KeyError, NothingToConfirm."""
Forget = Callable[[str, str, str], Awaitable[int]]
"""Account, who, why → how many certificates its history had. Raises Unknown, Watched, CertstreamError."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def reasons(status: Status) -> list[str]:
    """Why the service is not ready: a line for each account that is not healthy, and for a journal that is away."""
    found = [
        f"account {name}: {account.get('state')}" + (f": {account['reason']}" if account.get("reason") else "")
        for name, account in sorted(status.get("accounts", {}).items())
        if account.get("state") != "healthy"
    ]
    journal = status.get("journal", {})
    if journal.get("state", "ok") != "ok":
        found.append(f"journal: {journal['state']}" + (f": {journal['reason']}" if journal.get("reason") else ""))
    return found if found or status.get("accounts") else ["starting"]


@asynccontextmanager
async def serve(
    listen: str,
    *,
    registry: CollectorRegistry,
    status: Callable[[], Status],
    token: str | None,
    confirm: Confirm | None = None,
    forget: Forget | None = None,
) -> AsyncIterator[str]:
    """Serve on `host:port` (port 0: a free one) while the context lasts; gives the base address, `http://127.0.0.1:8080`.

    Raises Fatal where it cannot listen, and for an address beyond loopback without a token.
    """
    parts = urlsplit(f"//{listen}")
    host, port = parts.hostname or "", parts.port or 0
    if token is None and not is_loopback(host):
        raise Fatal(f"http.listen = {listen!r} can be reached from other hosts; it needs token_file")
    application = _application(registry, status, token, confirm, forget)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5, handle_signals=False)
    await runner.setup()
    server: asyncio.Server | None = None
    try:
        try:
            server = await asyncio.get_running_loop().create_server(_accepting(runner), host, port)
        except OSError as error:
            mend = "choose another http.listen, or stop what listens there"
            raise Fatal(f"cannot listen on {listen}: {error.strerror}; {mend}") from error
        bound = server.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"http://{shown}:{bound[1]}"
    finally:
        if server is not None:
            server.close()
        async with asyncio.timeout(2):
            await runner.cleanup()


def _accepting(runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
    """What answers a new connection. The oldest make room for it: who only opens connections, and needs no token for
    that, would else use up the files that calls and the journal need."""

    def accept() -> asyncio.Protocol:
        assert runner.server is not None, "it was set up"
        there = runner.server.connections
        for oldest in there[: max(0, len(there) - CONNECTIONS + 1)]:
            if oldest.transport is not None:
                oldest.transport.abort()
        return runner.server()

    return accept


def _application(
    registry: CollectorRegistry,
    status: Callable[[], Status],
    token: str | None,
    confirm: Confirm | None,
    forget: Forget | None,
) -> web.Application:
    async def home(request: web.Request) -> web.StreamResponse:
        now = status()
        text = page.page(reasons(now), now if _may(request, token) else None, token=token is not None)
        headers = {"Content-Security-Policy": page.POLICY, "X-Content-Type-Options": "nosniff"}
        headers |= {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)

    async def livez(_: web.Request) -> web.StreamResponse:
        return _json({"live": True})

    async def readyz(request: web.Request) -> web.StreamResponse:
        now = status()
        why = reasons(now)
        shown = {"ready": not why, "reasons": why, **now} if _may(request, token) else {"ready": not why}
        return _json(shown, 503 if why else 200)

    async def metrics(request: web.Request) -> web.StreamResponse:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        # As a header: aiohttp's `content_type=` refuses the version parameter.
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def confirmed(account: str, by: str, why: str) -> web.Response:
        try:
            count = confirm(account, by, why) if confirm is not None else 0
        except KeyError:
            return _json({"error": f"there is no account {account!r} here"}, 404)
        except NothingToConfirm as nothing:
            return _json({"error": f"account {account}: {nothing}"}, 409)
        return _json({"account": account, "certificates": count}, 202)

    async def forgotten(account: str, by: str, why: str) -> web.Response:
        try:
            count = await forget(account, by, why) if forget is not None else 0
        except Unknown as error:
            return _json({"error": str(error)}, 404)
        except (Watched, CertstreamError) as error:
            return _json({"error": f"account {account}: {error}"}, 409)
        return _json({"account": account, "certificates": count})

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Without a token, only names of this host: else a page that a browser here shows could, by a name that
        # resolves to 127.0.0.1 (DNS rebinding), read what loopback shows.
        if token is None and not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
            return _json({"error": "this address answers to localhost only"}, 403)
        # Probes and browsers carry no token: they learn yes or no, nothing else. The documentation is no secret.
        if (
            request.path not in ("/", "/livez", "/readyz")
            and not docs.is_docs(request.path)
            and not _may(request, token)
        ):
            return _json({"error": "a token is needed: Authorization: Bearer …"}, 401, {"WWW-Authenticate": "Bearer"})
        return await handler(request)

    application = web.Application(middlewares=[guard], client_max_size=65536)
    application.add_routes(
        [web.get("/", home), web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)]
    )
    application.add_routes([web.post("/api/v1/accounts/{account}/confirm", _operators(confirmed))])
    application.add_routes([web.post("/api/v1/accounts/{account}/forget", _operators(forgotten))])
    application.add_routes(docs.routes())
    return application


def _operators(act: Callable[[str, str, str], Awaitable[web.Response]]) -> Handler:
    """The handler of an operator's word: `act` gets the account, who says it and why."""

    async def handle(request: web.Request) -> web.StreamResponse:
        # A page in a browser can send a form or text to this host without asking, but no JSON.
        if request.content_type != "application/json":
            return _json({"error": "send JSON, as Content-Type: application/json"}, 415)
        try:
            by, why = words(await request.read())
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return await act(request.match_info["account"], by, why)

    return handle


def _may(request: web.Request, token: str | None) -> bool:
    if token is None:
        return True
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode("utf-8", "replace"), token.encode())


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(value, default=str),
        status=status,
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        },
    )
