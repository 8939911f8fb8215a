"""Decoding an answer of a certificate list: bytes in, a page or a typed error out (reference: `api-facts`).

A page keeps each record as its raw JSON slice: equal bytes cannot hide a change, so an unchanged record is
never decoded. A record that JSON does not allow must not cost the others: a second, tolerant split looks at
nothing but strings and brackets, so that the sick one can be quarantined by whoever decodes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec

from certstream.core.errors import CertstreamError, Fatal, StaleCredentials, Throttled, Transient

LIST: Final = "ListClientCertificate"
LONGEST_FREEZE: Final = 60.0
"""Seconds. A longer `x-acs-retry-after` is cut to this: one answer must not silence a user's accounts for hours, and a
call a minute is none that a throttle could mind."""

Slice = msgspec.Raw | bytes
"""The JSON text of one record of a page, as it came."""


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
    number = _count(parts.CurrentPage)
    if page is not None and number is not None and number != page:
        raise Garbled(f"asked for page {page}, answered with page {number}")
    request_id = _value(parts.RequestId)
    return Page(
        records=parts.CertificateList,
        total=_count(parts.TotalCount),
        number=number,
        size=_count(parts.ShowSize),
        request_id=request_id if isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id) else None,
    )


_RIGHT: Final = re.compile(r"[a-z-]{1,40}:[A-Za-z]{1,80}")
_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")
_ABSENT: Final = msgspec.Raw(b"")


class Parts(msgspec.Struct):
    """The members of an answer that matter, each as it came; `_ABSENT` where there is none."""

    CertificateList: list[msgspec.Raw]
    TotalCount: msgspec.Raw = _ABSENT
    CurrentPage: msgspec.Raw = _ABSENT
    ShowSize: msgspec.Raw = _ABSENT
    RequestId: msgspec.Raw = _ABSENT


_PARTS: Final = msgspec.json.Decoder(Parts)


def split(body: bytes) -> Parts | None:
    """The members of an answer, or None where it is no JSON object with a `CertificateList` array."""
    try:
        return _PARTS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return split_tolerantly(body)


# The tolerant split. Quantifiers are possessive, so that no answer can make it slow.
_MARK: Final = re.compile(rb"[ \t\n\r]*+([,:\[\]{}])[ \t\n\r]*+")
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb'[^\s,:\[\]{}"]++')
_STEP: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}"]', re.DOTALL)


class _Lost(Exception):
    """The scanner cannot tell where a value ends."""


def split_tolerantly(body: bytes) -> Parts | None:
    """As `split`, but what is inside a value need not be JSON as long as strings end and brackets match."""
    members: dict[str, tuple[int, int]] = {}
    records: list[msgspec.Raw] = []

    def member(at: int) -> int:
        if not (name := _STRING.match(body, at)):
            raise _Lost
        at = _past(body, name.end(), b":")
        end = _end(body, at)
        members[str(_value(name.group()))] = at, end  # the last of a name counts, as with msgspec
        return end

    def record(at: int) -> int:
        end = _end(body, at)
        records.append(msgspec.Raw(body[at:end]))
        return end

    try:
        if _listed(body, _past(body, 0, b"{"), b"}", member) != len(body) or "CertificateList" not in members:
            return None
        _listed(body, _past(body, members["CertificateList"][0], b"["), b"]", record)
    except _Lost:
        return None
    total, number, size, request_id = (
        msgspec.Raw(body[slice(*members.get(name, (0, 0)))]) for name in Parts.__struct_fields__[1:]
    )
    return Parts(records, total, number, size, request_id)


def _listed(body: bytes, at: int, close: bytes, item: Callable[[int], int]) -> int:
    """Let `item` scan what commas separate from `at` on. Returns where the next token after `close` begins."""
    if not body.startswith(close, at):
        at = item(at)
        while (token := _MARK.match(body, at)) and token[1] == b",":
            at = item(token.end())
    return _past(body, at, close)


def _past(body: bytes, at: int, mark: bytes) -> int:
    """Where the token after the next one begins, which has to be `mark`."""
    if not (token := _MARK.match(body, at)) or token[1] != mark:
        raise _Lost
    return token.end()


def _end(body: bytes, at: int) -> int:
    """Where the value that begins at `at` ends."""
    if simple := _STRING.match(body, at) or _SCALAR.match(body, at):
        return simple.end()
    if body[at : at + 1] not in (b"{", b"["):
        raise _Lost
    open_brackets = bytearray()
    for step in _STEP.finditer(body, at):
        mark = body[step.start()]
        if mark in b"{[":
            open_brackets.append(mark + 2)  # in ASCII a bracket closes two after it opens
        elif mark in b"}]":
            if open_brackets.pop() != mark:
                raise _Lost
            if not open_brackets:
                return step.end()
        elif step.end() - step.start() == 1:  # a string that never ends
            raise _Lost
    raise _Lost


def _value(raw: Slice) -> Any:
    """What a JSON text says, None where it is none."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _count(raw: Slice) -> int | None:
    value = _value(raw)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    return value if type(value) is int and 0 <= value < 1 << 63 else None


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
    fields: Any = value if isinstance(value := _value(body), dict) else {}
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
