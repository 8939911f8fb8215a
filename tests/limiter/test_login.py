"""How it logs in to Redis: by password, as a user with no more rights than needed, over TLS."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from certstream.app import build_limiters
from certstream.config import Account, Config
from certstream.core.errors import Fatal
from certstream.limiter.redis import LimiterAway, RedisSlots
from certstream.service.clock import Clock
from tests.real import pki
from tests.real.redis import RedisServer

PASSWORD = "hush-hush"
RIGHTS = "~certstream:slots:* +eval +evalsha +script|load +hget +hset +hdel +hgetall +del +time +info"
"""What docs/operating.md gives a user of its own."""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Knows the default user by a password, `certstream` by its rights, `reader` who may run no script."""
    users = [f"--user certstream on >{PASSWORD} {RIGHTS}", f"--user reader on >{PASSWORD} ~* +@read"]
    server = RedisServer("--requirepass", PASSWORD, *(word for user in users for word in user.split()))
    yield server
    server.kill()


@asynccontextmanager
async def encrypted(redis: RedisServer, folder: Path, *, host: str = "127.0.0.1") -> AsyncIterator[tuple[str, Path]]:
    """A place where TLS ends, as before a Redis that has none (the one from PyPI is built without), with a certificate
    for 127.0.0.1; and the file of its authority."""
    issued = pki.issue("127.0.0.1")
    authority, chain = folder / "ca.pem", folder / "server.pem"
    authority.write_bytes(issued.ca)
    chain.write_bytes(issued.key + issued.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while some := await reader.read(65536):
                writer.write(some)
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", redis.port)
        await asyncio.gather(pump(reader, before), pump(behind, writer), return_exceptions=True)

    async with await asyncio.start_server(serve, host, 0, ssl=context) as server:
        yield f"{host}:{server.sockets[0].getsockname()[1]}", authority


@asynccontextmanager
async def configured(
    folder: Path, url: str, password: str | None, authority: Path | None = None
) -> AsyncIterator[RedisSlots]:
    """The slots of a service with this configuration."""
    file = folder / "password"
    file.write_text(f"{password}\n")
    account = Account(name="prod")
    config = Config(
        accounts=[account],
        limiter=url,
        limiter_password_file=str(file) if password else "",
        limiter_ca_file=str(authority or ""),
    )
    slots = build_limiters(config, Clock())["prod"]
    assert isinstance(slots, RedisSlots)
    slots.user("1234")
    yield slots
    await slots.close()


@pytest.mark.parametrize("user", ["", "certstream@"])
async def test_who_knows_the_password_gets_slots(redis: RedisServer, tmp_path: Path, user: str) -> None:
    async with configured(tmp_path, f"redis://{user}127.0.0.1:{redis.port}", PASSWORD) as slots:
        await slots.answers()
        await slots.try_take()
        assert slots.away is None


@pytest.mark.parametrize(
    ("user", "password", "told"),
    [
        ("", None, "AuthenticationError"),
        ("", "wrong", "AuthenticationError"),
        ("certstream@", "wrong", "AuthenticationError"),
        ("nobody@", PASSWORD, "AuthenticationError"),
        ("reader@", PASSWORD, "NoPermissionError"),
    ],
)
async def test_who_may_not_pauses_and_says_why_without_the_password(
    redis: RedisServer, tmp_path: Path, user: str, password: str | None, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with configured(tmp_path, f"redis://{user}127.0.0.1:{redis.port}", password) as slots:
        with pytest.raises(LimiterAway, match=rf"127\.0\.0\.1:{redis.port} is away \({told}\): no call"):
            await slots.try_take()
        assert slots.away is not None
    said = [*(str(vars(record)) for record in caplog.records), slots.away]
    assert not [line for line in said if PASSWORD in line or (password or "~") in line]


UNTRUSTED = r"its TLS certificate is not trusted \(.*limiter_ca_file says whom to trust\): no call"


async def test_over_tls_whoever_trusts_its_authority_and_no_other(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(pki.issue("127.0.0.1").ca)
    async with encrypted(redis, tmp_path) as (place, authority):
        url = f"rediss://certstream@{place}"
        for trusted in (None, other):
            async with configured(tmp_path, url, PASSWORD, trusted) as slots:
                with pytest.raises(LimiterAway, match=UNTRUSTED):
                    await slots.try_take()
        async with configured(tmp_path, url, PASSWORD, authority) as slots:
            await slots.try_take()
            assert slots.away is None
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))  # the system's: no longer trusted beside the file
        async with configured(tmp_path, url, PASSWORD, other) as slots:
            with pytest.raises(LimiterAway, match=UNTRUSTED):
                await slots.try_take()


async def test_over_tls_only_with_the_host_that_was_meant(redis: RedisServer, tmp_path: Path) -> None:
    async with (
        encrypted(redis, tmp_path, host="127.0.0.2") as (place, authority),
        configured(tmp_path, f"rediss://certstream@{place}", PASSWORD, authority) as slots,
    ):
        with pytest.raises(LimiterAway, match=r"IP address mismatch.*limiter_ca_file"):
            await slots.try_take()


def test_a_file_that_holds_no_certificate_is_refused_by_the_name_of_its_key(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    config = Config(accounts=[Account(name="prod")], limiter="rediss://h", limiter_ca_file=str(file))
    with pytest.raises(Fatal, match=r"limiter_ca_file .*ca\.pem: cannot be read as PEM certificates"):
        build_limiters(config, Clock())


async def test_tls_with_a_server_that_has_none_is_away(redis: RedisServer, tmp_path: Path) -> None:
    async with configured(tmp_path, f"rediss://127.0.0.1:{redis.port}", PASSWORD) as slots:
        with pytest.raises(LimiterAway):
            await slots.try_take()
