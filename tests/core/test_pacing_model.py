"""Never eleven arrivals in any second, on any path, whatever goes wrong; and all the calls that the bound allows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.pacing_model import (
    PATHS,
    TROUBLES,
    Credited,
    Limiter,
    Loses,
    Model,
    Ours,
    Path,
    Spaced,
    TokenBucket,
    Trouble,
    changing,
    jittered,
    steady,
)


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("path", PATHS)
def test_never_eleven_arrive_in_a_second(path: str, trouble: str) -> None:
    for seed in range(4):
        model = Model(Ours(10), PATHS[path], TROUBLES[trouble], seed=seed).run(60.0)
        assert len(model.arrivals) > 50
        assert model.most <= 10


@settings(max_examples=60, deadline=None)
@given(
    qps=st.integers(1, 10),
    there=st.floats(0, 6),
    back=st.floats(0, 6),
    trouble=st.builds(
        Trouble,
        lost=st.floats(0, 0.5),
        cancelled=st.floats(0, 0.5),
        stalls=st.floats(0, 2),
        stalled=st.floats(0, 20),
        foreign=st.floats(0, 12),
    ),
    seed=st.integers(0, 2**32),
)
def test_never_more_than_qps_arrive_in_a_second(
    qps: int, there: float, back: float, trouble: Trouble, seed: int
) -> None:
    assert Model(Ours(qps), jittered(there, back), trouble, seed=seed).run(30.0).most <= qps


@pytest.mark.parametrize("path", ["none", "50 ms", "1 s", "jitter", "asymmetric"])
def test_all_the_calls_are_made_that_the_bound_allows(path: str) -> None:
    model = Model(Ours(10), PATHS[path]).run(200.0)
    assert model.rate(0.0, 200.0) >= 0.98 * model.bound


def test_calls_that_are_cancelled_cost_no_throughput_later() -> None:
    model = Model(Ours(10), steady(0.05), Trouble(cancelled=0.2)).run(200.0)
    assert model.rate(100.0, 200.0) >= 0.98 * model.bound


@pytest.mark.parametrize(
    ("limiter", "path"),
    [(TokenBucket(), steady(0.05)), (Spaced(), jittered(0.04, 0.0)), (Credited(10), changing(1.0, 0.5))],
    ids=["token bucket", "100 ms spacing", "credit of 0.8 round trips"],
)
def test_limiters_that_are_known_to_be_bad_are_caught_here(limiter: Limiter, path: Path) -> None:
    assert Model(limiter, path).run(60.0).most > 10
    assert Model(Ours(10), path).run(60.0).most <= 10


def test_a_slot_that_is_lost_on_cancellation_is_caught_here() -> None:
    model = Model(Loses(10), steady(0.05), Trouble(cancelled=0.02)).run(200.0)
    assert model.rate(100.0, 200.0) < 0.5 * model.rate(0.0, 20.0)
