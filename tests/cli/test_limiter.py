"""Two installations with journals of their own and one user's key, that share its calls through a real Redis."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

from certstream.cli.exits import OK
from certstream.simulator import DEFAULT_USER
from tests.cli.test_real import configure, process, simulated, until
from tests.real.redis import RedisServer, known
from tests.service.audit import pace


def test_two_services_share_one_users_calls_and_pause_while_redis_is_away(tmp_path: Path) -> None:
    answers, redis = tmp_path / "answers.jsonl", RedisServer()
    folders = tmp_path / "here", tmp_path / "there"

    def calls() -> list[dict[str, Any]]:
        whole = answers.read_bytes().rpartition(b"\n")[0]
        told = [json.loads(line) for line in whole.splitlines()]
        return [one for one in told if one["action"] == "ListClientCertificate"]

    def said(folder: Path, text: str) -> bool:
        return any(text in out.read_text() for out in folder.glob("run-*.out"))

    def sweeps(folder: Path) -> int:
        return sum(out.read_text().count("sweep.complete") for out in folder.glob("run-*.out"))

    try:
        asyncio.run(known(redis.url, DEFAULT_USER.uid))
        with simulated(tmp_path, "--certificates", "30", "--answers", str(answers)) as url:
            for folder in folders:
                folder.mkdir()
                configure(folder, url, host=str(tmp_path / "host"), extra=f'limiter = "{redis.url}"')
                file = folder / "certstream.toml"
                file.write_text(file.read_text().replace('sweep_every = "1s"', 'sweep_every = "0s"'))
            with process("run", cwd=folders[0]) as first, process("run", cwd=folders[1]) as second:
                until("both get on", 60, lambda: all(sweeps(folder) >= 2 for folder in folders))
                redis.process.send_signal(signal.SIGSTOP)
                until("both say it", 30, lambda: all(said(folder, "limiter.away") for folder in folders))
                before = len(calls())
                time.sleep(1)
                assert len(calls()) == before
                redis.process.send_signal(signal.SIGCONT)
                done = [sweeps(folder) for folder in folders]
                until("both go on", 60, lambda: all(sweeps(f) >= n + 2 for f, n in zip(folders, done, strict=True)))
                for running in (first, second):
                    running.send_signal(signal.SIGTERM)
                    assert running.wait(10) == OK
    finally:
        redis.process.send_signal(signal.SIGCONT)
        redis.kill()
    assert not pace(calls())
