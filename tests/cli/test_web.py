"""The small HTTP server: what it tells, to whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from certstream.cli.beside import base_of, running_service
from certstream.config import Config, Http
from certstream.core.errors import Fatal
from certstream.service.confirming import NothingToConfirm
from certstream.service.metrics import STATES, Metrics
from certstream.web import reasons, serve
from certstream.web.server import CONNECTIONS

HEALTHY: dict[str, Any] = {"accounts": {"prod": {"state": "healthy", "reason": None}}, "journal": {"state": "ok"}}
STATUSES = [
    (HEALTHY, []),
    ({"accounts": {}, "journal": {"state": "ok"}}, ["starting"]),
    ({}, ["starting"]),
    (
        {"accounts": {"b": {"state": "denied", "reason": "no permission"}, "a": {"state": "baseline"}}},
        ["account a: baseline", "account b: denied: no permission"],
    ),
    ({**HEALTHY, "journal": {"state": "away", "reason": "refused"}}, ["journal: away: refused"]),
]


@pytest.mark.parametrize(("status", "why"), STATUSES)
def test_not_ready_has_a_reason_for_each_account_and_the_journal(status: dict[str, Any], why: list[str]) -> None:
    assert reasons(status) == why


@asynccontextmanager
async def serving(
    status: dict[str, Any] = HEALTHY,
    *,
    token: str | None = None,
    listen: str = "127.0.0.1:0",
    confirm: Callable[[str, str, str], int] | None = None,
) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    metrics = Metrics()
    metrics.set_state("prod", "healthy")
    async with (
        serve(listen, registry=metrics.registry, status=lambda: status, token=token, confirm=confirm) as url,
        aiohttp.ClientSession() as session,
    ):
        yield session, url


async def test_ready_is_200_and_not_ready_503_with_the_reasons() -> None:
    async with serving() as (session, url), session.get(f"{url}/readyz") as answer:
        assert answer.status == 200
        assert (await answer.json())["ready"] is True
    away = {**HEALTHY, "journal": {"state": "away", "reason": "refused"}}
    async with serving(away) as (session, url), session.get(f"{url}/readyz") as answer:
        assert answer.status == 503
        assert (await answer.json())["reasons"] == ["journal: away: refused"]


async def test_live_is_200_whatever_else_is_wrong() -> None:
    async with serving({}) as (session, url), session.get(f"{url}/livez") as answer:
        assert answer.status == 200


async def test_metrics_are_prometheus_text_with_its_content_type() -> None:
    async with serving() as (session, url), session.get(f"{url}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = await answer.text()
    for state in STATES:
        value = "1.0" if state == "healthy" else "0.0"
        assert f'certstream_account_state{{account="prod",state="{state}"}} {value}' in text
    assert "_created" not in text


async def test_tasks_are_counted_when_they_are_asked_for() -> None:
    async def scraped() -> float:
        async with session.get(f"{url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("certstream_tasks "))

    async with serving() as (session, url):
        await scraped()  # the connection's own tasks are there from now on
        before = await scraped()
        sleepers = [asyncio.create_task(asyncio.sleep(60)) for _ in range(5)]
        assert await scraped() == before + 5
        for sleeper in sleepers:
            sleeper.cancel()
        await asyncio.gather(*sleepers, return_exceptions=True)
        assert await scraped() == before


async def test_other_paths_are_404() -> None:
    async with serving() as (session, url), session.get(f"{url}/etc/passwd") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "169.254.1.1"])
async def test_on_loopback_a_name_of_elsewhere_is_refused(host: str) -> None:
    # DNS rebinding: a page in a browser of this host reaches it under the page's own name.
    async with serving() as (session, url):
        for path in ("/livez", "/readyz", "/metrics"):
            async with session.get(url + path, headers={"Host": host}) as answer:
                assert answer.status == 403


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
async def test_on_loopback_names_of_this_host_are_served(host: str) -> None:
    async with serving() as (session, url), session.get(f"{url}/livez", headers={"Host": host}) as answer:
        assert answer.status == 200


async def test_with_a_token_only_its_bearer_sees_metrics_and_reasons() -> None:
    async with serving(token="right") as (session, url):
        for shown in (None, "Bearer wrong", "Basic right", "right", "Bearer", "Bearer rightt", "Bearer ü"):
            headers = {"Authorization": shown} if shown else {}
            async with session.get(f"{url}/metrics", headers=headers) as answer:
                assert answer.status == 401, shown
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            async with session.get(f"{url}/readyz", headers=headers) as answer:
                assert await answer.json() == {"ready": True}
        headers = {"Authorization": "Bearer right"}
        async with session.get(f"{url}/metrics", headers=headers) as answer:
            assert answer.status == 200
        async with session.get(f"{url}/readyz", headers=headers) as answer:
            assert "accounts" in await answer.json()
        async with session.get(f"{url}/livez") as answer:
            assert answer.status == 200


async def test_beyond_loopback_it_does_not_listen_without_a_token() -> None:
    with pytest.raises(Fatal, match="needs token_file"):
        async with serving(listen="0.0.0.0:0"):
            pass


async def test_a_port_that_is_taken_is_named() -> None:
    async with serving() as (_, url):
        with pytest.raises(Fatal, match=r"cannot listen on 127\.0\.0\.1:\d+: .*choose another"):
            async with serving(listen=url.removeprefix("http://")):
                pass


async def test_it_ends_at_once_though_a_client_holds_its_connection() -> None:
    loop = asyncio.get_running_loop()
    async with serving() as (session, url):
        async with session.get(f"{url}/livez") as answer:
            await answer.read()
        began = loop.time()
    assert loop.time() - began < 2


WORD = {"by": "alice", "why": "retired"}


def refuse(account: str, by: str, why: str) -> int:
    if account != "prod":
        raise KeyError(account)
    raise NothingToConfirm("the account is not suspect")


@pytest.mark.parametrize(
    ("account", "body", "status", "says"),
    [
        ("other", WORD, 404, "no account 'other'"),
        ("prod", WORD, 409, "prod: the account is not suspect"),
        ("prod", {"by": "alice"}, 400, "why is missing"),
        ("prod", {"by": " ", "why": "x"}, 400, "by is missing"),
        ("prod", {"by": "alice", "why": 7}, 400, "why is missing"),
        ("prod", {"by": "alice", "why": "x" * 501}, 400, "at most 500"),
        ("prod", {"by": "a\x1b[2J", "why": "x"}, 400, "printable"),
        ("prod", {"by": "Certstream ", "why": "x"}, 400, "decided alone"),
        ("prod", [], 400, "by is missing"),
    ],
)
async def test_what_is_no_confirmation_is_refused_with_what_is_wrong(
    account: str, body: Any, status: int, says: str
) -> None:
    async with (
        serving(confirm=refuse) as (session, url),
        session.post(f"{url}/api/v1/accounts/{account}/confirm", json=body) as answer,
    ):
        assert answer.status == status
        assert says in (await answer.json())["error"]


async def test_a_form_of_some_page_in_a_browser_confirms_nothing() -> None:
    said: list[str] = []

    def confirm(account: str, by: str, why: str) -> int:
        said.append(account)
        return 3

    path = "/api/v1/accounts/prod/confirm"
    async with serving(confirm=confirm) as (session, url):
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            body = b'{"by":"alice","why":"x"}'
            async with session.post(f"{url}{path}", data=body, headers={"Content-Type": kind}) as answer:
                assert answer.status == 415
        assert not said
        async with session.post(f"{url}{path}", json=WORD) as answer:
            assert answer.status == 202
            assert await answer.json() == {"account": "prod", "certificates": 3}
        assert said == ["prod"]
    async with (
        serving(confirm=confirm, token="right") as (session, url),
        session.post(f"{url}{path}", json=WORD) as answer,
    ):
        assert answer.status == 401
    assert said == ["prod"]


async def test_who_only_opens_connections_uses_up_no_files() -> None:
    async with serving(token="secret") as (session, url), AsyncExitStack() as stack:
        port = int(url.rpartition(":")[2])
        idle = []
        for _ in range(3 * CONNECTIONS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            idle.append(reader)
        async with session.get(f"{url}/livez") as answer:
            assert answer.status == 200
        async with asyncio.timeout(10):
            for reader in idle[: 2 * CONNECTIONS]:
                with suppress(ConnectionResetError):
                    assert not await reader.read()


async def test_a_long_answer_of_a_service_is_read_to_its_end() -> None:
    many = {f"account-{n}": {"state": "suspect", "reason": "r" * 300} for n in range(5000)}
    async with serving({"accounts": many}) as (_, url):
        found = await running_service(Config(http=Http(listen=url.removeprefix("http://"))))
        assert found is not None
        assert found.accounts == many


@pytest.mark.parametrize(
    ("listen", "reached"),
    [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("[::1]:80", "[::1]:80"),
        ("10.1.2.3:80", "10.1.2.3:80"),
        ("localhost:80", "localhost:80"),
    ],
)
def test_a_service_is_called_where_it_listens_and_nobody_else_is_shown_the_token(listen: str, reached: str) -> None:
    assert base_of(Config(http=Http(listen=listen, token_file="token"))) == f"http://{reached}"


_NO_IPV6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this host has no IPv6")


@pytest.mark.parametrize("host", ["0.0.0.0", pytest.param("[::]", marks=_NO_IPV6)])
async def test_who_listens_everywhere_is_reached(host: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    async with serving(listen=f"{host}:0", token="secret") as (_, url):
        port = url.rpartition(":")[2]
        config = Config(http=Http(listen=f"{host}:{port}", token_file=str(tmp_path / "token")))
        assert await running_service(config) is not None
