"""A client of the tests' own: signs as the API's documentation says, with every part open to tampering."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import aiohttp

from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, Simulator, SimulatorConfig
from certstream.simulator.actions import VERSIONS


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str | None:
        code = self.body.get("Code")
        return None if code is None else str(code)


@dataclass
class Caller:
    """Calls a simulator; `headers` replaces headers before they are signed, `after` after that."""

    simulator: Simulator
    session: aiohttp.ClientSession
    key: str = DEFAULT_KEY
    secret: str = DEFAULT_USER.secret
    headers: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def raw(self, action: str = "ListClientCertificate", /, **params: object) -> aiohttp.ClientResponse:
        query = urlencode({name: str(value) for name, value in params.items()}, quote_via=quote)
        headers = {
            "host": f"127.0.0.1:{self.simulator.port}",
            "x-acs-action": action,
            "x-acs-version": VERSIONS.get(action, "2020-06-30"),
            "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": uuid4().hex,
            "x-acs-content-sha256": sha256(b"").hexdigest(),
            **self.headers,
        }
        headers["Authorization"] = self._authorization(headers, params)
        return await self.session.post(
            f"{self.simulator.url}/?{query}", headers={**headers, **self.after}, data=self.body, allow_redirects=False
        )

    async def call(self, action: str = "ListClientCertificate", /, **params: object) -> Reply:
        async with await self.raw(action, **params) as response:
            return Reply(response.status, response.headers, await response.json())

    async def everything(self, size: int = 100, **params: object) -> list[dict[str, Any]]:
        """All rows, page by page."""
        rows: list[dict[str, Any]] = []
        page = 1
        while True:
            body = (await self.call("ListClientCertificate", CurrentPage=page, ShowSize=size, **params)).body
            rows += body["CertificateList"]
            if page >= body["PageCount"]:
                return rows
            page += 1

    def _authorization(self, headers: Mapping[str, str], params: Mapping[str, object]) -> str:
        names = sorted(headers)
        encoded = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in sorted(params.items()))
        lines = [
            "POST",
            "/",
            encoded,
            *(f"{name}:{headers[name]}" for name in names),
            "",
            ";".join(names),
            sha256(b"").hexdigest(),
        ]
        text = "ACS3-HMAC-SHA256\n" + sha256("\n".join(lines).encode()).hexdigest()
        signature = hmac.new(self.secret.encode(), text.encode(), sha256).hexdigest()
        return f"ACS3-HMAC-SHA256 Credential={self.key},SignedHeaders={';'.join(names)},Signature={signature}"


@asynccontextmanager
async def calling(
    config: SimulatorConfig | None = None, *, truth: Path | None = None, answers: Path | None = None
) -> AsyncIterator[Caller]:
    """A running simulator and somebody to call it."""
    async with (
        Simulator(config, truth=truth, answers=answers) as simulator,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session,
    ):
        yield Caller(simulator, session)
