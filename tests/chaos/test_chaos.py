"""Three minutes of chaos on three real brokers; the hour is `make chaos`."""

from __future__ import annotations

import subprocess

import pytest

from tests.chaos.plan import BROKERS, DISK, SERVICE, draw


@pytest.mark.chaos
@pytest.mark.timeout(420)
def test_nothing_is_lost_told_twice_or_out_of_order_whatever_fails(chaos: subprocess.Popen[str]) -> None:
    text, _ = chaos.communicate()
    print(text)
    assert chaos.returncode == 0
    assert "no violation" in text


def test_a_plan_follows_from_its_seed_and_has_every_kind_of_fault() -> None:
    plan = draw("7", "kafka", 600.0)
    assert plan == draw("7", "kafka", 600.0)
    assert plan != draw("8", "kafka", 600.0)
    assert {fault.kind for fault in plan.service} == set(SERVICE)
    assert {fault.kind for fault in plan.ground} == set(BROKERS)
    for track in plan:
        assert sum(fault.gap + fault.length for fault in track) <= 600.0


def test_a_disk_is_no_broker() -> None:
    plan = draw("7", "sqlite", 300.0)
    assert {fault.kind for fault in plan.ground} == set(DISK)
    assert {fault.kind for fault in plan.service} == {"kill", "pause"}
