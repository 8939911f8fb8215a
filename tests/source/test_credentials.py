"""Credentials: the chain in a worker thread, refreshes, and that no secret is told."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from certstream.core.errors import CertstreamError, Fatal, Transient
from certstream.source.credentials import FRESH, Found, Key, find, static

SECRET, TOKEN = "very-secret-secret", "very-secret-token"


class Provider:
    """Stands for a provider of the library: numbered keys, or an error."""

    def __init__(self) -> None:
        self.built = self.asked = self.inside = self.most_inside = 0
        self.threads: set[int] = set()
        self.error: Exception | None = None
        self.takes = 0.0

    def __call__(self) -> Provider:
        self.built += 1
        return self

    def get_credentials(self) -> Any:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.threads.add(threading.get_ident())
        time.sleep(self.takes)
        self.inside -= 1
        if self.error:
            raise self.error
        self.asked += 1
        key_id = f"key-{self.asked}"
        return SimpleNamespace(
            get_access_key_id=lambda: key_id, get_access_key_secret=lambda: SECRET, get_security_token=lambda: TOKEN
        )


async def asked(provider: Provider, times: int) -> None:
    async with asyncio.timeout(2):
        for _ in range(400):
            if provider.asked >= times:
                break
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.01)


async def test_the_library_is_asked_once_for_many_and_never_on_the_event_loop() -> None:
    provider = Provider()
    provider.takes = 0.5
    found = Found(provider, tried="x")
    longest, last = 0.0, time.monotonic()

    async def watch() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    watching = asyncio.create_task(watch())
    keys = await asyncio.gather(*(found.current() for _ in range(10)))
    watching.cancel()
    assert {key.key_id for key in keys} == {"key-1"}
    assert provider.asked == 1
    assert threading.get_ident() not in provider.threads
    assert longest < 0.4


async def test_all_accounts_share_one_worker_and_ask_one_after_the_other() -> None:
    provider = Provider()
    provider.takes = 0.01
    await asyncio.gather(*(Found(provider, tried="x").current() for _ in range(5)))
    assert (provider.asked, provider.most_inside, len(provider.threads)) == (5, 1, 1)


async def test_a_refused_key_is_replaced_by_a_provider_built_anew() -> None:
    provider = Provider()
    found = Found(provider, tried="x")
    first = await found.current()
    assert await found.current() is first
    found.refresh(first)
    second = await found.current()
    assert (first.key_id, second.key_id, provider.built) == ("key-1", "key-2", 2)
    found.refresh(first)  # a late answer to an old call
    assert await found.current() is second
    found.refresh(second)
    found.refresh(first)
    assert (await found.current()).key_id == "key-3"


async def test_an_old_key_is_renewed_without_waiting_for_it() -> None:
    now = 0.0
    provider = Provider()
    found = Found(provider, tried="x", monotonic=lambda: now)
    await found.current()
    now = FRESH - 1
    await found.current()
    assert provider.asked == 1
    now, provider.takes = FRESH, 0.5
    started = time.monotonic()
    assert (await found.current()).key_id == "key-1"
    assert time.monotonic() - started < 0.4
    await asked(provider, 2)
    assert (await found.current()).key_id == "key-2"
    assert provider.built == 1


async def test_a_key_stays_in_use_while_its_source_is_away() -> None:
    now = 0.0
    provider = Provider()
    found = Found(provider, tried="x", monotonic=lambda: now)
    first = await found.current()
    now, provider.error = FRESH, ConnectionError("metadata away")
    await found.current()
    await asyncio.sleep(0.05)
    assert await found.current() is first
    found.refresh(first)
    with pytest.raises(Transient, match="credentials cannot be renewed: ConnectionError: metadata away"):
        await found.current()
    provider.error = None
    assert (await found.current()).key_id == "key-2"


async def test_who_gives_up_waiting_does_not_stop_it_for_the_others() -> None:
    provider = Provider()
    provider.takes = 0.05
    found = Found(provider, tried="x")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await found.current()
    assert (await found.current()).key_id == "key-1"
    assert provider.asked == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no role"), Fatal),
        (RuntimeError("ram_role_arn, http_code: 403, result: {}"), Fatal),
        (RuntimeError("ram_role_arn, http_code: 503, result: {}"), Transient),
        (ConnectionError("refused"), Transient),
    ],
)
async def test_without_a_first_key_the_cause_decides(error: Exception, kind: type[CertstreamError]) -> None:
    provider = Provider()
    provider.error = error
    with pytest.raises(kind) as caught:
        await Found(provider, tried="the moon").current()
    assert type(caught.value) is kind
    assert kind is Transient or "tried: the moon. Set one of them up" in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        f'result: {{"AccessKeySecret":"{SECRET}","SecurityToken": "{TOKEN}"}}',
        f"Max retries exceeded with url: /?Action=AssumeRole&SecurityToken={TOKEN}&Signature={SECRET}",
        f"{{'access_key_secret': '{SECRET}'}}",
        f"oidc_token={TOKEN}",
    ],
)
async def test_what_the_library_quotes_loses_its_secrets(said: str) -> None:
    provider = Provider()
    provider.error = RuntimeError(said)
    with pytest.raises(Fatal) as caught:
        await Found(provider, tried="x").current()
    assert SECRET not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_no_repr_tells_a_secret() -> None:
    found = Found(lambda: None, tried="x")
    found._key = Key("id", SECRET, TOKEN)
    for shown in (repr(Key("id", SECRET, TOKEN)), str(static("id", SECRET, TOKEN)), repr(found), f"{found}"):
        assert SECRET not in shown
        assert TOKEN not in shown


@pytest.mark.parametrize(
    ("key_id", "secret", "token"),
    [
        ("", "s", None),
        ("i", "", None),
        (" ", "s", None),
        ("i", "s\n\nx", None),
        ("i", "s", "t\r\nx: y"),
        ("é", "s", None),
    ],
)
def test_a_key_that_cannot_be_one_is_fatal_without_telling_it(key_id: str, secret: str, token: str | None) -> None:
    with pytest.raises(Fatal, match="credentials: the access key id") as caught:
        static(key_id, secret, token)
    assert "x" not in str(caught.value).replace("xx", "").split("credentials")[0]


@pytest.mark.parametrize(
    "options",
    [
        {"access_key_id": "a"},
        {"access_key_secret_file": "f"},
        {"access_key_id": "a", "access_key_secret_file": "f", "profile": "p"},
        {"external_id": "e"},
    ],
)
def test_options_that_do_not_go_together_are_fatal(options: dict[str, str]) -> None:
    with pytest.raises(Fatal, match="credentials: "):
        find(**options)


async def test_a_secret_in_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first\n")
    found = find(access_key_id="id", access_key_secret_file=file)
    key = await found.current()
    assert (key.key_id, key.secret, key.token) == ("id", "first", None)
    file.write_text("second")
    found.refresh(key)
    assert (await found.current()).secret == "second"
    assert "second" not in repr(found)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
async def test_a_secret_file_that_cannot_be_read_is_fatal_and_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Fatal, match=r"access_key_secret_file .*secret: "):
        await find(access_key_id="id", access_key_secret_file=file).current()


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No source has anything. The library read its environment at import, so it is told again."""
    from alibabacloud_credentials.utils import auth_constant, auth_util

    for name in ("access_key_id", "access_key_secret", "security_token", "credentials_file", "profile_name"):
        monkeypatch.setattr(auth_util, f"environment_{name}", None)
    monkeypatch.setattr(auth_util, "enable_oidc_credential", False)
    monkeypatch.setattr(auth_util, "environment_credentials_uri", None)
    monkeypatch.setattr(auth_util, "environment_ecs_metadata_disabled", "true")
    monkeypatch.setattr(auth_constant, "HOME", str(tmp_path))
    return tmp_path


async def test_an_empty_chain_is_fatal_and_says_what_was_tried(bare: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Fatal) as caught:
        await find().current()
    for source in ("ALIBABA_CLOUD_ACCESS_KEY_ID", "OIDC", ".aliyun/config.json", "credentials.ini", "ECS RAM role"):
        assert source in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


async def test_the_environment_is_the_first_source(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alibabacloud_credentials.utils import auth_util

    monkeypatch.setattr(auth_util, "environment_access_key_id", "from-env")
    monkeypatch.setattr(auth_util, "environment_access_key_secret", SECRET)
    monkeypatch.setattr(auth_util, "environment_security_token", TOKEN)
    assert await find().current() == Key("from-env", SECRET, TOKEN)


@pytest.mark.parametrize("where", ["cli", "ini"])
async def test_a_profile_is_looked_up_in_both_files(bare: Path, where: str) -> None:
    if where == "cli":
        (bare / ".aliyun").mkdir()
        (bare / ".aliyun" / "config.json").write_text(
            '{"current":"other","profiles":[{"name":"prod","mode":"AK","access_key_id":"id","access_key_secret":"s"}]}'
        )
    else:
        (bare / ".alibabacloud").mkdir()
        (bare / ".alibabacloud" / "credentials.ini").write_text(
            "[prod]\ntype = access_key\naccess_key_id = id\naccess_key_secret = s\n"
        )
    assert await find(profile="prod").current() == Key("id", "s")
    with pytest.raises(Fatal, match="tried: profile nope"):
        await find(profile="nope").current()


async def test_a_role_is_assumed_with_the_key_the_external_id_and_the_sts_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import alibabacloud_credentials.provider.ram_role_arn as module

    requests: list[Any] = []

    def do_action(request: Any, options: Any) -> Any:
        requests.append(request)
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        body = (
            f'{{"Credentials":{{"AccessKeyId":"STS.id","AccessKeySecret":"{SECRET}",'
            f'"SecurityToken":"{TOKEN}","Expiration":"{expires}"}}}}'
        )
        return SimpleNamespace(status_code=200, body=body.encode())

    monkeypatch.setattr(module.TeaCore, "do_action", do_action)
    file = tmp_path / "secret"
    file.write_text("s")
    found = find(
        access_key_id="id",
        access_key_secret_file=file,
        role_arn="acs:ram::1:role/r",
        external_id="ext",
        sts_endpoint="https://sts-vpc.cn-hangzhou.aliyuncs.com/",
    )
    key = await found.current()
    assert key == Key("STS.id", SECRET, TOKEN)
    (request,) = requests
    assert request.headers["host"] == "sts-vpc.cn-hangzhou.aliyuncs.com"
    assert request.query["RoleArn"] == "acs:ram::1:role/r"
    assert (request.query["ExternalId"], request.query["AccessKeyId"]) == ("ext", "id")
    found.refresh(key)
    await found.current()
    assert len(requests) == 2  # forced: the library would have kept it for 45 minutes


def test_the_library_does_not_print() -> None:
    import alibabacloud_credentials.provider  # noqa: F401

    from certstream.source.credentials import _silence

    _silence()
    log = logging.getLogger("credentials")
    assert not log.propagate
    assert all(isinstance(handler, logging.NullHandler) for handler in log.handlers)
