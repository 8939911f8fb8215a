"""A server that says what a test tells it to, byte for byte, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from certstream.core.answers import Answer
from certstream.source.cas import CasSource
from certstream.source.credentials import static

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

KEY_ID, SECRET, TOKEN = "LTAItestAccessKeyId0000", "testSecret0000000000000000000", "STStok/==+"
DATE = "Thu, 30 Oct 2025 08:00:00 GMT"


def answer(
    content: bytes | dict[str, Any] | None = None,
    *,
    status: str = "200 OK",
    headers: tuple[str, ...] = (f"Date: {DATE}",),
) -> bytes:
    """An HTTP answer; an empty first page unless told otherwise."""
    if content is None:
        content = {"CertificateList": [], "CurrentPage": 1, "ShowSize": 20, "TotalCount": 0, "RequestId": "R"}
    if isinstance(content, dict):
        content = json.dumps(content).encode()
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(head).encode() + content


def zipped(content: bytes, *, cut: int = 0) -> bytes:
    packed = gzip.compress(content)
    return answer(packed[: len(packed) - cut], headers=("Content-Encoding: gzip",))


class Server:
    """Answers each request with what `says` gives; records request heads and connections."""

    def __init__(self) -> None:
        self.says: bytes | Callable[[bytes], bytes] = answer()
        self.talk: Talk = self._talk
        self.requests: list[bytes] = []
        self.received = b""
        self.connections = 0
        self.lost: list[OSError] = []
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}" if self.scheme == "https" else f"http://127.0.0.1:{self.port}"

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = await reader.readline()
            self.received += line
            if not line:
                raise EOFError
            head += line
        self.requests.append(head)
        return head

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await self.read(reader)
            writer.write(self.says if isinstance(self.says, bytes) else self.says(head))
            await writer.drain()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.talk(reader, writer)
        except (EOFError, OSError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=context, limit=1 << 24)
    server.port = listening.sockets[0].getsockname()[1]
    server.scheme = "https" if context else "http"
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def calling(endpoint: str, **options: Any) -> AsyncIterator[CasSource]:
    source = CasSource(**{"endpoint": endpoint, "credentials": static(KEY_ID, SECRET, TOKEN), **options})
    try:
        yield source
    finally:
        await source.close()


async def first_page(source: CasSource) -> Answer:
    return await source.list(page=1, size=20)


class Deaf:
    """A socket that accepts, and reads only when the test says so, without the event loop in between."""

    def __init__(self) -> None:
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen()
        self.listening.settimeout(2)
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def __enter__(self) -> Deaf:
        return self

    def __exit__(self, *_: object) -> None:
        self.listening.close()

    def drain(self, wait: float = 0.0) -> tuple[bytes, bool]:
        """What has arrived at the one connection, and whether it was reset, as of now; with `wait`, and what still
        comes until nothing has come for so many seconds."""
        accepted, _ = self.listening.accept()
        accepted.settimeout(wait)
        arrived = b""
        with accepted:
            while True:
                try:
                    part = accepted.recv(1 << 20)
                except ConnectionResetError:
                    return arrived, True
                except (BlockingIOError, TimeoutError):
                    return arrived, False
                if not part:
                    return arrived, False
                arrived += part
