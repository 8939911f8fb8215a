"""What an adversary once found in the commands and the configuration, and what must not come back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from certstream.cli.running import serve_until
from certstream.config import Account, Config, ConfigError, Http, load
from certstream.core.errors import Fatal
from certstream.service.metrics import Metrics
from certstream.web import serve

ACCOUNT = '[[accounts]]\nname = "a"\n'
REFUSED = {
    "an endpoint with a password": f'{ACCOUNT}endpoint = "https://u:hunter2@cas.aliyuncs.com"',
    "a proxy with a password": f'{ACCOUNT}proxy = "http://u:hunter2@p:1"',
    "a proxy of an unknown kind": f'{ACCOUNT}proxy = "ftp://u:hunter2@p:1"',
    "a slash in the password": f'{ACCOUNT}proxy = "http://u:hunter2/x@p:1"',
    "a slash before the rest of the password": f'{ACCOUNT}proxy = "http://u:x/hunter2@p:1"',
    "a space in the password": f'{ACCOUNT}proxy = "socks5://u:x hunter2@p:1"',
    "an at sign in the password": f'{ACCOUNT}proxy = "http://u:x@hunter2@p:1"',
    "a user that is a token": f'{ACCOUNT}proxy = "http://hunter2@p:1"',
    "no scheme": f'{ACCOUNT}proxy = "u:hunter2@p:1"',
    "brokers with a password": 'journal = "kafka://u:hunter2@h:9092"',
    "brokers with a slash in the password": 'journal = "kafka://u:x/hunter2@h:9092"',
    "a secret among the credentials": f'{ACCOUNT}[accounts.credentials]\nsecret = "hunter2"',
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_a_refused_value_is_told_without_the_password_in_it(case: str, tmp_path: Path) -> None:
    file = tmp_path / "certstream.toml"
    file.write_text(REFUSED[case])
    with pytest.raises(ConfigError) as raised:
        load(file, {"HOME": "/home/u"})
    assert "hunter2" not in f"{raised.value} {raised.value.problems}"


async def test_once_beside_a_running_service_of_the_account_is_refused_before_anything_is_opened(
    tmp_path: Path,
) -> None:
    def status() -> dict[str, Any]:
        return {"accounts": {"prod": {"state": "healthy"}, "other": {"state": "healthy"}}, "journal": {"state": "ok"}}

    async with serve("127.0.0.1:0", registry=Metrics().registry, status=status, token=None) as address:
        listen = f"127.0.0.1:{address.rpartition(':')[2].strip('/')}"
        accounts = (Account(name="prod", endpoint="http://127.0.0.1:9"),)
        config = Config(journal=f"sqlite://{tmp_path}/made/journal.db", accounts=accounts, http=Http(listen=listen))
        with pytest.raises(Fatal, match=f"the service at http://{listen} polls prod and holds the calls"):
            await serve_until(config, stop=asyncio.Event(), once=True)
        assert os.listdir(tmp_path) == []
