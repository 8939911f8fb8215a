"""Decoding an answer of a certificate list: bytes in, a page or a typed error out (reference: `api-facts`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote

from certstream.core.errors import CertstreamError, Fatal, StaleCredentials, Throttled, Transient
from certstream.core.slices import Slice, count_of, split, value_of

LIST: Final = "ListClientCertificate"
LONGEST_FREEZE: Final = 60.0
"""Seconds. A longer `x-acs-retry-after` is cut to this: one answer must not silence a user's accounts for hours, and a
call a minute is none that a throttle could mind."""


class Refused(Fatal):
    """A parameter is refused. For a look-up that is the identifier's fault, not the account's."""


class Garbled(Transient):
    """Not an answer of this API: HTML, cut short, another page, a redirect."""


class Denied(Fatal):
    """The key, its secret or its permissions are refused: other credentials or another policy are needed."""


class Forbidden(Denied):
    """The key is good, and its user may not do this."""


@dataclass(frozen=True, slots=True)
class Page:
    """A decoded answer. Counts are None where the server sent none, or not a number that makes sense."""

    records: Sequence[Slice]
    total: int | None
    number: int | None
    size: int | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A page and when it was asked and answered.

    `sent`, `received`: monotonic seconds that enclose the arrival at the server. `sent_at`, `received_at`: the same
    as Unix milliseconds of this host's clock. `date`: the server's `Date` header in Unix milliseconds, or None.
    """

    page: Page
    sent: float
    received: float
    sent_at: int
    received_at: int
    date: int | None


def decode(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    page: int | None,
    now_ms: int | None = None,
    secrets: Collection[str] = (),
    action: str = LIST,
) -> Page:
    """The page in an answer, or the error that it means.

    `page` is the number that was asked for (None: do not compare); `now_ms` this host's clock when the answer came,
    in Unix milliseconds, for the skew; `secrets` are blotted out of whatever an error quotes; `action` is what was
    asked. Raises Throttled, StaleCredentials, Garbled, Transient, Denied or Fatal, and nothing else whatever the bytes.
    """
    parts = split(body) if 200 <= status < 300 else None
    if parts is None:
        raise failure(status, headers, body, now_ms, secrets, action)
    number = count_of(parts.CurrentPage)
    if page is not None and number is not None and number != page:
        raise Garbled(f"asked for page {page}, answered with page {number}")
    request_id = value_of(parts.RequestId)
    return Page(
        records=parts.CertificateList,
        total=count_of(parts.TotalCount),
        number=number,
        size=count_of(parts.ShowSize),
        request_id=request_id if isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id) else None,
    )


_RIGHT: Final = re.compile(r"[a-z-]{1,40}:[A-Za-z]{1,80}")
_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")


def failure(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    now_ms: int | None,
    secrets: Collection[str],
    action: str = LIST,
) -> CertstreamError:
    """What an answer without a page means. The code's first dotted part decides, the HTTP status only where there is
    no code that is known."""
    fields: Any = value if isinstance(value := value_of(body), dict) else {}
    code, said, request_id = (fields.get(name) for name in ("Code", "Message", "RequestId"))
    code = code if isinstance(code, str) else ""
    kind = code.partition(".")[0]
    where = f"HTTP {status}, request {quoted(str(request_id), secrets)}"
    text = f"{quoted(code, secrets)}: {quoted(str(said), secrets)} ({where})"
    match kind:
        case "Throttling":
            wait, note = _retry_after(headers, secrets)
            return Throttled(text + note, retry_after=wait)
        case "InvalidSecurityToken":
            return StaleCredentials(text)
        case "ServiceUnavailable" | "InternalError" | "SignatureNonceUsed":
            return Transient(text)
        case "InvalidAccessKeyId":
            return Denied(f"{text}; the access key does not exist or is disabled: give the account another one")
        case "SignatureDoesNotMatch" | "IncompleteSignature":
            # The message repeats the text that was signed, a security token in it: it is not told.
            return Denied(f"{quoted(code, secrets)} ({where}); the secret does not belong to the access key")
        case "Forbidden" | "NoPermission":
            right = _denied_right(fields) or f"yundun-cert:{action}"
            return Forbidden(f"{text}; allow {right} in a RAM policy{_denial(fields, secrets)}")
        case "InvalidTimeStamp":
            return Fatal(f"{text}; {_skew(headers, now_ms)}")
        case "InvalidParameter":
            return Refused(
                f"{text}; is the endpoint one of the certificate service? if so, this is a bug of certstream"
            )
        case "InvalidVersion" | "InvalidAction":
            return Fatal(f"{text}; is the endpoint one of the certificate service? if so, this is a bug of certstream")
    if kind.startswith("Missing"):
        return Fatal(f"{text}; this is a bug of certstream, or a proxy that drops parts of the request")
    if status == 429:  # from something before the API; to freeze is the safe reading
        wait, note = _retry_after(headers, secrets)
        return Throttled(f"HTTP 429: {quoted(body, secrets)}{note}", retry_after=wait)
    if 200 <= status < 300:
        return Garbled(f"HTTP {status} without a JSON object that has a CertificateList: {quoted(body, secrets)}")
    if 300 <= status < 400:
        to = quoted(_header(headers, "location") or "nowhere", secrets)
        return Garbled(f"HTTP {status} redirects to {to}; redirects are not followed: check the endpoint and the proxy")
    if code:
        return Transient(text)
    return (Transient if status >= 500 else Garbled)(f"HTTP {status} without an error code: {quoted(body, secrets)}")


def quoted(text: str | bytes, secrets: Collection[str] = ()) -> str:
    """A foreign text for an error: one line, 256 characters at most, nothing unprintable, no secret."""
    text = text[:16384]
    text = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for form in (secret, quote(secret, safe=""), quote(secret), secret.replace("/", "\\/")):
            text = text.replace(form, "***")
    cut = text[:255] + "…" if len(text) > 256 else text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in cut)


def _retry_after(headers: Mapping[str, str], secrets: Collection[str]) -> tuple[float | None, str]:
    """Seconds out of `x-acs-retry-after`, which is in milliseconds; and what to say where it is not followed."""
    text = _header(headers, "x-acs-retry-after")
    if text is None:
        return None, ""
    if not (text.isascii() and text.isdigit()):
        return None, f"; x-acs-retry-after is no number of milliseconds: {quoted(text, secrets)}"
    seconds = int(text[:12]) / 1000
    if seconds > LONGEST_FREEZE:
        return LONGEST_FREEZE, f"; it asks for {seconds:.0f} s of silence, {LONGEST_FREEZE:.0f} s are kept"
    return seconds, ""


def _denied_right(fields: Mapping[str, Any]) -> str | None:
    """The right that was missing, where RAM names it."""
    detail = fields.get("AccessDeniedDetail")
    right = detail.get("AuthAction") if isinstance(detail, dict) else None
    return right if isinstance(right, str) and _RIGHT.fullmatch(right) else None


def _denial(fields: Mapping[str, Any], secrets: Collection[str]) -> str:
    detail = fields.get("AccessDeniedDetail")
    names = ("AuthAction", "AuthPrincipalDisplayName", "NoPermissionType", "PolicyType")
    told = [f"{n}={quoted(str(detail[n]), secrets)}" for n in names if n in detail] if isinstance(detail, dict) else []
    return f" ({', '.join(told)})" if told else ""


def _skew(headers: Mapping[str, str], now_ms: int | None) -> str:
    date = server_date(headers)
    if date is None or now_ms is None:
        return "this host's clock is wrong; by how much the answer does not say"
    return f"this host's clock is {abs(now_ms - date) / 1000:.0f} s {'ahead' if now_ms > date else 'behind'}: set it"


_IMF_FIXDATE: Final = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")


def server_date(headers: Mapping[str, str]) -> int | None:
    """The `Date` header in Unix milliseconds; None unless it is an IMF-fixdate (RFC 9110 §5.6.7)."""
    if not _IMF_FIXDATE.fullmatch(text := _header(headers, "date") or ""):
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 1000
    except ValueError:
        return None


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value.strip() for key, value in headers.items() if key.lower() == name), None)
