"""What is read from `/proc`, `/metrics` and `/readyz`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from certstream.service.metrics import Metrics
from certstream.web import serve
from tests.soak.__main__ import series
from tests.soak.flat import QUANTITIES
from tests.soak.sampling import Sample, load, look, watch
from tests.verify.processes import Broken, Service, Setup

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux only")


async def sample(observed: int | None) -> Sample:
    """Of this process, with the product's own HTTP server in it."""
    metrics = Metrics()
    metrics.certificates.labels("prod").set(7)
    status: dict[str, Any] = {"accounts": {"prod": {"state": "denied", "reason": None, "observedthrough": observed}}}
    async with serve("127.0.0.1:0", registry=metrics.registry, status=lambda: status, token=None) as url:
        return await asyncio.to_thread(look, os.getpid(), url, 1.0)


async def test_a_running_service_is_seen_whole() -> None:
    seen = await sample(int(time.time() * 1000) - 20_000)
    assert 5 < seen.private <= seen.rss < 5000
    assert seen.descriptors >= 3
    assert seen.threads >= 2  # this one asks
    assert seen.certificates == 7
    assert seen.tasks is not None
    assert seen.tasks >= 1
    assert seen.lag == pytest.approx(20, abs=2)


async def test_before_the_baseline_there_is_no_lag() -> None:
    assert (await sample(None)).lag is None


def test_what_does_not_answer_is_unknown_and_left_out() -> None:
    seen = look(os.getpid(), "http://127.0.0.1:9", 1.0)
    assert seen.rss > 5
    assert (seen.tasks, seen.lag, seen.certificates) == (None, None, None)
    known = {quantity.name for quantity in QUANTITIES if series([seen], quantity)}
    assert known == {"rss", "private", "descriptors", "threads"}


def test_a_process_that_is_gone_is_an_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        look(2**22 + 1, "http://127.0.0.1:9", 1.0)


def test_a_service_that_ends_by_itself_ends_the_run(tmp_path: Path) -> None:
    setup = Setup(journal="sqlite", duration=60, certificates=1, rate=1, seed=3, listen="127.0.0.1:9")
    service = Service(tmp_path, tmp_path / "no such file.toml")
    with pytest.raises(Broken, match="the service ended by itself after"):
        watch(tmp_path, setup, service, every=0.1)
    service.stop()
    assert any("ended by itself" in problem for problem in service.problems)
    assert all(sample.tasks is None for sample in load(tmp_path))
