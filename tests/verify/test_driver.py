"""The driver kills when it said it would."""

from __future__ import annotations

import pytest

from tests.verify.driver import kill_times
from tests.verify.processes import Setup


@pytest.mark.parametrize("minutes", [1.5, 2.0, 5.0, 20.0])
@pytest.mark.parametrize("kills", [0, 1, 2, 5])
def test_kills_are_in_order_and_end_75_seconds_before_the_run(minutes: float, kills: int) -> None:
    setup = Setup(
        journal="kafka",
        duration=minutes * 60,
        certificates=1,
        rate=1,
        faults=0,
        seed=3,
        order="newest",
        kills=kills,
        speed=1,
        latency=0,
        thresholds=("1d",),
        quiet=75,
    )
    times = kill_times(setup)
    assert len(times) == kills
    assert times == sorted(times) == kill_times(setup)
    assert all(0 < at <= minutes * 60 - 75 for at in times)
