"""The driver kills when it said it would, and leaves nothing behind."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from tests.real.ports import free_port
from tests.verify.driver import kill_times
from tests.verify.processes import Setup, start_simulator


@pytest.mark.parametrize("minutes", [1.5, 2.0, 5.0, 20.0])
@pytest.mark.parametrize("kills", [0, 1, 2, 5])
def test_kills_are_in_order_and_end_75_seconds_before_the_run(minutes: float, kills: int) -> None:
    setup = Setup(journal="kafka", duration=minutes * 60, certificates=1, rate=1, seed=3, kills=kills, quiet=75)
    times = kill_times(setup)
    assert len(times) == kills
    assert times == sorted(times) == kill_times(setup)
    assert all(0 < at <= minutes * 60 - 75 for at in times)


def test_an_interruption_while_the_simulator_starts_leaves_no_process(tmp_path: Path) -> None:
    setup = Setup(journal="sqlite", duration=60, certificates=100_000, rate=0, seed=3)
    threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,)).start()
    with pytest.raises(KeyboardInterrupt):
        start_simulator(tmp_path, setup, free_port())
    own = str(tmp_path / "truth.jsonl").encode()
    assert not [process for process in Path("/proc").glob("[0-9]*/cmdline") if own in _words(process)]


def _words(cmdline: Path) -> bytes:
    try:
        return cmdline.read_bytes()
    except OSError:
        return b""
