"""What `CasSource` sends, and what it makes of answers, hostile ones too."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import tracemalloc
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from certstream.core.answers import Denied, Forbidden, Garbled, decode
from certstream.core.errors import CertstreamError, Fatal, Rejected, StaleCredentials, Throttled, Transient
from certstream.ports import Source
from certstream.source.cas import CasSource
from certstream.source.credentials import Key, static
from tests.source.server import DATE, KEY_ID, SECRET, TOKEN, answer, calling, first_page, serving, zipped


def head(request: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = request.decode().rstrip("\r\n").split("\r\n")
    return first, {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


async def test_a_call_is_a_post_with_its_parameters_in_the_query_and_no_body() -> None:
    async with serving() as server, calling(server.url, resource_group="rg-1") as source:
        server.says = answer(pretend(3))
        await source.list(page=3, size=50, identifier="a b+é")
        server.says = answer(pretend(1))
        await source.list(page=1, size=20, anywhere=True)
        first, headers = head(server.requests[0])
        assert first == ("POST /?CurrentPage=3&Identifier=a%20b%2B%C3%A9&ResourceGroupId=rg-1&ShowSize=50 HTTP/1.1")
        assert headers["content-length"] == "0"
        assert headers["accept"] == "application/json"
        assert headers["accept-encoding"] == "gzip"
        assert headers["host"] == f"127.0.0.1:{server.port}"
        assert headers["x-acs-action"] == "ListClientCertificate"
        assert headers["x-acs-version"] == "2020-06-30"
        assert "content-type" not in headers
        assert head(server.requests[1])[0] == "POST /?CurrentPage=1&ShowSize=20 HTTP/1.1"
        assert headers["x-acs-signature-nonce"] != head(server.requests[1])[1]["x-acs-signature-nonce"]


async def test_the_list_of_the_revoked_is_asked_for_like_the_other_of_no_group_and_denied_in_its_own_name() -> None:
    asked: list[Key] = []

    class Watching:
        async def current(self) -> Key:
            return Key(KEY_ID, SECRET, None)

        def refresh(self, refused: Key) -> None:
            asked.append(refused)

    keys = Watching()
    async with serving() as server, calling(server.url, resource_group="rg-1", credentials=keys) as source:
        server.says = answer(pretend(2))
        got = await source.revoked(page=2, size=50)
        first, headers = head(server.requests[0])
        assert first == "POST /?CurrentPage=2&ShowSize=50 HTTP/1.1"
        assert (headers["x-acs-action"], headers["x-acs-version"]) == ("ListRevokeCertificate", "2020-06-30")
        assert got.page.total == 1
        with pytest.raises(Garbled, match="asked for page 7"):
            await source.revoked(page=7, size=50)
        server.says = answer({"Code": "NoPermission", "Message": "no"}, status="403 Forbidden")
        with pytest.raises(Forbidden, match="allow yundun-cert:ListRevokeCertificate in a RAM policy"):
            await source.revoked(page=1, size=50)
        assert asked == []  # the key is good for the other list
        with pytest.raises(Forbidden, match="allow yundun-cert:ListClientCertificate in a RAM policy"):
            await first_page(source)
        server.says = answer({"Code": "InvalidSecurityToken.Expired", "Message": "old"}, status="400 Bad")
        with pytest.raises(StaleCredentials):
            await source.revoked(page=1, size=50)
        assert len(asked) == 2


def pretend(page: int) -> dict[str, Any]:
    return {"CertificateList": [{"Identifier": "x"}], "CurrentPage": page, "TotalCount": 1}


async def test_what_arrives_verifies_as_a_server_verifies_it() -> None:
    """An independent verifier: it decodes the query and trusts the request's own list of signed headers."""
    async with serving() as server, calling(server.url) as source:
        await source.list(page=1, size=20, identifier="a*b~/é")
        first, headers = head(server.requests[0])
        query = sorted(parse_qsl(urlsplit(first.split(" ")[1]).query, strict_parsing=True))
        assert query == [("CurrentPage", "1"), ("Identifier", "a*b~/é"), ("ShowSize", "20")]
        given = dict(part.split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(","))
        names = given["SignedHeaders"].split(";")
        assert {"host", "x-acs-date", "x-acs-security-token", "x-acs-accesskey-id"} <= set(names)
        request = "\n".join(
            ["POST", "/", "CurrentPage=1&Identifier=a%2Ab~%2F%C3%A9&ShowSize=20"]
            + [f"{name}:{headers[name]}" for name in names]
            + ["", ";".join(names), hashlib.sha256(b"").hexdigest()]
        )
        text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(request.encode()).hexdigest()
        assert given["Signature"] == hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
        assert given["Credential"] == KEY_ID


async def test_an_answer_says_when_it_was_asked_and_answered() -> None:
    monotonic, wall = iter([100.0, 100.0, 100.5, 101.25]), iter([9_000, 9_500, 10_250])
    async with serving() as server:
        server.says = answer(pretend(1))
        async with calling(server.url, monotonic=lambda: next(monotonic), wall_ms=lambda: next(wall)) as source:
            got = await first_page(source)
    assert (got.sent, got.received, got.sent_at, got.received_at) == (100.5, 101.25, 9_500, 10_250)
    assert got.date == 1761811200000
    assert [bytes(record) for record in got.page.records] == [b'{"Identifier": "x"}']


async def test_calls_share_connections() -> None:
    async with serving() as server, calling(server.url) as source:
        for _ in range(3):
            await first_page(source)
        assert (server.connections, len(server.requests)) == (1, 3)


async def test_a_gzipped_answer_is_inflated() -> None:
    async with serving() as server, calling(server.url) as source:
        server.says = zipped(json.dumps(pretend(1)).encode())
        assert (await first_page(source)).page.total == 1


@pytest.mark.parametrize(
    ("says", "kind", "text"),
    [
        (answer(b"<html>hello</html>"), Garbled, "<html>hello</html>"),
        (answer(b"<html>hello</html>", status="503 Service Unavailable"), Transient, "HTTP 503"),
        (answer(pretend(2)), Garbled, "asked for page 1, answered with page 2"),
        (answer(b'{"CertificateList":[{'), Garbled, "without a JSON object"),
        (answer(b"", status="302 Found", headers=("Location: /elsewhere",)), Garbled, "redirects to /elsewhere"),
        (answer(b"", status="307 Temporary Redirect", headers=("Location: /elsewhere",)), Garbled, "not followed"),
        (answer({"Code": "Throttling.User"}, headers=("x-acs-retry-after: 2000",)), Throttled, "Throttling.User"),
        (answer({"Code": "Forbidden.RAM"}, status="403 Forbidden"), Forbidden, "yundun-cert:ListClientCertificate"),
        (answer(b"x" * 5000), Garbled, "answer larger than 4096 bytes"),
        (zipped(b"x" * 5000), Garbled, "answer larger than 4096 bytes"),
        (zipped(b"{}", cut=4), Garbled, "ends too soon"),
        (answer(b"no gzip", headers=("Content-Encoding: gzip",)), Garbled, "incorrect header check"),
        (answer(b"br", headers=("Content-Encoding: br",)), Garbled, "Content-Encoding that was not asked for: br"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Garbled, "127.0.0.1"),
    ],
)
async def test_a_hostile_answer_is_a_typed_error_after_one_request(
    says: bytes, kind: type[CertstreamError], text: str
) -> None:
    async with serving() as server, calling(server.url, largest=4096) as source:
        server.says = says
        with pytest.raises(kind) as caught:
            await first_page(source)
        assert type(caught.value) is kind
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)
        server.says = answer()
        await first_page(source)  # and the next call works
        assert len(server.requests) == 2


async def test_a_bomb_is_given_up_at_the_limit() -> None:
    bomb = gzip.compress(gzip.compress(b"\x00" * (64 << 20), 9), 9)
    flat = gzip.compress(b"\x00" * (64 << 20), 9)
    async with serving() as server, calling(server.url, largest=1 << 20) as source:
        server.says = answer(flat, headers=("Content-Encoding: gzip",))
        tracemalloc.start()
        try:
            with pytest.raises(Garbled, match="larger than 1048576 bytes"):
                await first_page(source)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()
        server.says = answer(bomb, headers=("Content-Encoding: gzip",))
        with pytest.raises(Garbled):
            await first_page(source)


async def test_an_endless_answer_is_given_up_at_the_limit() -> None:
    async with serving() as server, calling(server.url, largest=1 << 20) as source:
        written = 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            await server.read(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                written += 65536
                await writer.drain()

        server.talk = talk
        with pytest.raises(Garbled, match="larger than 1048576 bytes"):
            await first_page(source)
        assert written < 64 << 20


async def test_an_answer_cut_short_is_transient_and_not_asked_again() -> None:
    async with serving() as server, calling(server.url) as source:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.read(reader)
            writer.write(answer()[:-10])

        server.talk = talk
        with pytest.raises(Transient):
            await first_page(source)
        assert (server.connections, len(server.requests)) == (1, 1)


async def test_a_server_that_hangs_up_on_an_old_connection_is_not_asked_again() -> None:
    async with serving() as server, calling(server.url) as source:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.read(reader)
            writer.write(answer())
            await server.read(reader)

        server.talk = talk
        await first_page(source)
        with pytest.raises(Transient, match="Server disconnected"):
            await first_page(source)
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_closed_port_is_transient_and_says_where() -> None:
    async with serving() as server:
        url = server.url
    async with calling(url) as source:
        with pytest.raises(Transient, match=r"127\.0\.0\.1:\d+.*Connection refused"):
            await first_page(source)


class Rotating:
    """Credentials that count how often they were told to refresh."""

    def __init__(self) -> None:
        self.refused: list[Key] = []

    async def current(self) -> Key:
        return Key(KEY_ID, SECRET, f"token-{len(self.refused)}")

    def refresh(self, refused: Key) -> None:
        self.refused.append(refused)


@pytest.mark.parametrize("code", ["InvalidSecurityToken.Expired", "InvalidAccessKeyId.NotFound"])
async def test_a_refused_key_is_replaced_at_the_next_call_and_not_by_a_retry(code: str) -> None:
    credentials = Rotating()
    async with serving() as server, calling(server.url, credentials=credentials) as source:
        server.says = answer({"Code": code}, status="400 Bad Request")
        with pytest.raises((StaleCredentials, Denied)):
            await first_page(source)
        assert len(server.requests) == 1
        assert [key.token for key in credentials.refused] == ["token-0"]
        server.says = answer()
        await first_page(source)
        assert head(server.requests[1])[1]["x-acs-security-token"] == "token-1"


async def test_an_error_that_repeats_the_request_tells_no_secret() -> None:
    async with serving() as server, calling(server.url) as source:
        server.says = lambda request: answer(
            request[request.index(b"x-acs-security-token") :], status="400 Bad Request"
        )
        with pytest.raises(Garbled) as caught:
            await first_page(source)
        assert TOKEN in server.requests[0].decode()
        assert "x-acs-security-token: ***" in str(caught.value)


async def test_no_error_drags_the_request_along() -> None:
    async with serving() as server, calling(server.url) as source:
        server.talk = lambda reader, writer: asyncio.sleep(0)
        with pytest.raises(Transient) as caught:
            await first_page(source)
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None


async def test_credentials_that_do_not_come_are_transient_and_nothing_is_sent() -> None:
    class Never(Rotating):
        async def current(self) -> Key:
            await asyncio.Event().wait()
            raise AssertionError

    async with serving() as server, calling(server.url, credentials=Never(), deadline=0.05) as source:
        with pytest.raises(Transient, match=r"credentials were not there within 0\.05 s"):
            await first_page(source)
        assert server.connections == 0


@pytest.mark.parametrize("identifier", ["", "\ud800", "a\nb"])
async def test_an_identifier_that_cannot_be_asked_for_is_rejected_alone(identifier: str) -> None:
    async with serving() as server, calling(server.url) as source:
        with pytest.raises(Rejected):
            await source.list(page=1, size=20, identifier=identifier)
        assert server.connections == 0


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://cas.aliyuncs.com",
        "http://localhost.example",
        "ftp://cas.aliyuncs.com",
        "cas.aliyuncs.com",
        "https://",
        "https://user:hunter2@cas.aliyuncs.com",
        "https://cas.aliyuncs.com/api",
        "https://cas.aliyuncs.com/?a=b",
        "https://cas.aliyuncs.com:99999",
        "",
    ],
)
def test_an_endpoint_that_cannot_be_called_is_fatal_at_construction(endpoint: str) -> None:
    with pytest.raises(Fatal, match="endpoint") as caught:
        CasSource(endpoint=endpoint, credentials=static(KEY_ID, SECRET))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "insecure"),
    [
        ("https://cas.aliyuncs.com", False),
        ("https://cas.aliyuncs.com/", False),
        ("http://localhost:1", False),
        ("http://127.0.0.2:1", False),
        ("http://[::1]:1", False),
        ("http://simulator:8080", True),
    ],
)
def test_http_is_for_loopback_or_for_those_who_insist(endpoint: str, insecure: bool) -> None:
    source: Source = CasSource(endpoint=endpoint, credentials=static(KEY_ID, SECRET), insecure=insecure)
    assert SECRET not in repr(vars(source))


def test_the_date_of_the_answer_is_the_one_that_skew_is_measured_by() -> None:
    with pytest.raises(Fatal, match="1 s ahead"):
        decode(400, {"Date": DATE}, b'{"Code":"InvalidTimeStamp.Expired"}', page=1, now_ms=1761811201000)
