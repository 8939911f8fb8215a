"""One request, once: an HTTP exchange of which nothing can reach the wire after it has returned or raised.

What `Line.post` guarantees (the pacing rests on it):

- **At most one request.** No redirect is followed, nothing is sent again: aiohttp repeats only idempotent methods
  on a dead connection, this is POST.
- **Guarded.** `guard` is called when a connection stands ready; the deadline is read after it; from there to the
  write nothing awaits. Either refusing means that no byte of the request was written. (What a tunnel through a proxy
  and TLS need goes before: it is no call.)
- **Carried out when it says so.** Whenever it raises, its connection has been reset: SO_LINGER of zero makes `close`
  drop what the kernel still holds and send RST (`tcp(7)`, `socket(7)`), and it is closed on the spot, not by a later
  turn of the event loop. A call that is over leaves a healthy connection in the pool.
- **Enclosed.** `sent` was read before the first byte could leave, `received` after the last one had come.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import weakref
import zlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.tracing import Trace
from yarl import URL

from certstream.core.answers import Garbled, quoted
from certstream.core.errors import CertstreamError, Fatal, Transient

LARGEST_ANSWER: Final = 32 << 20
"""Bytes, before and after inflating. A hundred records are 250 KB as a rule; this leaves 300 KB for each."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_UNHEARD_MS: Final = 5_000
"""Milliseconds after which the kernel gives up what nobody has acknowledged, also while this process is stopped: a
request that waits in its buffers for a network to come back would arrive when a successor calls already."""
_CHUNK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, inflated. Times as in `core.answers.Answer`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent: float
    received: float
    sent_at: int
    received_at: int


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the times come from: `monotonic` in seconds, `wall_ms` in Unix milliseconds."""

    monotonic: Callable[[], float]
    wall_ms: Callable[[], int]


class _Attempt:
    """What one call holds while it is under way."""

    def __init__(self, clocks: Clocks, guard: Callable[[], None], deadline: float) -> None:
        self.clocks, self.guard, self.deadline = clocks, guard, deadline
        self.sent, self.sent_at = 0.0, 0
        self.connection: tuple[asyncio.Transport, socket.socket] | None = None
        self.refusal: Exception | None = None

    def clear(self) -> None:
        """Raise unless the first byte may leave now, and note the time."""
        try:
            self.guard()
            now = self.clocks.monotonic()
            if now >= self.deadline:
                raise Transient("the deadline passed before the request could be written")
        except Exception as refusal:
            self.refusal = refusal
            raise
        self.sent, self.sent_at = now, self.clocks.wall_ms()

    def reset(self) -> None:
        """Drop the connection with all that is in it, before this returns."""
        if self.connection:
            transport, sock = self.connection
            transport.abort()  # takes the socket out of the loop and empties the transport's own buffer
            sock.close()  # now, rather than in the loop's next turn


_ATTEMPT: Final[ContextVar[_Attempt]] = ContextVar("attempt")


class _Connector(aiohttp.TCPConnector):
    """Connections that reset when they are closed, and that are handed out only when the attempt is clear to go.

    `connect` is the last thing before the request is written: aiohttp's `send` writes head and (empty) body without
    awaiting. A trace hook that raises would do the same, but aiohttp then leaks the new connection.
    """

    def __init__(self, *, context: ssl.SSLContext) -> None:
        self._made: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        super().__init__(ssl=context, limit=0, socket_factory=self._make)

    def _make(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family=family, type=kind, proto=protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD_MS)
        self._made.add(made)
        return made

    def _behind(self, transport: asyncio.Transport) -> socket.socket:
        """The socket under a transport, below TLS and tunnels: asyncio shows a stand-in that cannot be closed."""
        number = transport.get_extra_info("socket").fileno()
        return next(made for made in list(self._made) if made.fileno() == number)

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        attempt = _ATTEMPT.get()
        try:
            if (transport := connection.transport) is None or transport.is_closing():
                raise aiohttp.ServerDisconnectedError
            attempt.connection = transport, self._behind(transport)
            attempt.clear()
        except Exception:
            if attempt.refusal is None:
                connection.close()
            else:  # nothing was written: who asks again soon (a slot was too old) finds it connected
                attempt.connection = None
                connection.release()
            raise
        return connection


class Line:
    """The way to one endpoint, through a proxy or not, with its pool of connections. Belongs to one event loop."""

    def __init__(
        self,
        *,
        origin: URL,
        proxy: URL | None,
        context: ssl.SSLContext,
        ca_file: str | None,
        clocks: Clocks,
        largest: int = LARGEST_ANSWER,
    ) -> None:
        self._origin, self._proxy, self._context, self._ca_file = origin, proxy, context, ca_file
        self._clocks, self._largest = clocks, largest
        self._session: aiohttp.ClientSession | None = None
        self._secrets = [part for part in (proxy.password, proxy.user) if part] if proxy else []

    async def post(
        self, query: str, headers: Mapping[str, str], *, guard: Callable[[], None], deadline: float
    ) -> Reply:
        """POST an empty body. `query` goes out as it is. `deadline` on the monotonic clock, seconds.

        Raises what `guard` raises; Transient, Garbled or Fatal for what went wrong on the way.
        """
        attempt = _Attempt(self._clocks, guard, deadline)
        token = _ATTEMPT.set(attempt)
        try:
            async with asyncio.timeout(deadline - self._clocks.monotonic()):
                return await self._attempt(attempt, query, headers)
        except (aiohttp.ClientError, OSError, zlib.error) as error:  # TimeoutError is an OSError
            failure = attempt.refusal or self._failure(error, sent=attempt.sent > 0)
        finally:
            _ATTEMPT.reset(token)
        raise failure  # out here, so that no request with its headers hangs on it as context

    async def _attempt(self, attempt: _Attempt, query: str, headers: Mapping[str, str]) -> Reply:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(context=self._context),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # ours is exact, aiohttp's is rounded
                auto_decompress=False,
                skip_auto_headers=("Content-Type", "User-Agent"),
                trust_env=False,  # it would also look for the host in .netrc, and then refuse to send our signature
            )
        url = URL(f"{self._origin}/?{query}", encoded=True)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await self._session.post(url, headers=headers, allow_redirects=False, proxy=self._proxy)
            body = await self._read(response)
        except BaseException:
            # A connection that has delivered the whole answer is in the pool again and may be somebody else's.
            if response is None or not response.content.is_eof():
                attempt.reset()
            if response is not None:
                response.close()
            raise
        received, received_at = self._clocks.monotonic(), self._clocks.wall_ms()
        return Reply(response.status, response.headers, body, attempt.sent, received, attempt.sent_at, received_at)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip", ""):
            raise Garbled(f"answer in a Content-Encoding that was not asked for: {quoted(coding)}")
        inflate = zlib.decompressobj(wbits=31) if coding == "gzip" else None
        parts: list[bytes] = []
        left = self._largest
        async for chunk in response.content.iter_chunked(_CHUNK):
            part = inflate.decompress(chunk, left + 1) if inflate else chunk
            left -= len(part)
            if left < 0:
                raise Garbled(f"answer larger than {self._largest} bytes, HTTP {response.status}")
            parts.append(part)
        if inflate and not inflate.eof and parts:
            raise Garbled(f"compressed answer ends too soon, HTTP {response.status}")
        return b"".join(parts)

    def _failure(self, error: Exception, *, sent: bool) -> CertstreamError:
        """What went wrong between here and the endpoint, in one line, and what to look at."""
        place = str(self._origin)
        cause = quoted(str(error) or type(error).__name__, self._secrets)
        if isinstance(error, TimeoutError) and sent:
            return Transient(
                f"{place}: the deadline passed while waiting for the answer; if it goes on, the service or the network "
                f"on the way to it is slow, or something on the way swallows what is sent: {self._way}"
            )
        if isinstance(error, TimeoutError):
            return Transient(f"{place}: the deadline passed while connecting: {self._way}")
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            trusted = f"ca_file {self._ca_file}" if self._ca_file else "the system's CAs; ca_file names another"
            return Fatal(f"{place}: its TLS certificate is not trusted ({trusted}): {cause}")
        if isinstance(error, aiohttp.ClientHttpProxyError):
            if error.status == 407:
                return Fatal(f"{place}: the proxy wants a user and a password: put them into the proxy's URL")
            return Transient(f"{place}: the proxy answered CONNECT with HTTP {error.status}: look at the proxy")
        if isinstance(error, aiohttp.ClientConnectorError):
            return Transient(f"{place}: {self._no_connection(error)}")
        if isinstance(error, aiohttp.ClientResponseError | zlib.error | aiohttp.ClientPayloadError):
            return Garbled(f"{place}: {cause}")
        return Transient(
            f"{place}: the connection was closed before the answer had come ({cause}); if it goes on: {self._way}, and "
            f"whether {self._origin.scheme} is what the endpoint speaks"
        )

    @property
    def _way(self) -> str:
        proxy = f", the proxy {self._proxy.origin()}" if self._proxy else ""
        return f"look at the endpoint{proxy} and the firewalls on the way"

    def _no_connection(self, error: aiohttp.ClientConnectorError) -> str:
        """aiohttp's own text says `ssl:default` of http, too, and nothing of the proxy."""
        host = quoted(error.host, self._secrets)
        key = "the proxy's URL" if self._proxy and error.host == self._proxy.host else "the endpoint"
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            cause = quoted(error.os_error.strerror or str(error.os_error), self._secrets)
            return (
                f"the name {host} cannot be resolved ({cause}): look at the spelling of {key}, and at this host's DNS"
            )
        if isinstance(error, aiohttp.ClientSSLError):
            return f"no TLS with {host}:{error.port} ({quoted(str(error.os_error))}): does it speak https? {self._way}"
        number = error.os_error.errno
        cause = os.strerror(number) if number else quoted(str(error.os_error), self._secrets)
        return f"no connection to {host}:{error.port} ({cause}): look at {key}, and the firewalls on the way"

    async def close(self) -> None:
        """Close the pool. Calls under way fail."""
        if self._session is not None:
            await self._session.close()
