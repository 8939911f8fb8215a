"""Judging a signed request (ACS3-HMAC-SHA256), as a server does: pure, and independent of the client's code.

Source: https://help.aliyun.com/document_detail/2712195.html and what the official SDKs send. The headers that count
are those that the request names; the query is decoded and encoded again, because SDKs disagree about what to encode.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qsl, quote

from certstream.simulator.config import User

ALGORITHM = "ACS3-HMAC-SHA256"
TOLERANCE = 15 * 60.0
"""Seconds that `x-acs-date` may differ from the server's clock, either way."""

MUST_BE_SIGNED = frozenset(
    ("host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256")
)

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM}\s+Credential=(?P<key>[^,\s]+)\s*,\s*SignedHeaders=(?P<headers>[^,\s]+)\s*,"
    r"\s*Signature=(?P<signature>[0-9a-f]{64})"
)


class Refused(Exception):
    """A call that is answered with an error: HTTP status, the API's code and message, further headers and detail."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came. `query` is still encoded; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def parameters(self) -> list[tuple[str, str]]:
        """The decoded query (`+` is a space), in the order sent."""
        return parse_qsl(self.query, keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Claim:
    """What `Authorization` says: the access key id, which headers are signed, and the signature."""

    key: str
    signed: tuple[str, ...]
    signature: str


def read_claim(headers: Mapping[str, str]) -> Claim:
    """Raises Refused (`IncompleteSignature`) when the header is missing or malformed."""
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", "").strip())
    if match is None:
        raise Refused(400, "IncompleteSignature", f"The Authorization header is missing or is not {ALGORITHM}.")
    return Claim(match["key"], tuple(match["headers"].lower().split(";")), match["signature"])


def string_to_sign(received: Received, signed: tuple[str, ...]) -> str:
    """Canonical request, hashed. Header values are trimmed; the empty line after the headers is part of the rule."""
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in received.parameters())
    canonical = "\n".join(
        (
            received.method,
            received.path,
            "&".join(f"{name}={value}" for name, value in pairs),
            "".join(f"{name}:{received.headers[name].strip()}\n" for name in sorted(signed)),
            ";".join(signed),
            sha256(received.body).hexdigest(),
        )
    )
    return f"{ALGORITHM}\n{sha256(canonical.encode()).hexdigest()}"


class Nonces:
    """Nonces seen, kept for as long as their date would still be accepted."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], float] = {}

    def use(self, key: str, nonce: str, now: float) -> bool:
        """False when this key used the nonce before. `now` is in Unix seconds."""
        while self._seen:
            oldest = next(iter(self._seen))
            if now - self._seen[oldest] <= 2 * TOLERANCE:
                break
            del self._seen[oldest]
        if (key, nonce) in self._seen:
            return False
        self._seen[key, nonce] = now
        return True


def verify(
    received: Received, claim: Claim, user: User, *, now: float, nonces: Nonces, expired: Collection[str]
) -> None:
    """Raises Refused unless the request is fresh, unrepeated and signed with the user's secret.

    `now`: the server's clock, Unix seconds. `expired`: security tokens that are past their time.
    """
    headers = received.headers
    missing = sorted((MUST_BE_SIGNED - set(claim.signed)) | {name for name in claim.signed if name not in headers})
    if missing:
        raise Refused(400, "IncompleteSignature", f"Not signed, or not sent: {', '.join(missing)}.")
    _check_date(headers["x-acs-date"], now)
    if headers["x-acs-content-sha256"] != sha256(received.body).hexdigest():
        raise Refused(400, "SignatureDoesNotMatch", "x-acs-content-sha256 is not the hash of the body.")
    text = string_to_sign(received, claim.signed)
    good = hmac.new(user.secret.encode(), text.encode(), sha256).hexdigest()
    if not hmac.compare_digest(good, claim.signature):
        raise Refused(
            400,
            "SignatureDoesNotMatch",
            f"Specified signature does not match our calculation. server string to sign is:{text}",
        )
    _check_token(headers.get("x-acs-security-token"), claim, user, expired)
    if not nonces.use(claim.key, headers["x-acs-signature-nonce"], now):
        raise Refused(400, "SignatureNonceUsed", "Specified signature nonce was used already.")


def _check_date(text: str, now: float) -> None:
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Refused(400, "InvalidTimeStamp.Format", "x-acs-date is not YYYY-MM-DDThh:mm:ssZ.") from None
    if abs(now - at) > TOLERANCE:
        raise Refused(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def _check_token(token: str | None, claim: Claim, user: User, expired: Collection[str]) -> None:
    if token is None and user.token is None:
        return
    if token is None:
        raise Refused(400, "MissingSecurityToken", "SecurityToken is mandatory for this action.")
    if "x-acs-security-token" not in claim.signed:
        raise Refused(400, "IncompleteSignature", "Not signed: x-acs-security-token.")
    if token in expired:
        raise Refused(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
    if user.token is not None and token != user.token:
        raise Refused(403, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
