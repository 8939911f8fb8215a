"""The certificate lists of one account (the port `Source`): sign, exchange once, decode. Never a retry."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from yarl import URL

from certstream import __version__
from certstream.core.answers import LIST, Answer, Denied, decode, server_date
from certstream.core.errors import CertstreamError, Fatal, Rejected, StaleCredentials, Transient
from certstream.core.signing import sign, timestamp
from certstream.source import endpoint as endpoints
from certstream.source import sts
from certstream.source.credentials import Credentials, Key
from certstream.source.exchange import LARGEST_ANSWER, Clocks, Line, Reply

LIST_REVOKED: Final = "ListRevokeCertificate"
VERSION: Final = "2020-06-30"
_UNSIGNED: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": f"certstream/{__version__}",
}  # a proxy may change them


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _nonce() -> str:
    return secrets.token_hex(16)


class _Whose(NamedTuple):
    """The user of a key, as STS said."""

    key_id: str
    uid: str


class CasSource:
    """Calls the certificate service for one account. Belongs to one event loop.

    `guard` is called right before a request is written and may raise to prevent it (see `exchange`); its exception
    comes out of `list`. `deadline` is in seconds and spans one call from the credentials to the last byte of the
    answer; `largest` bounds an answer, in bytes. `proxy` is a URL, with user and password if need be; `trust_env`
    takes it from HTTPS_PROXY and NO_PROXY. `ca_file` (PEM) replaces the system's CAs. Raises Fatal for an endpoint,
    proxy or CA file that cannot be used.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        credentials: Credentials,
        resource_group: str | None = None,
        guard: Callable[[], None] = lambda: None,
        deadline: float = 5.0,
        proxy: str | None = None,
        trust_env: bool = False,
        ca_file: str | None = None,
        insecure: bool = False,
        sts_endpoint: str | None = None,
        largest: int = LARGEST_ANSWER,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = _wall_ms,
        nonce: Callable[[], str] = _nonce,
    ) -> None:
        self._credentials, self._resource_group = credentials, resource_group
        self._guard, self._deadline, self._nonce = guard, deadline, nonce
        self._clocks = Clocks(monotonic=monotonic, wall_ms=wall_ms)
        context = endpoints.trust(ca_file)

        def line(origin: URL) -> Line:
            proxy_url = endpoints.proxy_for(origin, proxy, trust_env=trust_env)
            return Line(
                origin=origin, proxy=proxy_url, context=context, ca_file=ca_file, clocks=self._clocks, largest=largest
            )

        self._origin = endpoints.origin(endpoint, insecure=insecure)
        self._line = line(self._origin)
        sts_endpoint = sts_endpoint or endpoints.sts_for(self._origin)
        self._sts_origin = endpoints.origin(sts_endpoint, insecure=insecure) if sts_endpoint else None
        self._sts_line = line(self._sts_origin) if self._sts_origin else None
        self._whose: _Whose | None = None
        self._asking = asyncio.Lock()

    async def list(self, *, page: int, size: int, identifier: str | None = None, anywhere: bool = False) -> Answer:
        """One call, one request: see the port. Raises what `core.answers.decode`, `Credentials.current`,
        `Line.post` and the guard raise; Rejected for an `identifier` that cannot be one. After StaleCredentials or
        Denied the next call asks the source of the key again.

        Once STS has said whose the key is, another key is asked about before it calls. Raises Fatal for another
        user's."""
        if identifier is not None and not (identifier and identifier.isprintable()):
            raise Rejected("an identifier that cannot be asked for")  # a hostile record, no fault of the account
        query = {"CurrentPage": str(page), "ShowSize": str(size)}
        if identifier is not None:
            query["Identifier"] = identifier
        if self._resource_group is not None and not anywhere:
            query["ResourceGroupId"] = self._resource_group
        # Denied until the credentials change: then they must be looked up again.
        return await self._page(LIST, page, query, renew=(StaleCredentials, Denied))

    async def revoked(self, *, page: int, size: int) -> Answer:
        """As `list`, of all that the user has revoked, in whatever resource group: the operation knows none."""
        query = {"CurrentPage": str(page), "ShowSize": str(size)}
        # A permission of its own may be missing here: the key that the list is read with stays in use.
        return await self._page(LIST_REVOKED, page, query, renew=(StaleCredentials,))

    async def _page(
        self, action: str, page: int, query: dict[str, str], *, renew: tuple[type[CertstreamError], ...]
    ) -> Answer:
        end = self._clocks.monotonic() + self._deadline
        key = await self._key()
        await self._same_user(key, end)
        reply = await self._call(self._line, self._origin, action, VERSION, query, key, end, guard=self._guard)
        try:
            found = decode(
                reply.status,
                reply.headers,
                reply.body,
                page=page,
                now_ms=reply.received_at,
                secrets=key.secrets,
                action=action,
            )
        except renew:
            self._credentials.refresh(key)
            raise
        return Answer(
            page=found,
            sent=reply.sent,
            received=reply.received,
            sent_at=reply.sent_at,
            received_at=reply.received_at,
            date=server_date(reply.headers),
        )

    async def uid(self) -> str | None:
        """The UID behind the key, asked of STS; None where the endpoint is not Alibaba's and no `sts_endpoint` is
        set. Takes no slot. Raises as `list` does, but for the guard."""
        end = self._clocks.monotonic() + self._deadline
        if self._sts_line is None:
            return None
        key = await self._key()
        self._whose = _Whose(key.key_id, await self._uid_of(key, end))
        return self._whose.uid

    async def _same_user(self, key: Key, end: float) -> None:
        """A key that took the place of one whose user is known must be that user's: what another's shows would be
        told as this history. Raises Fatal for another user, and what STS raises: until it answers nobody calls."""
        async with self._asking:
            if self._whose is None or key.key_id == self._whose.key_id:
                return
            uid = await self._uid_of(key, end)
            if uid != self._whose.uid:
                self._credentials.refresh(key)
                raise Fatal(
                    f"the credentials were those of UID {self._whose.uid} and are now those of UID {uid}: nothing is "
                    f"observed with them. Give the account a key of its own user again, and the other user's "
                    f"certificates an account name of their own"
                )
            self._whose = _Whose(key.key_id, uid)

    async def _uid_of(self, key: Key, end: float) -> str:
        assert self._sts_line is not None
        assert self._sts_origin is not None
        reply = await self._call(self._sts_line, self._sts_origin, sts.ACTION, sts.VERSION, {}, key, end)
        try:
            return sts.account_id(reply, key.secrets)
        except StaleCredentials:
            self._credentials.refresh(key)
            raise

    async def close(self) -> None:
        """Close all connections. Calls under way fail."""
        await self._line.close()
        if self._sts_line is not None:
            await self._sts_line.close()

    async def _key(self) -> Key:
        try:
            async with asyncio.timeout(self._deadline):
                return await self._credentials.current()
        except TimeoutError:
            where = "look at what gives them: the RAM role's or OIDC token's service, or the network on the way to it"
            raise Transient(f"credentials were not there within {self._deadline:g} s: {where}") from None

    async def _call(
        self,
        line: Line,
        origin: URL,
        action: str,
        version: str,
        query: dict[str, str],
        key: Key,
        end: float,
        *,
        guard: Callable[[], None] = lambda: None,
    ) -> Reply:
        try:
            signed = sign(
                host=origin.host_port_subcomponent or "",
                action=action,
                version=version,
                query=query,
                date=timestamp(self._clocks.wall_ms()),
                nonce=self._nonce(),
                key_id=key.key_id,
                secret=key.secret,
                token=key.token,
            )
        except ValueError as error:
            raise Fatal(f"the request cannot be signed: {error}") from None
        return await line.post(signed.query, {**signed.headers, **_UNSIGNED}, guard=guard, deadline=end)
