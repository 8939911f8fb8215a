"""Calls that go wrong on purpose: each kind can be provoked, is logged by name, and follows from the seed."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from certstream.simulator import SimulatorConfig, parse_faults
from certstream.simulator.config import FAULTS, Fault
from certstream.simulator.delivery import Dice
from tests.simulator.caller import calling


def logged(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("fault", "status", "code"), [("unavailable", 503, "ServiceUnavailable"), ("internal", 500, "InternalError")]
)
async def test_server_errors_are_answers_of_the_api(fault: Fault, status: int, code: str, tmp_path: Path) -> None:
    async with calling(SimulatorConfig(faults={fault: 1.0}), answers=tmp_path / "a") as caller:
        reply = await caller.call()
        assert (reply.status, reply.code) == (status, code)
    (line,) = logged(tmp_path / "a")
    assert (line["fault"], line["status"], line["code"], line["delivered"]) == (fault, status, code, False)


async def test_a_reset_comes_before_any_byte(tmp_path: Path) -> None:
    async with calling(SimulatorConfig(faults={"reset": 1.0}), answers=tmp_path / "a") as caller:
        with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
            await caller.call()
    (line,) = logged(tmp_path / "a")
    assert (line["fault"], line["status"], line["delivered"], line["rows"]) == ("reset", None, False, [])


async def test_a_truncated_answer_ends_within_its_body(tmp_path: Path) -> None:
    async with calling(SimulatorConfig(faults={"truncated": 1.0}), answers=tmp_path / "a") as caller:
        response = await caller.raw(ShowSize=100)
        promised = int(response.headers["Content-Length"])
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
        assert promised > 100_000
    (line,) = logged(tmp_path / "a")
    assert (line["fault"], line["status"], line["delivered"], line["total"]) == ("truncated", 200, False, 100)


async def test_html_comes_with_status_200(tmp_path: Path) -> None:
    async with calling(SimulatorConfig(faults={"html": 1.0}), answers=tmp_path / "a") as caller:
        response = await caller.raw()
        assert response.status == 200
        assert (await response.text()).startswith("<!DOCTYPE html>")
    assert logged(tmp_path / "a")[0]["delivered"] is False


async def test_a_slow_answer_is_of_the_instant_before_the_wait(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=3, faults={"slow": 1.0}, slow_seconds=0.4)
    async with calling(config, answers=tmp_path / "a") as caller:
        start = time.monotonic()
        pending = asyncio.create_task(caller.call())
        await asyncio.sleep(0.15)
        caller.simulator.issue()
        reply = await pending
        assert time.monotonic() - start >= 0.4
        assert reply.body["TotalCount"] == 3
    (line,) = logged(tmp_path / "a")
    assert line["delivered"] is True
    assert line["answered"] - line["snapshot"] >= 0.4


async def test_an_answer_nobody_waits_for_is_not_delivered(tmp_path: Path) -> None:
    config = SimulatorConfig(faults={"slow": 1.0}, slow_seconds=0.3)
    async with calling(config, answers=tmp_path / "a") as caller:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await caller.call()
        await asyncio.sleep(0.4)
    (line,) = logged(tmp_path / "a")
    assert (line["fault"], line["delivered"]) == ("slow", False)


async def test_an_answer_that_was_cut_off_half_way_is_not_delivered(tmp_path: Path) -> None:
    """Larger than the kernel's buffers, to a client that reads its head and leaves."""
    config = SimulatorConfig(certificates=4000, max_page_size=4000)
    async with calling(config, answers=tmp_path / "a") as caller:
        response = await caller.raw(ShowSize=4000)
        assert int(response.headers["Content-Length"]) > 8_000_000
        assert not (tmp_path / "a").read_bytes(), "it is still being sent"
        response.close()
        await asyncio.sleep(0.1)
    (line,) = logged(tmp_path / "a")
    assert (line["status"], line["fault"], line["delivered"]) == (200, None, False)


async def test_latency_lies_around_the_instant_of_the_content(tmp_path: Path) -> None:
    async with calling(SimulatorConfig(latency=0.05, jitter=0.05), answers=tmp_path / "a") as caller:
        await asyncio.gather(*(caller.call() for _ in range(10)))
    for line in logged(tmp_path / "a"):
        assert 0.05 <= line["answered"] - line["arrival"] < 0.3
        assert line["arrival"] <= line["snapshot"] <= line["answered"]


def test_faults_follow_from_the_seed_and_keep_their_share() -> None:
    config = SimulatorConfig(seed=7, faults=parse_faults("0.3"))
    rolls = [Dice(config).fault() for _ in range(3)]
    assert len(set(rolls)) == 1
    dice = Dice(config)
    drawn = [dice.fault() for _ in range(4000)]
    for fault in FAULTS:
        assert 130 < drawn.count(fault) < 270, fault


@pytest.mark.parametrize(
    ("text", "faults"),
    [("", {}), ("0", dict.fromkeys(FAULTS, 0.0)), ("reset=0.01, html=0.02", {"reset": 0.01, "html": 0.02})],
)
def test_faults_are_named_in_text(text: str, faults: dict[Fault, float]) -> None:
    assert parse_faults(text) == faults


@pytest.mark.parametrize("text", ["2", "-0.1", "x", "fire=0.1", "reset=x", "reset=0.6,html=0.6", "nan"])
def test_a_fault_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_faults(text)
