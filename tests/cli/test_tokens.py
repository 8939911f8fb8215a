"""A service of its own process whose key is temporary: the next token is fetched before the old one expires, and one
that is refused all the same is replaced at once. The simulator takes none that has expired."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from certstream.cli.exits import OK
from certstream.simulator import DEFAULT_USER, Simulator, SimulatorConfig, User
from tests.cli.test_real import PLAIN
from tests.real.ports import free_port

SHORT, LONG = 15 * 60 + 1, 3600
"""Seconds for which a token is good: the library renews it 15 minutes early."""
PROGRAM = """
import certstream.service.poller, certstream.source.credentials
certstream.service.poller.DENIED_PAUSE = certstream.source.credentials.FRESH = 0.5
from certstream.cli.commands import main
main()
"""
"""As `certstream`, but that it asks the library twice a second, not once a minute, and who is denied tries as often."""
OTHER = "1000000000000099"
"""Another user."""


class Tokens:
    """What ALIBABA_CLOUD_CREDENTIALS_URI names: each time another key with another token, which the simulator takes."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.given: list[dict[str, str]] = []
        self.life = SHORT
        self.uid = DEFAULT_USER.uid
        self.url = ""

    async def give(self, request: web.BaseRequest) -> web.Response:
        number = len(self.given) + 1
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.life))
        key = {
            "Code": "Success",
            "AccessKeyId": f"STS.simulated{number:04d}",
            "AccessKeySecret": secrets.token_hex(16),
            "SecurityToken": secrets.token_hex(32),
            "Expiration": until,
        }
        user = User(key["AccessKeySecret"], self.uid, key["SecurityToken"])
        self._simulator.users[key["AccessKeyId"]] = user
        self.given.append(key)
        return web.json_response(key)

    def expire(self, number: int) -> None:
        """From now on it is refused."""
        self._simulator.expired_tokens.add(self.given[number]["SecurityToken"])


@asynccontextmanager
async def giving(simulator: Simulator) -> AsyncIterator[Tokens]:
    tokens = Tokens(simulator)
    runner = web.ServerRunner(web.Server(tokens.give))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tokens.url = f"http://127.0.0.1:{runner.addresses[0][1]}/key"
    try:
        yield tokens
    finally:
        await runner.cleanup()


def calls(answers: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answers.read_bytes().rpartition(b"\n")[0].splitlines()]


async def until(what: str, holds: Any) -> None:
    end = time.monotonic() + 40
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running(
    folder: Path, simulator: Simulator, tokens: Tokens, *, keys: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`certstream run` with the keys that are given. `keys`: more lines of the account."""
    (folder / "certstream.toml").write_text(
        f"""
        journal = "sqlite://{folder}/journal.db"
        lock_dir = "host"
        [http]
        listen = "127.0.0.1:{free_port()}"
        [[accounts]]
        name = "sim"
        endpoint = "{simulator.url}"
        sweep_every = "0s"
        {keys}
        """
    )
    environment = {name: value for name, value in PLAIN.items() if not name.startswith("ALIBABA_CLOUD")} | {
        "ALIBABA_CLOUD_CREDENTIALS_URI": tokens.url,
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
        "HOME": str(folder),
    }
    with (folder / "run.out").open("wb") as out:
        service = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, "run", cwd=folder, env=environment, stdout=out, stderr=out
        )
        try:
            yield service
            service.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(service.wait(), 10) == OK
        finally:
            if service.returncode is None:
                service.kill()
    told = (folder / "run.out").read_text()
    for key in tokens.given:
        assert key["AccessKeySecret"] not in told
        assert key["SecurityToken"] not in told


async def test_a_token_is_renewed_before_it_expires_and_replaced_when_it_is_refused(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    simulated = SimulatorConfig(certificates=30, users={})
    async with Simulator(simulated, answers=answers) as simulator, giving(simulator) as tokens:
        async with running(tmp_path, simulator, tokens):
            await until("another token is given", lambda: len(tokens.given) > 1)
            await asyncio.sleep(0.7)  # for calls that are under way with the one before
            tokens.expire(0)
            before = simulator.calls
            await until("calls go on", lambda: simulator.calls > before + 6)
            assert {call["code"] for call in calls(answers)} == {None}
            tokens.life = LONG  # which is not renewed by itself
            given = len(tokens.given)
            await until("it is given", lambda: len(tokens.given) > given)
            await asyncio.sleep(0.7)
            for number in range(len(tokens.given)):
                tokens.expire(number)
            await until("it is refused", lambda: calls(answers)[-1]["code"] == "InvalidSecurityToken.Expired")
            await until("it calls again", lambda: calls(answers)[-1]["code"] is None)
            refused = [call for call in calls(answers) if call["code"] is not None]
            assert len(refused) <= 12, "those under way"
        assert "account.denied" not in (tmp_path / "run.out").read_text()


async def test_a_key_that_becomes_another_users_lists_nothing_until_it_is_the_users_again(tmp_path: Path) -> None:
    answers, out = tmp_path / "answers.jsonl", tmp_path / "run.out"
    simulated = SimulatorConfig(certificates=30, users={})
    async with Simulator(simulated, answers=answers) as simulator, giving(simulator) as tokens:

        def listed(uid: str) -> int:
            return sum(call["user"] == uid and call["action"] != "GetCallerIdentity" for call in calls(answers))

        async with running(tmp_path, simulator, tokens, keys=f'sts_endpoint = "{simulator.url}"'):
            await until("a second token is used", lambda: len(tokens.given) > 1 and listed(DEFAULT_USER.uid) > 5)
            assert "account.denied" not in out.read_text()
            tokens.uid = OTHER
            await until("it is denied", lambda: "account.denied" in out.read_text())
            (denied, *_) = [line for line in out.read_text().splitlines() if "account.denied" in line]
            assert f"were those of UID {DEFAULT_USER.uid} and are now those of UID {OTHER}" in denied
            await until("it asks again", lambda: out.read_text().count("account.denied") > 1)
            before, tokens.uid = listed(DEFAULT_USER.uid), DEFAULT_USER.uid
            await until("it calls again", lambda: listed(DEFAULT_USER.uid) > before + 5)
        assert not listed(OTHER)
