"""Guard, deadline, cancellation, RST, TLS and proxies: what the pacing rests on."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certstream.core.errors import CertstreamError, Fatal, Transient
from certstream.ports import Stale
from certstream.source import exchange
from tests.source.server import Deaf, Server, answer, calling, first_page, serving


class Refused(Exception):
    """What a guard raises."""


@pytest.mark.parametrize("refusal", [Refused("no"), TimeoutError("no"), OSError("no"), Transient("no")])
async def test_a_guard_that_refuses_keeps_every_byte_off_a_new_connection(refusal: Exception) -> None:
    async with serving() as server:

        def guard() -> None:
            raise refusal

        async with calling(server.url, guard=guard) as source:
            with pytest.raises(type(refusal)) as caught:
                await first_page(source)
            assert caught.value is refusal
        await asyncio.sleep(0.05)
        assert server.connections == 1
        assert server.received == b""


async def test_a_guard_that_refuses_keeps_every_byte_off_a_used_connection() -> None:
    async with serving() as server:
        allowed = True

        def guard() -> None:
            if not allowed:
                raise Refused

        async with calling(server.url, guard=guard) as source:
            await first_page(source)
            before, allowed = server.received, False
            with pytest.raises(Refused):
                await first_page(source)
            await asyncio.sleep(0.02)
            assert server.received == before
            allowed = True
            await first_page(source)
            assert len(server.requests) == 2


async def test_a_call_that_is_refused_leaves_its_connection_to_the_next() -> None:
    """Else a path on which connecting takes longer than a slot is fresh would never be used."""
    async with serving() as server:
        asked = 0

        def guard() -> None:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise Stale("the slot is too old")

        async with calling(server.url, guard=guard) as source:
            with pytest.raises(Stale):
                await first_page(source)
            await first_page(source)
        assert (server.connections, len(server.requests)) == (1, 1)


async def test_the_guard_is_asked_when_the_connection_is_there_and_sent_is_read_after_it() -> None:
    async with serving() as server:
        asked: list[tuple[int, float]] = []

        def guard() -> None:
            time.sleep(0.01)
            asked.append((server.connections, time.monotonic()))

        async with calling(server.url, guard=guard) as source:
            await first_page(source)
            got = await first_page(source)
    assert [connections for connections, _ in asked] == [0, 1] or [connections for connections, _ in asked] == [1, 1]
    assert asked[1][1] <= got.sent <= got.received


async def test_nothing_is_written_when_the_loop_slept_through_the_deadline() -> None:
    """The timer has had no turn yet, so only the guard's own look at the clock can tell."""
    async with serving() as server:
        slow = False

        def guard() -> None:
            if slow:
                time.sleep(0.06)

        async with calling(server.url, guard=guard, deadline=0.05) as source:
            await first_page(source)
            before, slow = server.received, True
            with pytest.raises(Transient, match="the deadline passed before the request could be written"):
                await first_page(source)
            await asyncio.sleep(0.02)
            assert server.received == before


async def test_at_the_deadline_the_connection_has_been_reset_when_list_raises() -> None:
    with Deaf() as deaf:
        async with calling(deaf.url, deadline=0.1) as source:
            started = time.monotonic()
            with pytest.raises(Transient, match="deadline passed while waiting for the answer"):
                await first_page(source)
            arrived, reset = deaf.drain()  # no turn of the loop in between
            assert 0.1 <= time.monotonic() - started < 2
            assert arrived.startswith(b"POST /?CurrentPage=1&ShowSize=20 HTTP/1.1\r\n")
            assert reset


@pytest.mark.parametrize("size", [300_000, 12_000_000], ids=["kernel's buffer", "transport's buffer too"])
async def test_what_the_server_did_not_take_never_arrives(size: int) -> None:
    with Deaf() as deaf:
        async with calling(deaf.url, deadline=0.5) as source:
            with pytest.raises(Transient):
                await source.list(page=1, size=20, identifier="x" * size)
            arrived, reset = deaf.drain()
            assert b"\r\n\r\n" not in arrived
            assert reset


async def test_the_kernel_of_a_process_that_is_stopped_gives_up_what_nobody_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would deliver the request when the network is back, beside the calls of a successor."""
    monkeypatch.setattr(exchange, "_UNHEARD_MS", 300)
    with Deaf() as deaf:
        async with calling(deaf.url, deadline=60.0) as source:
            call = asyncio.create_task(source.list(page=1, size=20, identifier="x" * 300_000))
            await asyncio.sleep(0.3)  # all of it is in the kernel's buffers now
            time.sleep(1.5)  # noqa: ASYNC251 - the process does not run
            arrived, reset = deaf.drain(wait=0.5)
            assert b"\r\n\r\n" not in arrived
            assert reset
            with pytest.raises(Transient):
                await call


async def test_on_cancellation_the_connection_has_been_reset_when_list_raises() -> None:
    with Deaf() as deaf:
        about_to_write = asyncio.Event()
        async with calling(deaf.url, guard=about_to_write.set) as source:
            drained: list[tuple[bytes, bool]] = []

            async def call() -> None:
                try:
                    await first_page(source)
                finally:
                    drained.append(deaf.drain())

            task = asyncio.create_task(call())
            await about_to_write.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            arrived, reset = drained[0]
            assert arrived.endswith(b"\r\n\r\n")
            assert reset


async def test_a_cancelled_call_that_is_still_connecting_sends_nothing() -> None:
    async with serving() as server:
        task: asyncio.Task[object]

        def guard() -> None:
            task.cancel()

        async with calling(server.url, guard=guard) as source:
            task = asyncio.create_task(first_page(source))
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_an_answer_that_trickles_is_cut_off_at_the_deadline() -> None:
    async with serving() as server, calling(server.url, deadline=0.2) as source:
        lost = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.read(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            try:
                while True:
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.02)
            except ConnectionError:
                lost.set()

        server.talk = talk
        started = time.monotonic()
        with pytest.raises(Transient, match="waiting for the answer"):
            await first_page(source)
        assert time.monotonic() - started < 2
        await asyncio.wait_for(lost.wait(), 1)
        assert len(server.requests) == 1


async def test_a_deadline_of_one_call_leaves_the_others_alone() -> None:
    async with serving() as server, calling(server.url, deadline=0.6) as source:
        turn = 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal turn
            while True:
                await server.read(reader)
                turn += 1
                if turn == 3:
                    await asyncio.sleep(3)
                writer.write(answer())

        server.talk = talk
        results = await asyncio.gather(*(first_page(source) for _ in range(10)), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["Answer"] * 9 + ["Transient"]
        assert len(server.requests) == 10


def certificate(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A server's context with a certificate for localhost that nobody trusts, and the file that says to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "ca.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, str(pem)


async def test_a_certificate_that_nobody_trusts_is_fatal_and_names_ca_file(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    async with serving(context) as server, calling(server.url) as source:
        with pytest.raises(Fatal, match=r"TLS certificate is not trusted.*ca_file names another.*self-signed"):
            await first_page(source)
        assert server.received == b""


async def test_ca_file_says_whom_to_trust_and_the_deadline_resets_tls_too(tmp_path: Path) -> None:
    context, pem = certificate(tmp_path)
    async with serving(context) as server, serving() as between:
        between.talk = lambda reader, writer: relay(between, reader, writer, server.port)
        async with calling(f"https://localhost:{between.port}", ca_file=pem, deadline=0.6) as source:
            await first_page(source)
            server.says = b""
            with pytest.raises(Transient, match="waiting for the answer"):
                await first_page(source)
            await asyncio.sleep(0.05)
            assert (between.connections, len(server.requests)) == (1, 2)
            assert [type(error) for error in between.lost] == [ConnectionResetError]


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_read_is_fatal_at_construction(tmp_path: Path, content: str | None) -> None:
    from certstream.source.endpoint import trust

    if content:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(Fatal, match=r"ca_file .*ca\.pem: cannot be read"):
        trust(str(tmp_path / "ca.pem"))


async def relay(between: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", port)

    async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        try:
            while part := await source.read(65536):
                to.write(part)
        except OSError as error:
            between.lost.append(error)
        to.close()

    await asyncio.gather(copy(reader, back), copy(there, writer))


async def tunnel(proxy: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    await proxy.read(reader)
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await relay(proxy, reader, writer, port)


@pytest.mark.parametrize("how", ["explicit", "environment"])
async def test_a_proxy_tunnels_and_the_guard_is_asked_after_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    context, pem = certificate(tmp_path)
    async with serving(context) as server, serving() as proxy:
        proxy.talk = lambda reader, writer: tunnel(proxy, reader, writer, server.port)
        url = proxy.url.replace("//", "//user:hunter2@")
        options: dict[str, Any] = {"proxy": url} if how == "explicit" else {"trust_env": True}
        monkeypatch.setenv("https_proxy", url)
        monkeypatch.setenv("no_proxy", "other.example")
        (tmp_path / ".netrc").write_text("machine localhost login a password b\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))  # must not replace the signature
        asked: list[int] = []
        async with calling(
            server.url, ca_file=pem, guard=lambda: asked.append(len(proxy.requests)), **options
        ) as source:
            await first_page(source)
        assert asked == [1]
        assert proxy.requests[0].startswith(f"CONNECT localhost:{server.port} ".encode())
        assert b"Proxy-Authorization: Basic " in proxy.requests[0]
        assert b"x-acs" not in proxy.requests[0]
        assert b"Authorization: ACS3-HMAC-SHA256" in server.requests[0]


@pytest.mark.parametrize(
    ("status", "kind"), [("407 Proxy Authentication Required", Fatal), ("502 Bad Gateway", Transient)]
)
async def test_a_proxy_that_says_no_is_told_without_its_password(status: str, kind: type[CertstreamError]) -> None:
    async with serving() as proxy:
        proxy.says = answer(b"", status=status)
        async with calling("https://cas.invalid", proxy=proxy.url.replace("//", "//user:hunter2@")) as source:
            with pytest.raises(kind, match="the proxy") as caught:
                await first_page(source)
    assert "hunter2" not in str(caught.value)


async def test_a_proxy_that_is_not_there_is_transient() -> None:
    async with serving() as proxy:
        url = proxy.url
    async with calling("https://cas.invalid", proxy=url) as source:
        with pytest.raises(Transient, match=r"cas\.invalid: no connection to 127.*refused.*look at the proxy's URL"):
            await first_page(source)


# --- What people read when there is no way to the endpoint -----------------------------------------------------------


async def failing(url: str, **settings: Any) -> str:
    """What a call fails with."""
    async with calling(url, **settings) as source:
        with pytest.raises(Transient) as caught:
            await first_page(source)
    text = str(caught.value)
    assert text.startswith(f"{url}: ")
    assert "ssl:" not in text
    assert "look at" in text
    return text


async def test_a_name_that_nobody_knows_says_so() -> None:
    text = await failing("http://cas.invalid:8099", insecure=True)
    assert "the name cas.invalid cannot be resolved" in text
    assert "DNS" in text


async def test_a_port_where_nothing_listens_says_so() -> None:
    async with serving() as server:
        url = server.url
    assert f"no connection to 127.0.0.1:{server.port} (Connection refused)" in await failing(url)


async def test_a_server_that_hangs_up_says_so() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with serving() as server:
        server.talk = hang_up
        assert "closed before the answer had come" in await failing(server.url)


async def test_https_to_a_port_that_speaks_http_says_so() -> None:
    async with serving() as server:
        server.says = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        assert "https" in await failing(f"https://localhost:{server.port}")


async def test_an_answer_that_does_not_come_says_where_from() -> None:
    with Deaf() as deaf:
        assert "while waiting for the answer" in await failing(deaf.url, deadline=0.1)


async def test_the_way_through_a_proxy_names_the_proxy_without_its_password() -> None:
    async with serving() as proxy:
        proxy.talk = lambda reader, writer: asyncio.sleep(1)
        url = proxy.url.replace("//", "//user:hunter2@")
        text = await failing("https://cas.invalid", proxy=url, deadline=0.2)
    assert f"the proxy {proxy.url}" in text
    assert "hunter2" not in text


def test_a_proxy_that_is_no_url_is_fatal_without_telling_it() -> None:
    from yarl import URL

    from certstream.source.endpoint import proxy_for

    with pytest.raises(Fatal, match="proxy is no http or https URL") as caught:
        proxy_for(URL("https://cas.aliyuncs.com"), "socks5://user:hunter2@proxy:1", trust_env=False)
    assert "hunter2" not in str(caught.value)
