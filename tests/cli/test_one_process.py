"""Two installations with journals of their own and one user's key, on one host: one process calls, as the simulator
saw it; the other says who."""

from __future__ import annotations

import json
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from certstream.cli.exits import FENCED, OK
from tests.cli.test_real import configure, process, ran, simulated, until
from tests.service.audit import pace


def test_one_of_two_calls_and_who_comes_after_a_kill_waits(tmp_path: Path) -> None:
    here, there, host, answers = tmp_path / "here", tmp_path / "there", tmp_path / "host", tmp_path / "answers.jsonl"
    here.mkdir()
    there.mkdir()

    def calls() -> list[dict[str, Any]]:
        whole = answers.read_bytes().rpartition(b"\n")[0]
        told = [json.loads(line) for line in whole.splitlines()]
        return [one for one in told if one["action"] == "ListClientCertificate"]

    def said(folder: Path, text: str) -> bool:
        return any(text in out.read_text() for out in folder.glob("run-*.out"))

    with simulated(tmp_path, "--certificates", "30", "--answers", str(answers)) as url:
        for folder in (here, there):
            configure(folder, url, host=str(host))
            file = folder / "certstream.toml"
            file.write_text(file.read_text().replace('sweep_every = "1s"', 'sweep_every = "0s"'))
        with process("run", cwd=here) as first:
            until("it calls", 20, lambda: len(calls()) > 12)
            run = ran("run", cwd=there)  # alone: while it starts, it answers the others
            with ThreadPoolExecutor() as at_once:
                once, checked = at_once.map(lambda command: ran(command, cwd=there), ("once", "check"))
            for refused in (run, once):
                assert refused.returncode == FENCED, refused.stderr
                assert re.search(
                    rf"process {first.pid} on this host \(certstream run, in {here}, since", refused.stderr
                )
            assert checked.returncode == OK, checked.stdout
            assert f"not called: process {first.pid} on this host" in checked.stdout
            first.send_signal(signal.SIGTERM)
            assert first.wait(10) == OK
        before = len(calls())
        with process("run", cwd=there) as second:  # at once: the first one has left a mark
            until("it calls at full speed", 20, lambda: len(calls()) > before + 12)
            assert not said(there, "take-over")
            second.kill()
            second.wait()
        time.sleep(0.1)  # for what was on its way
        before = len(calls())
        with process("run", cwd=here):  # at once: the second one has left none
            until("it waits", 20, lambda: said(here, "take-over"))
            time.sleep(1.5)
            assert len(calls()) == before
    assert not pace(calls())
