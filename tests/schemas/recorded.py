"""A schema registry that answers as Apicurio 3.3.3 was recorded to (`/apis/ccompat/v7`): paths, codes, bodies.

It compares nothing: `refuse` says what it refuses. The real one is in `tests/registry`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

BASE = "/apis/ccompat/v7"
INCOMPATIBLE = (
    "io.apicurio.registry.rules.violation.RuleViolationException: Incompatible artifact: {subject} [JSON], num of "
    "incompatible diffs: {{1}}, list of diff types: [A new required property was added at /required]"
)


@dataclass
class Recorded:
    """What it holds, how it behaves, what it was asked."""

    schemas: dict[str, list[str]] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    refuse: set[str] = field(default_factory=set)
    """Subjects whose next version is not compatible."""
    guids: bool = False
    """As Confluent's own registry since 8.0."""
    away: int = 0
    """Requests that are answered with 503 first."""
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def said(self, held: str, **more: object) -> web.Response:
        number = self.ids.setdefault(held, len(self.ids) + 1)
        guid = {"guid": f"00000000-0000-4000-8000-{number:012d}"} if self.guids else {}
        return web.json_response({**more, "id": number, **guid})

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix(BASE)
        self.asked.append((request.method, path))
        if self.away > 0:
            self.away -= 1
            return web.Response(status=503, text="no healthy upstream")
        if not request.path.startswith(BASE + "/"):
            return web.Response(status=404)
        body = json.loads(await request.read() or b"null")
        match request.method, path.strip("/").split("/"):
            case "GET", ["config", subject]:
                if subject not in self.levels:
                    return _no(404, 40401, f"Subject '{subject}' not found.")
                return web.json_response({"compatibilityLevel": self.levels[subject]})
            case "PUT", ["config", subject]:
                self.levels[subject] = body["compatibility"]
                return web.json_response({"compatibility": body["compatibility"], "normalize": False})
            case "POST", ["subjects", subject]:
                if body["schema"] not in self.schemas.get(subject, []):
                    return _no(404, 40401, f"Subject '{subject}' not found.")
                version = self.schemas[subject].index(body["schema"]) + 1
                return self.said(body["schema"], subject=subject, version=version, schema=body["schema"])
            case "POST", ["subjects", subject, "versions"]:
                if subject in self.refuse:
                    return _no(409, 409, INCOMPATIBLE.format(subject=subject))
                self.schemas.setdefault(subject, []).append(body["schema"])
                return self.said(body["schema"])
            case "POST", ["compatibility", "subjects", subject, "versions", "latest"]:
                return web.json_response({"is_compatible": subject not in self.refuse})
        return web.Response(status=404)


def _no(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"message": message, "error_code": code}, status=status)


@asynccontextmanager
async def registry() -> AsyncIterator[Recorded]:
    """One that listens on the loopback interface."""
    recorded = Recorded()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", recorded.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        recorded.url = f"http://{host}:{port}{BASE}"
        yield recorded
    finally:
        await runner.cleanup()
