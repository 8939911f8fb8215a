"""A slice of the simulation (`make simulate` plays 5,000), and that a seed always plays the same history."""

from __future__ import annotations

import os

import msgspec

from tests.simulation.plan import draw
from tests.simulation.running import play, play_many

SEEDS = 50


def test_every_history_of_the_slice_keeps_the_promise() -> None:
    failed = {one.seed: one.violations[:3] for one in play_many(1, SEEDS, os.cpu_count() or 1) if one.violations}
    assert not failed, f"python -m tests.simulation --replay SEED shows one: {failed}"


def test_a_seed_plays_the_same_history_each_time() -> None:
    for seed in (7, 85, 137):
        first, second = play(draw(seed)), play(draw(seed))
        assert msgspec.structs.replace(first, cpu=0.0) == msgspec.structs.replace(second, cpu=0.0)
