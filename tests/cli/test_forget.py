"""`certstream forget`: alone on the journal, killed in the middle of it, and through the service that runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from certstream.app import build_journal
from certstream.cli.exits import FATAL, FENCED, OK
from certstream.config import Config
from tests.cli.test_real import PLAIN, configure, events, process, ran, simulated, until
from tests.real.kafka import Broker
from tests.service.audit import TOPICS, faults

_KILLED = """
import os, signal, sys
from certstream.cli.commands import main
from certstream.journal.{journal}_shard import {shard}
from certstream.service import forgetting

forgetting.BATCH = 5
left = [{after}]
commit = {shard}.commit

async def counted(self, puts):
    if puts and not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= bool(puts)
    await commit(self, puts)

{shard}.commit = counted
sys.argv = ["certstream", "forget", "sim", "--why", "closed", "--by", "olga"]
main()
"""


async def everything(journal: str, prefix: str = "certstream.", *, halfway: bool = False) -> list[Any]:
    """All records of all topics, which keep the contract unless a history was ended halfway."""
    read = build_journal(Config(journal=journal, topic_prefix=prefix))
    await read.start()
    try:
        records = [record async for record in read.read(TOPICS)]
    finally:
        await read.close()
    assert halfway or not faults(records)
    return records


def told(records: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(one.value) for one in records if one.topic == "events"]


def left(records: list[Any]) -> list[bytes]:
    """Keys of what is still known of the account."""
    present = [one for one in records if one.topic in ("inventory", "pem", "state", "accounts")]
    last = {(one.topic, one.key): one.value for one in present}
    return [key for (_, key), value in last.items() if value is not None and key.startswith(b"sim")]


def baselined(folder: Path) -> bool:
    return any(b"account.baselined" in one for one in events(folder))


def killed(folder: Path, *, after: int, journal: str = "sqlite", shard: str = "SqliteShard") -> None:
    """`forget`, killed when it has committed so often."""
    script = _KILLED.format(journal=journal, shard=shard, after=after)
    ended = subprocess.run([sys.executable, "-c", script], cwd=folder, env=PLAIN, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL


async def test_killed_anywhere_it_is_ended_by_running_it_again(tmp_path: Path) -> None:
    journal = f"sqlite://{tmp_path}/journal.db"
    with simulated(tmp_path, "--certificates", "12") as url:
        configure(tmp_path, url)
        assert ran("once", cwd=tmp_path).returncode == OK
        for after in (1, 1, 2):  # the event; then five rows; then all but the head
            killed(tmp_path, after=after)
            assert left(await everything(journal, halfway=True)), "something is left to be ended"
            if after == 2:
                refused = ran("once", cwd=tmp_path)
                assert refused.returncode == FATAL
                assert "certstream forget sim" in refused.stderr
        ended = ran("forget", "sim", "--why", "again", cwd=tmp_path)
        assert ended.returncode == OK, ended.stderr
        records = await everything(journal)
        assert left(records) == []
        closing = [one for one in told(records) if one["type"] == "certstream.account.forgotten.v1"]
        assert [one["data"] for one in closing] == [{"account": "sim", "by": "olga", "count": 12, "why": "closed"}]
        assert not [one for one in told(records) if "deleted" in one["type"]]
        assert ran("forget", "sim", "--why", "again", cwd=tmp_path).returncode == FATAL
        assert ran("once", cwd=tmp_path).returncode == OK
        both = told(await everything(journal))
        assert len({one["lineage"] for one in both}) == 2
        assert sum("baselined" in one["type"] for one in both) == 2


async def test_a_running_service_forgets_what_it_does_not_watch_any_more(tmp_path: Path) -> None:
    with simulated(tmp_path, "--certificates", "12") as url:
        configure(tmp_path, url)
        file = tmp_path / "certstream.toml"
        whole = file.read_text()
        with process("run", cwd=tmp_path) as service:
            until("it is healthy", 20, lambda: baselined(tmp_path))
            watched = ran("forget", "sim", "--why", "closed", cwd=tmp_path)
            assert watched.returncode == FATAL
            assert "SIGHUP" in watched.stderr
            file.write_text(whole.replace('name = "sim"', 'name = "other"\nbudget = "sim"'))
            service.send_signal(signal.SIGHUP)
            until("it is gone", 20, lambda: ran("forget", "sim", "--why", "closed", cwd=tmp_path).returncode == OK)
            service.send_signal(signal.SIGTERM)
            assert service.wait(15) == OK
    records = await everything(f"sqlite://{tmp_path}/journal.db")
    assert left(records) == []
    assert sum("forgotten" in one["type"] for one in told(records)) == 1


async def test_on_kafka_it_ends_no_service_that_runs_and_alone_it_forgets(tmp_path: Path, kafka: Broker) -> None:
    prefix = f"forget-{tmp_path.name}."
    journal = f"kafka://{kafka.bootstrap}"
    with simulated(tmp_path, "--certificates", "12") as url:
        configure(tmp_path, url, journal=journal, extra=f'topic_prefix = "{prefix}"')
        assert ran("topics", "apply", cwd=tmp_path).returncode == OK
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        configure(elsewhere, url, journal=journal, extra=f'topic_prefix = "{prefix}"')
        with process("run", cwd=tmp_path) as service:
            until("it is healthy", 30, lambda: baselined(tmp_path))
            refused = ran("forget", "sim", "--why", "closed", cwd=elsewhere)
            assert refused.returncode == FENCED, refused.stderr
            assert service.poll() is None
            service.send_signal(signal.SIGTERM)
            assert service.wait(15) == OK
        killed(tmp_path, after=2, journal="kafka", shard="KafkaShard")
        ended = ran("forget", "sim", "--why", "again", cwd=tmp_path)
        assert ended.returncode == OK, ended.stderr
        assert left(await everything(journal, prefix)) == []
        assert ran("once", cwd=tmp_path).returncode == OK
        assert len({one["lineage"] for one in told(await everything(journal, prefix))}) == 2


@pytest.mark.parametrize("words", [("--why", ""), ("--why", "x", "--by", "certstream")])
def test_nobody_forgets_without_a_reason_or_in_the_name_of_certstream(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "certstream.toml").write_text(f'journal = "sqlite://{tmp_path}/journal.db"\n[http]\nlisten = ""\n')
    assert ran("forget", "sim", *words, cwd=tmp_path).returncode == FATAL
