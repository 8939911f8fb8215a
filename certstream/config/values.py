"""What single values of the configuration may be. A validator raises ValueError without words: what is allowed is told
with the key, from its description."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from certstream.core.times import Threshold, seconds, thresholds

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
PREFIX = r"^[A-Za-z0-9._-]{0,100}$"
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.%]+")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]*)+")
_ROLE = re.compile(r"acs:ram::[0-9]+:role/[^\s/]\S*")
_BROKER = r"(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.%]+\]):[0-9]{1,5}"
_BROKERS = re.compile(rf"kafka://{_BROKER}(?:,{_BROKER})*")


def setting(default: Any, allowed: str, meaning: str, **bounds: Any) -> Any:
    """A key: its default, what is allowed (told with every refusal), what it means (for docs/configuration.md)."""
    return Field(
        default,
        validate_default=True,
        description=meaning,
        json_schema_extra={"allowed": allowed},
        **bounds,
    )


def _duration(value: Any) -> Any:
    return seconds(value) if isinstance(value, str) else _no_boolean(value)


def _boolean(value: Any) -> Any:
    if not isinstance(value, bool):  # pydantic would take "yes" and 1
        raise ValueError
    return value


def _thresholds(value: Any) -> Any:
    if isinstance(value, str):  # from the environment
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return thresholds(value)
    if isinstance(value, tuple) and all(isinstance(one, Threshold) for one in value):
        return value
    raise ValueError


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError
    return value


def _matches(pattern: re.Pattern[str]) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError
        return value

    return AfterValidator(check)


def is_loopback(host: str) -> bool:
    """Whether only this host can reach it: 127.0.0.0/8, ::1, `localhost`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_url(value: str) -> str:
    parts = urlsplit(value)
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if value and (parts.scheme not in ("https", "http") or not _HOST.fullmatch(parts.hostname or "") or extra):
        raise ValueError
    if _port(value) in (-1, 0):
        raise ValueError
    return value.rstrip("/")


def _is_registry(value: str) -> str:
    """As `_is_url`, and with a path."""
    path = urlsplit(value).path
    if path and not _PATH.fullmatch(path):
        raise ValueError
    return _is_url(value.removesuffix(path)) + path.rstrip("/") if path else _is_url(value)


def _is_proxy(value: str) -> str:
    if value and (urlsplit(value).scheme not in ("https", "http") or not urlsplit(value).hostname):
        raise ValueError
    if _port(value) in (-1, 0):
        raise ValueError
    if "@" in value:
        raise ValueError("a user or password does not belong into this file")
    return value


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return -1


def _is_listen(value: str) -> str:
    port = _port(f"//{value}")
    if value and (port is None or not 0 <= port <= 65535 or not urlsplit(f"//{value}").hostname):
        raise ValueError
    return value


def _is_endpoint(value: str) -> str:
    if not value:
        raise ValueError
    return _is_url(value)


def _is_role(value: str) -> str:
    if value and not _ROLE.fullmatch(value):
        raise ValueError
    return value


def _is_journal(value: str) -> str:
    ports = [int(broker.rpartition(":")[2]) for broker in value.split(",")] if _BROKERS.fullmatch(value) else []
    if (ports and all(1 <= port <= 65535 for port in ports)) or (
        value.startswith("sqlite:///") and value.strip("/") != "sqlite:" and value.isprintable()
    ):
        return value
    raise ValueError


def _is_limiter(value: str) -> str:
    parts = urlsplit(value)
    if parts.password is not None:
        raise ValueError(
            "a password does not belong into this file; name the file that holds it: limiter_password_file"
        )
    extra = not re.fullmatch(r"(?:/[0-9]{0,4})?", parts.path) or parts.query or parts.fragment or "," in value
    good = parts.scheme in ("redis", "rediss") and _HOST.fullmatch(parts.hostname or "") and not extra
    if value and (not good or _port(value) in (-1, 0)):
        raise ValueError
    return value


Seconds = Annotated[float, BeforeValidator(_duration)]
Count = Annotated[int, BeforeValidator(_no_boolean)]
Name = Annotated[str, _matches(NAME)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
Url = Annotated[str, AfterValidator(_is_url)]
Registry = Annotated[str, AfterValidator(_is_registry)]
Endpoint = Annotated[str, AfterValidator(_is_endpoint)]
NAME_ALLOWED = "1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit"
FILES = frozenset(
    {
        "token_file",
        "password_file",
        "limiter_password_file",
        "limiter_ca_file",
        "ca_file",
        "cert_file",
        "key_file",
        "access_key_secret_file",
    }
)
"""Keys that name a file: relative to the configuration's directory."""
FOLDERS = frozenset({"lock_dir"})
"""Keys that name a folder: relative as those are."""
URL_ALLOWED = "https://host[:port]; http:// on loopback only, or with insecure = true"
LIMITER_ALLOWED = "redis://[user@]host[:port][/number], or rediss:// for TLS"
Limiter = Annotated[str, AfterValidator(_is_limiter)]
Proxy = Annotated[str, AfterValidator(_is_proxy)]
Listen = Annotated[str, AfterValidator(_is_listen)]
Role = Annotated[str, AfterValidator(_is_role)]
JournalUrl = Annotated[str, AfterValidator(_is_journal)]
Thresholds = Annotated[tuple[Threshold, ...], BeforeValidator(_thresholds)]
