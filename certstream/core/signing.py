"""Signature V3 (ACS3-HMAC-SHA256) of an Alibaba Cloud RPC request with an empty body.

Pure: date and nonce come in, headers go out. Source of the rules: `api-facts`, "Signature V3"; checked against the
official SDK's vectors.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

ALGORITHM: Final = "ACS3-HMAC-SHA256"
_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What goes on the wire: `POST /?{query}` with `headers` and no body.

    `query` is canonical, and has to be sent byte for byte. `headers` holds every signed header, `host` too, and
    `Authorization`; it is left out of the repr because a security token is among them.
    """

    query: str
    headers: dict[str, str] = field(repr=False)


def sign(
    *,
    host: str,
    action: str,
    version: str,
    query: Mapping[str, str],
    date: str,
    nonce: str,
    key_id: str,
    secret: str,
    token: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
) -> SignedRequest:
    """Sign one call.

    `host` as the `Host` header will say it (with the port where it is not the scheme's own); `query` decoded; `date`
    from `timestamp`; `nonce` never used before; `token` for temporary credentials. `extra_headers` are sent and
    signed as well. Raises ValueError for a header with a line break or another control character.
    """
    headers = {name.lower(): value.strip() for name, value in (extra_headers or {}).items()} | {
        "host": host,
        "x-acs-action": action,
        "x-acs-version": version,
        "x-acs-date": date,
        "x-acs-signature-nonce": nonce,
        "x-acs-content-sha256": _EMPTY_SHA256,
    }
    if token is not None:
        headers |= {"x-acs-accesskey-id": key_id.strip(), "x-acs-security-token": token.strip()}
    for name, value in headers.items():
        if not value.isprintable():
            raise ValueError(f"header {name} holds a control character")  # the value may be a secret: not told

    canonical_query = canonical(query)
    names = ";".join(sorted(headers))
    to_sign = string_to_sign(canonical_request(canonical_query, headers))
    signature = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = f"{ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature}"
    return SignedRequest(query=canonical_query, headers=headers)


def canonical(query: Mapping[str, str]) -> str:
    """Parameters sorted by their decoded name, each percent-encoded but for RFC 3986 §2.3's unreserved characters."""
    return "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))


def canonical_request(canonical_query: str, headers: Mapping[str, str]) -> str:
    """The text whose hash is signed. `headers` are exactly those to be signed, names in lower case."""
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    return "\n".join(("POST", "/", canonical_query, lines, ";".join(names), _EMPTY_SHA256))


def string_to_sign(request: str) -> str:
    """Algorithm and hash of a canonical request."""
    return f"{ALGORITHM}\n{hashlib.sha256(request.encode()).hexdigest()}"


def timestamp(unix_ms: int) -> str:
    """Unix milliseconds as `x-acs-date` wants them: `2025-10-30T08:00:00Z`."""
    return datetime.fromtimestamp(unix_ms // 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
