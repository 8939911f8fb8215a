"""Whose key it is."""

from __future__ import annotations

import asyncio

import pytest

from certstream.core.answers import Denied, Garbled
from certstream.core.errors import CertstreamError, Fatal, StaleCredentials, Throttled, Transient
from certstream.source import endpoint as endpoints
from certstream.source.credentials import Key
from tests.source.server import KEY_ID, SECRET, answer, calling, first_page, serving


async def test_the_uid_is_asked_of_sts_and_takes_no_guard() -> None:
    def guard() -> None:
        raise AssertionError("a slot was taken")

    async with serving() as server, calling("http://127.0.0.1:1", sts_endpoint=server.url, guard=guard) as source:
        server.says = answer(
            {"AccountId": "1234567890123456", "Arn": "acs:ram::1234567890123456:user/u", "UserId": "2"}
        )
        assert await source.uid() == "1234567890123456"
        server.says = answer({"AccountId": 1234567890123456})
        assert await source.uid() == "1234567890123456"
        (request, _) = server.requests
        assert request.startswith((b"POST / HTTP/1.1", b"POST /? HTTP/1.1"))
        assert b"x-acs-action: GetCallerIdentity\r\n" in request
        assert b"x-acs-version: 2015-04-01\r\n" in request


class Rotating:
    """Credentials of which another key comes with each refusal, or because somebody says so."""

    def __init__(self) -> None:
        self.number = 0

    async def current(self) -> Key:
        return Key(f"{KEY_ID}{self.number}", SECRET)

    def refresh(self, refused: Key) -> None:
        self.number += 1


async def test_another_key_lists_nothing_before_sts_says_that_it_is_the_same_users() -> None:
    credentials = Rotating()
    async with (
        serving() as server,
        serving() as sts,
        calling(server.url, sts_endpoint=sts.url, credentials=credentials) as source,
    ):
        sts.says = answer({"Code": "ServiceUnavailable"}, status="503 Away")
        await first_page(source)
        credentials.number = 1
        await first_page(source)
        assert not sts.requests, "it never said whose the first key is"
        sts.says = answer({"AccountId": "1"})
        assert await source.uid() == "1"
        credentials.number = 2
        await asyncio.gather(*(first_page(source) for _ in range(5)))
        assert (len(sts.requests), len(server.requests)) == (2, 7)
        credentials.number = 3
        sts.says = answer({"Code": "ServiceUnavailable"}, status="503 Away")
        with pytest.raises(Transient):
            await first_page(source)
        with pytest.raises(Transient):
            await source.revoked(page=1, size=1)
        assert len(server.requests) == 7
        sts.says = answer({"AccountId": "2"})
        with pytest.raises(Fatal, match="were those of UID 1 and are now those of UID 2: nothing is observed"):
            await first_page(source)
        assert credentials.number == 4, "the next call asks for another one"
        assert len(server.requests) == 7
        sts.says = answer({"AccountId": "1"})
        await first_page(source)
        assert len(server.requests) == 8


async def test_an_endpoint_that_is_not_alibabas_is_not_taken_for_one() -> None:
    async with serving() as server, calling(server.url) as source:
        assert await source.uid() is None
        assert server.connections == 0


@pytest.mark.parametrize(
    ("endpoint", "sts"),
    [
        ("https://cas.aliyuncs.com", "https://sts.aliyuncs.com"),
        ("https://cas.ap-southeast-1.aliyuncs.com", "https://sts.aliyuncs.com"),
        ("https://cas-vpc.cn-hangzhou.aliyuncs.com", "https://sts-vpc.cn-hangzhou.aliyuncs.com"),
        ("https://aliyuncs.com.example", None),
        ("https://notaliyuncs.com", None),
        ("http://127.0.0.1:1", None),
    ],
)
def test_sts_is_beside_the_certificate_service(endpoint: str, sts: str | None) -> None:
    assert endpoints.sts_for(endpoints.origin(endpoint, insecure=False)) == sts


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (answer({"AccountId": None}), Garbled),
        (answer({"AccountId": True}), Garbled),
        (answer({"AccountId": "acs:x"}), Garbled),
        (answer(b"<html>"), Garbled),
        (answer({"AccountId": "1"}, status="404 Not Found"), Garbled),
        (answer({"Code": "InvalidAccessKeyId.NotFound"}, status="404 Not Found"), Denied),
        (answer({"Code": "InvalidSecurityToken.Expired"}, status="400 Bad Request"), StaleCredentials),
        (answer({"Code": "Throttling.User"}, status="400 Bad Request"), Throttled),
        (answer({"Code": "InvalidTimeStamp.Expired"}, status="400 Bad Request"), Fatal),
    ],
)
async def test_what_is_no_identity_is_a_typed_error(says: bytes, kind: type[CertstreamError]) -> None:
    async with serving() as server, calling("http://127.0.0.1:1", sts_endpoint=server.url) as source:
        server.says = says
        with pytest.raises(kind) as caught:
            await source.uid()
        assert type(caught.value) is kind
