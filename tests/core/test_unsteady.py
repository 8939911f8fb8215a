"""What the sweeps of a list have seen together whose order changes at every call; which of it is looked up."""

from __future__ import annotations

from random import Random
from statistics import mean

import pytest

from certstream.core.inventory import Inventory
from certstream.core.rows import Row, encode
from certstream.core.unsteady import LONG, Together, doubtful

ROW = Row(1, b"", 1, b"", b"", 0, 0, 0, 0, None, None, None, (), False, False, 0, 0, b"x")


class Shuffled:
    """A list of so many pages of one size, and what its sweeps have seen together; `gone` are listed no more."""

    def __init__(self, pages: int, size: int, seed: int = 1) -> None:
        self.pages, self.size, self._dice = pages, size, Random(seed)
        self.inventory, self.together = Inventory(), Together()
        self.names = [f"{number:06d}" for number in range(pages * size)]
        self.gone: set[str] = set()
        for name in self.names:
            self.inventory.put(name, encode(ROW))

    def sweep(self) -> None:
        listed = [number for number, name in enumerate(self.names) if name not in self.gone]
        seen = bytearray(len(self.names))
        for _ in range(self.pages):
            for number in self._dice.sample(listed, min(self.size, len(listed))):
                seen[number] = 1
        self.together.add(seen, self.inventory, None)

    def oldest(self, *, least: int = 0, most: int = 50) -> list[str]:
        live = len(self.names)
        return self.together.oldest(self.inventory, live=live, size=self.size, least=least, most=most)


@pytest.mark.parametrize(("pages", "size"), [(2, 20), (4, 3), (20, 10), (20, 100), (100, 5)])
def test_no_more_than_half_as_many_rows_as_there_are_pages_are_doubtful_by_chance(pages: int, size: int) -> None:
    dice, rows, left = Random(1), range(pages * size), []
    for _ in range(200 if size < 100 else 20):
        unseen = set(rows)
        for _ in range(doubtful(size) * pages):
            unseen.difference_update(dice.sample(rows, size))
        left.append(len(unseen))
    assert mean(left) <= pages / 2


def test_the_fewer_rows_a_sweep_leaves_out_the_fewer_sweeps_are_waited_for() -> None:
    assert [doubtful(100, share) for share in (0.37, 0.2, 0.1, 0.02, 0.001)] == [6, 4, 3, 2, 2]
    shuffled = Shuffled(20, 100)
    for _ in range(5):
        shuffled.together.add(bytearray([1] * 1900 + [0] * 100), shuffled.inventory, None)
    assert shuffled.together.left_out(2000, 2000) == pytest.approx(0.05)
    assert shuffled.together.left_out(2000, 1950) == pytest.approx(50 / 1950)
    assert len(shuffled.oldest(most=200)) == 100


def test_what_is_gone_is_looked_up_after_so_many_sweeps_at_the_latest() -> None:
    shuffled = Shuffled(20, 100)
    for _ in range(8):
        shuffled.sweep()
    shuffled.gone = set(shuffled.names[::500])
    for _ in range(doubtful(100)):
        shuffled.sweep()
    assert shuffled.gone <= set(shuffled.oldest())


def test_many_that_are_gone_are_looked_up_sooner_and_nearly_nothing_else() -> None:
    shuffled = Shuffled(20, 100)
    shuffled.gone = set(shuffled.names[::40])
    sweeps = 0
    while not (found := set(shuffled.oldest(most=200))):
        shuffled.sweep()
        sweeps += 1
    assert sweeps < doubtful(100)
    assert shuffled.gone <= found
    assert len(found) < 3 * len(shuffled.gone)


def test_at_least_so_many_of_what_the_newest_sweep_did_not_show_those_not_seen_for_longest() -> None:
    shuffled = Shuffled(20, 100)
    shuffled.sweep()
    assert len(shuffled.oldest(least=8)) == 8
    shuffled.gone = {"000007"}
    for _ in range(doubtful(100)):
        shuffled.sweep()
    assert "000007" in shuffled.oldest(least=8)


def test_what_a_look_up_has_shown_is_as_good_as_seen() -> None:
    shuffled = Shuffled(20, 100)
    shuffled.gone = {"000007"}
    for _ in range(LONG):
        shuffled.sweep()
    assert "000007" in shuffled.together.missing(shuffled.inventory)
    shuffled.together.shown(7)
    assert "000007" not in [*shuffled.together.missing(shuffled.inventory), *shuffled.oldest(most=2000)]


def test_a_mass_that_is_gone_is_not_looked_up_beyond_the_most() -> None:
    shuffled = Shuffled(20, 100)
    shuffled.gone = set(shuffled.names[::2])
    for _ in range(LONG):
        assert not shuffled.together.missing(shuffled.inventory)
        shuffled.sweep()
        assert len(shuffled.oldest(least=8)) <= 50
    assert shuffled.gone <= set(shuffled.together.missing(shuffled.inventory))
