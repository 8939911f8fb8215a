"""Credentials of one account: given, or found by the ecosystem's chain.

The library `alibabacloud_credentials` knows the sources; its synchronous API is called in one worker thread of this
process, one call at a time. (Its asynchronous API takes a `threading.Lock` on the event loop: three cold refreshes
stalled it for 10 s, `api-facts`.) It reads the environment when it is imported, which happens at the first use.
Nothing here has a secret in its repr, its errors or its logs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from certstream.core.answers import quoted
from certstream.core.errors import CertstreamError, Fatal, Transient

FRESH: Final = 60.0
"""Seconds for which a key is used without asking its source again. The library renews a token 15 minutes early."""

_WORKER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="credentials")
_CHAIN: Final = (
    "the environment (ALIBABA_CLOUD_ACCESS_KEY_ID and _SECRET), OIDC (ALIBABA_CLOUD_ROLE_ARN, _OIDC_PROVIDER_ARN, "
    "_OIDC_TOKEN_FILE), ~/.aliyun/config.json, ~/.alibabacloud/credentials.ini, the ECS RAM role, "
    "ALIBABA_CLOUD_CREDENTIALS_URI"
)


@dataclass(frozen=True, slots=True)
class Key:
    """An access key, with a token if it is temporary."""

    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be told."""
        return (self.secret, self.token) if self.token else (self.secret,)


class Credentials(Protocol):
    """Where an account's key comes from."""

    async def current(self) -> Key:
        """The key to sign with. Raises Fatal (no source has one), Transient (a source that had one is away)."""
        ...

    def refresh(self, refused: Key) -> None:
        """The service called `refused` expired: `current` is to fetch another. Does nothing if it has one already."""
        ...


@dataclass(frozen=True, slots=True)
class _Static:
    key: Key

    async def current(self) -> Key:
        return self.key

    def refresh(self, refused: Key) -> None:
        """There is no other."""


def static(key_id: str, secret: str, token: str | None = None) -> Credentials:
    """A key that never changes. Raises Fatal if it cannot be one."""
    return _Static(_checked(key_id, secret, token))


def find(
    *,
    access_key_id: str | None = None,
    access_key_secret_file: str | Path | None = None,
    profile: str | None = None,
    role_arn: str | None = None,
    external_id: str | None = None,
    sts_endpoint: str | None = None,
) -> Credentials:
    """Credentials as an account's configuration names them.

    A key with the file that holds its secret (read again as it changes), or a `profile` of the CLI or of the
    credentials file, or, with neither, the chain. With `role_arn` that key assumes the role, through `sts_endpoint`
    (host or URL). Raises Fatal for options that do not go together.
    """
    if (access_key_id is None) != (access_key_secret_file is None):
        raise Fatal("credentials: access_key_id and access_key_secret_file go together")
    if access_key_id is not None and profile is not None:
        raise Fatal("credentials: give access_key_id or profile, not both")
    if external_id is not None and role_arn is None:
        raise Fatal("credentials: external_id is for role_arn")
    host = sts_endpoint.partition("://")[2].rstrip("/") or sts_endpoint if sts_endpoint else None

    def build() -> Any:
        import alibabacloud_credentials.provider as library

        _silence()
        base: Any
        if access_key_id is not None and access_key_secret_file is not None:
            base = _File(access_key_id, Path(access_key_secret_file), library)
        elif profile is not None:
            base = _Profile(profile, library)
        else:
            base = library.DefaultCredentialsProvider()
        if role_arn is None:
            return base
        return library.RamRoleArnCredentialsProvider(
            credentials_provider=base,
            role_arn=role_arn,
            role_session_name="certstream",
            external_id=external_id,
            sts_endpoint=host,
        )

    if access_key_id is not None:
        tried = f"access_key_id {access_key_id} with the secret in {access_key_secret_file}"
    else:
        tried = f"profile {profile}" if profile is not None else _CHAIN
    return Found(build, tried=f"{tried}; then role_arn {role_arn}" if role_arn else tried)


class Found:
    """Credentials out of the library.

    A known key is handed out at once; one older than `FRESH` is asked for again meanwhile. Only the first one, and
    the one after a refusal, are waited for.
    """

    def __init__(
        self, build: Callable[[], Any], *, tried: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._build, self._tried, self._monotonic = build, tried, monotonic
        self._provider: Any = None
        self._key: Key | None = None
        self._asked = 0.0
        self._refused: Key | None = None
        self._asking: asyncio.Future[Key] | None = None

    def __repr__(self) -> str:
        return f"Found(tried={self._tried!r})"

    async def current(self) -> Key:
        if self._key is not None and self._key != self._refused:
            if self._monotonic() - self._asked >= FRESH:
                self._ask()
            return self._key
        return await asyncio.shield(self._ask())  # whoever gives up does not stop it for the others

    def refresh(self, refused: Key) -> None:
        if refused == self._key:
            self._refused = refused

    def _ask(self) -> asyncio.Future[Key]:
        if self._asking is None:
            self._asked = self._monotonic()
            anew = self._refused is not None
            self._asking = asyncio.get_running_loop().run_in_executor(_WORKER, self._fetch, anew)
            self._asking.add_done_callback(self._answered)
        return self._asking

    def _answered(self, asking: asyncio.Future[Key]) -> None:
        self._asking = None
        if asking.cancelled() or asking.exception() is not None:
            return  # the key there is stays in use; whoever waits has the exception
        self._key, self._refused = asking.result(), None

    def _fetch(self, anew: bool) -> Key:
        """In the worker thread. `anew` forgets what the library has cached."""
        try:
            if self._provider is None or anew:
                self._provider = self._build()
            found = self._provider.get_credentials()
            return _checked(found.get_access_key_id(), found.get_access_key_secret(), found.get_security_token())
        except CertstreamError:
            raise
        except Exception as error:
            failure = self._failure(error)
        raise failure  # out here: the library's exceptions quote whole answers

    def _failure(self, error: Exception) -> CertstreamError:
        cause = _discreet(f"{type(error).__name__}: {error}")
        if self._key is not None:
            return Transient(f"credentials cannot be renewed: {cause}")
        if isinstance(error, OSError) or type(error).__name__ == "RetryError" or "http_code: 5" in cause:
            return Transient(f"credentials cannot be fetched yet: {cause}")  # STS or the metadata service is away
        return Fatal(f"no credentials; tried: {self._tried}. Set one of them up. The library says: {cause}")


class _File:
    """A key whose secret is in a file, read each time: a rotated one counts at once."""

    def __init__(self, key_id: str, path: Path, library: Any) -> None:
        self._key_id, self._path, self._library = key_id, path, library

    def get_credentials(self) -> Any:
        return self._library.StaticAKCredentialsProvider(
            access_key_id=self._key_id, access_key_secret=_secret_in(self._path)
        ).get_credentials()


class _Profile:
    """A named profile, of the CLI's configuration or else of the credentials file."""

    def __init__(self, name: str, library: Any) -> None:
        self._sources = (
            library.CLIProfileCredentialsProvider(profile_name=name),
            library.ProfileCredentialsProvider(profile_name=name),
        )

    def get_credentials(self) -> Any:
        causes: list[str] = []
        for source in self._sources:
            try:
                return source.get_credentials()
            except Exception as error:
                causes.append(f"{type(source).__name__}: {error}")
        raise LookupError("; ".join(causes))


def _secret_in(path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Fatal(f"access_key_secret_file {path}: {getattr(error, 'strerror', None) or 'not text'}") from None
    if not secret:
        raise Fatal(f"access_key_secret_file {path}: it is empty")
    return secret


def _checked(key_id: str | None, secret: str | None, token: str | None) -> Key:
    key = Key((key_id or "").strip(), (secret or "").strip(), (token or "").strip() or None)
    if not key.key_id or not key.secret:
        raise Fatal("credentials: the access key id or its secret is empty")
    if not all(part.isascii() and part.isprintable() for part in (key.key_id, *key.secrets)):
        raise Fatal("credentials: the access key id, its secret or the token holds a character that none has")
    return key


def _silence() -> None:
    """The library prints to stderr, whole answers of STS among it."""
    log = logging.getLogger("credentials")
    log.handlers[:] = [logging.NullHandler()]
    log.propagate = False


_TELLTALE: Final = re.compile(r"""(\w*(?:secret|token|signature|password)\w*["']?\s*[:=]\s*)["']?[^"',}&\s]+""", re.I)


def _discreet(text: str) -> str:
    """An error of the library without the secrets that it may quote."""
    known = [os.environ.get(f"ALIBABA_CLOUD_{name}", "") for name in ("ACCESS_KEY_SECRET", "SECURITY_TOKEN")]
    return quoted(_TELLTALE.sub(r"\1***", text), known)
