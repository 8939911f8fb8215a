"""Three minutes of chaos on three real brokers; the hour is `make chaos`."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest

from tests.chaos.plan import BROKERS, CLOCK, DISK, SERVICE, draw


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


def test_what_is_not_possible_here_is_not_drawn() -> None:
    plan = draw("7", "kafka", 600.0, without=["connections cut"])
    assert {fault.kind for fault in plan.ground} == {*BROKERS} - {"connections cut"}


def test_a_clock_is_mostly_off_by_what_calls_survive() -> None:
    kinds = Counter(fault.kind for fault in draw("7", "clock", 3000.0).ground)
    assert kinds.keys() == CLOCK.keys()
    assert kinds["clock off, to 2 h"] * 5 < kinds.total()


def test_a_disk_is_no_broker() -> None:
    plan = draw("7", "sqlite", 300.0)
    assert {fault.kind for fault in plan.ground} == set(DISK)
    assert {fault.kind for fault in plan.service} == {"kill", "pause"}
