"""The commands as processes: demonstration, service, signals, exit codes, pipes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from certstream.cli.exits import FATAL, FENCED, OK
from certstream.cli.lines import KINDS
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER
from tests.real.kafka import Broker
from tests.real.ports import free_port

PROGRAM = [sys.executable, "-m", "certstream"]
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("CERTSTREAM_")}


def ran(*words: str, cwd: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words], cwd=cwd, env=PLAIN, capture_output=True, text=True, timeout=timeout, check=False
    )


@contextmanager
def process(*words: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A running command, its output in `<cwd>/<pid>.out`; killed at the end."""
    with (cwd / f"{words[0]}-{secrets.token_hex(3)}.out").open("w+") as out:
        running = subprocess.Popen(
            [*PROGRAM, *words], cwd=cwd, env=PLAIN, stdout=out, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield running
        finally:
            running.kill()
            running.wait()
            out.seek(0)
            print(out.read())


@contextmanager
def simulated(folder: Path, *words: str) -> Iterator[str]:
    """`certstream simulate` on a free port: its URL."""
    command = [*PROGRAM, "simulate", "--port", "0", *words]
    with subprocess.Popen(command, cwd=folder, env=PLAIN, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        url = re.search(r"http://\S+:\d+", running.stdout.readline())
        assert url is not None
        try:
            yield url[0]
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(10) == OK


def configure(folder: Path, url: str, journal: str | None = None, extra: str = "", host: str = "host") -> None:
    (folder / "secret").write_text(DEFAULT_USER.secret)
    (folder / "certstream.toml").write_text(
        f'''{extra}
        journal = "{journal or f"sqlite://{folder}/journal.db"}"
        lock_dir = "{host}"
        [http]
        listen = "127.0.0.1:{free_port()}"
        [[accounts]]
        name = "sim"
        endpoint = "{url}"
        sts_endpoint = "{url}"
        sweep_every = "1s"
        staleness = "1s"
        [accounts.credentials]
        access_key_id = "{DEFAULT_KEY}"
        access_key_secret_file = "secret"
        '''
    )


def until(what: str, deadline: float, question: object) -> None:
    assert callable(question)
    end = time.monotonic() + deadline
    while not question():
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.2)


def events(folder: Path) -> list[bytes]:
    out = subprocess.run(
        [*PROGRAM, "tail", "--from", "beginning", "--no-follow", "--json"],
        cwd=folder,
        env=PLAIN,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return out.stdout.splitlines()


def judge_demo(result: subprocess.CompletedProcess[str], took: float) -> None:
    assert result.returncode == OK, result.stdout + result.stderr
    assert took < 75
    for kind in KINDS:
        count = re.search(rf"^{kind} +(\d+)$", result.stdout, re.M)
        assert count is not None, kind
        assert int(count[1]) > 0, kind
    first = re.search(r"the first after ([0-9.]+) s", result.stdout)
    assert first is not None
    assert float(first[1]) < 10
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    assert DEFAULT_USER.secret not in result.stdout


def test_the_demo_shows_every_kind_of_event_within_a_minute_alone_and_through_kafka(
    tmp_path: Path, kafka: Broker
) -> None:
    alone, through = tmp_path / "alone", tmp_path / "through"

    def demo(folder: Path, *words: str) -> None:
        folder.mkdir()
        began = time.monotonic()
        judge_demo(ran("demo", *words, cwd=folder, timeout=120), time.monotonic() - began)

    with ThreadPoolExecutor(2) as both:
        runs = [both.submit(demo, alone), both.submit(demo, through, "--kafka", kafka.bootstrap)]
    for run in runs:
        run.result()
    assert list(alone.iterdir()) == []


def test_the_demo_says_what_is_wrong_with_a_broker_that_is_not_there(tmp_path: Path) -> None:
    result = ran("demo", "--kafka", "127.0.0.1:9", cwd=tmp_path)
    assert result.returncode == FATAL
    assert "Kafka at 127.0.0.1:9" in result.stderr
    assert "Traceback" not in result.stderr


def test_run_publishes_answers_and_stops_in_order(tmp_path: Path) -> None:
    with simulated(tmp_path, "--certificates", "120") as url:
        configure(tmp_path, url)
        assert ran("check", cwd=tmp_path).returncode == OK
        with process("run", cwd=tmp_path) as service:
            until("ready", 60, lambda: "healthy" in ran("check", cwd=tmp_path).stdout)
            beside = ran("once", cwd=tmp_path)
            assert beside.returncode == FENCED
            assert "holds the calls" in beside.stderr
            service.send_signal(signal.SIGTERM)
            assert service.wait(10) == OK
        seen = [json.loads(line) for line in events(tmp_path)]
        assert sum(one["type"] == "certstream.certificate.discovered.v1" for one in seen) == 120
        before = len(seen)
        assert ran("once", cwd=tmp_path).returncode == OK
        assert len(events(tmp_path)) == before
        rows = ran("inventory", "--json", cwd=tmp_path).stdout.splitlines()
        assert len(rows) == 120
        soon = ran("inventory", "--json", "--expiring", "30d", cwd=tmp_path).stdout.splitlines()
        assert 0 < len(soon) < 120
        assert "120 of 120 certificates" in ran("inventory", cwd=tmp_path).stdout


def test_the_lines_of_tail_json_are_the_bytes_that_the_chain_names(tmp_path: Path) -> None:
    with simulated(tmp_path, "--certificates", "30") as url:
        configure(tmp_path, url)
        assert ran("once", cwd=tmp_path).returncode == OK
    lines = events(tmp_path)
    hashes = [hashlib.sha256(line).hexdigest() for line in lines]
    assert [json.loads(line)["prevhash"] for line in lines] == ["0" * 64, *hashes[:-1]]


def test_tail_ends_quietly_when_its_reader_does(tmp_path: Path) -> None:
    with simulated(tmp_path, "--certificates", "500") as url:
        configure(tmp_path, url)
        assert ran("once", cwd=tmp_path).returncode == OK
    tail = subprocess.Popen(
        [*PROGRAM, "tail", "--from", "beginning"],
        cwd=tmp_path,
        env=PLAIN,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tail.stdout is not None
    assert tail.stderr is not None
    assert "discovered" in tail.stdout.readline()
    tail.stdout.close()
    try:
        assert "Traceback" not in tail.stderr.read()
        tail.wait(10)
    finally:
        tail.kill()
        tail.stderr.close()


def test_tail_follows_and_ctrl_c_ends_it_well(tmp_path: Path) -> None:
    with simulated(tmp_path, "--certificates", "30") as url:
        configure(tmp_path, url)
        with process("tail", cwd=tmp_path) as tail:
            time.sleep(1.5)  # it waits for a journal that is not there yet
            assert ran("once", cwd=tmp_path).returncode == OK
            output = next(tmp_path.glob("tail-*.out"))
            until("the events", 10, lambda: output.read_text().count("discovered") == 30)
            tail.send_signal(signal.SIGINT)
            assert tail.wait(10) == OK
            assert "Traceback" not in output.read_text()


def test_the_older_of_two_services_on_one_kafka_ends_with_exit_code_4(tmp_path: Path, kafka: Broker) -> None:
    prefix = f'topic_prefix = "cli-{secrets.token_hex(3)}."'
    with simulated(tmp_path, "--certificates", "30") as url:
        configure(tmp_path, url, f"kafka://{kafka.bootstrap}", prefix)
        assert ran("topics", "plan", cwd=tmp_path).returncode == 1
        assert ran("run", cwd=tmp_path).returncode == FATAL
        assert ran("topics", "apply", cwd=tmp_path).returncode == OK
        assert ran("topics", "plan", cwd=tmp_path).returncode == OK
        with process("run", cwd=tmp_path) as older:
            until("ready", 60, lambda: "healthy" in ran("check", cwd=tmp_path).stdout)
            configure(tmp_path, url, f"kafka://{kafka.bootstrap}", prefix, "elsewhere")  # another port and host
            with process("run", cwd=tmp_path) as newer:
                assert older.wait(20) == FENCED
                newer.send_signal(signal.SIGTERM)
                assert newer.wait(10) == OK


@pytest.mark.parametrize("journal", ["sqlite", "kafka"])
def test_no_command_shows_a_secret(tmp_path: Path, journal: str) -> None:
    secret = "HUSH-" + secrets.token_hex(8)
    with simulated(tmp_path, "--certificates", "5") as url:
        configure(tmp_path, url, None if journal == "sqlite" else "kafka://127.0.0.1:9")
        (tmp_path / "secret").write_text(secret)
        for words in (("check",), ("once", "--verbose") if journal == "sqlite" else ("tail",), ("inventory",)):
            result = ran(*words, cwd=tmp_path)
            assert secret not in result.stdout + result.stderr
