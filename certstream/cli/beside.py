"""A service that already runs on this host with the same configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from certstream.cli.lines import safe
from certstream.config import Config
from certstream.core.errors import Fatal

_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""All addresses of a kind, which none can be called by, and one of them: who listens on `::` does not on 127.0.0.1."""
LARGEST = 16 << 20
"""Bytes of an answer: `/readyz` has some hundred for each account."""


@dataclass(frozen=True, slots=True)
class Service:
    """Who it is, and how its accounts are (`/readyz`); no accounts where it cannot be asked."""

    name: str
    accounts: Mapping[str, Mapping[str, Any]]


async def running_service(config: Config) -> Service | None:
    """The one that answers on `http.listen` within two seconds."""
    base = base_of(config)
    if base is None:
        return None
    try:
        _, told = await ask(config, "GET", f"{base}/readyz")
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None
    accounts = told.get("accounts") if isinstance(told, dict) else None
    if not isinstance(accounts, dict) or not all(isinstance(one, dict) for one in accounts.values()):
        return None
    return Service(f"the service at {base}", accounts)


def base_of(config: Config) -> str | None:
    """Where `http.listen` is reached from this host; None where nothing listens on a known port."""
    if config.http.address is None or not config.http.address[1]:
        return None
    host, port = config.http.address
    # Elsewhere than where it listens, somebody else may: they would get the token.
    reached = _ALL.get(host, host)
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"


async def ask(config: Config, method: str, url: str, body: Any = None, *, within: float = 2) -> tuple[int, Any]:
    """Status and JSON of an answer within so many seconds.

    Raises aiohttp.ClientError, OSError, TimeoutError, ValueError.
    """
    token = token_of(config)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=within)) as session,
        session.request(method, url, headers=headers, allow_redirects=False, json=body) as answer,
    ):
        content = bytearray()
        async for part in answer.content.iter_chunked(1 << 16):
            content += part
            if len(content) > LARGEST:
                raise ValueError("larger than any answer of certstream")
        return answer.status, orjson.loads(content)


async def tell(
    config: Config, url: str, by: str, why: str, *, good: int, away: str, within: float = 2
) -> Mapping[str, Any]:
    """An operator's word to the running service: what it answered. Raises Fatal: with `away` where it does not answer
    within so many seconds, with what it says where that is not the status `good`."""
    try:
        status, told = await ask(config, "POST", url, {"by": by, "why": why}, within=within)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise Fatal(away) from error
    told = told if isinstance(told, dict) else {}
    if status != good:
        raise Fatal(safe(told.get("error", f"the service answered {status}"), 1000))
    return told


def token_of(config: Config) -> str | None:
    """The token that HTTP callers must show. Raises Fatal where the file has none."""
    if not config.http.token_file:
        return None
    try:
        token = Path(config.http.token_file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise Fatal(f"http.token_file {config.http.token_file}: {reason}") from error
    if not token:
        raise Fatal(f"http.token_file {config.http.token_file}: it is empty")
    return token
