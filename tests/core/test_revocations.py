"""Whom a list of the revoked names, whatever its order and its claims: found by few calls, and asked for no more."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from certstream.core import revocations
from certstream.core.revocations import Named, Revocations
from tests.core.world import World, record

SIZE = 10


class Reader:
    """A service and its list of the revoked, `listed`; `known` certificates are in the inventory, not revoked."""

    def __init__(self, listed: Sequence[str], *, known: Sequence[str] = (), size: int = SIZE) -> None:
        self.world = World()
        self.world.page(*(record(name, X509Certificate=None) for name in known))
        before = (name for name in listed if name not in known and len(listed) < 500)
        self.world.page(*(record(name, Status="REVOKE", X509Certificate=None) for name in before))
        self.listed, self.size = list(listed), size
        self.revocations = Revocations(self.world.ledger)
        self.calls = 0

    def page(self, number: int) -> list[str | None]:
        self.calls += 1
        return [*self.listed[(number - 1) * self.size : number * self.size]]

    def probe(self, total: Any = ...) -> bool | None:
        """One reading, its search included: whether that named all; None where there was none."""
        search = self.revocations.first(self.page(1), len(self.listed) if total is ... else total, size=self.size)
        if search is None:
            return None
        names: Sequence[str | None] | None = None
        while True:
            try:
                number = next(search) if names is None else search.send(names)
            except StopIteration as end:
                return bool(end.value)
            names = self.page(number)

    def named(self, at: float = 0.0) -> list[str]:
        return self.revocations.named.due(at)

    def revoke(self, name: str) -> None:
        """A sweep or a look-up shows it revoked."""
        assert self.world.page(record(name, Status="REVOKE", X509Certificate=None)) == ["revoked"]


OLD = [f"old{number:05d}" for number in range(1000)]
NEW = ["new-a", "new-b", "new-c"]


def test_what_was_there_at_first_is_nobodys_growth() -> None:
    reader = Reader(OLD, known=NEW)
    assert reader.probe() is None
    assert reader.probe() is None
    assert (reader.named(), reader.calls) == ([], 2)


@pytest.mark.parametrize(("place", "calls"), [(0, 1), (1000, 2)])
def test_where_the_list_grows_at_an_end_one_page_or_two_name_it(place: int, calls: int) -> None:
    reader = Reader(OLD, known=NEW)
    reader.probe()
    reader.calls = 0
    reader.listed.insert(place, "new-a")
    assert reader.probe() in (None, True)
    assert reader.named() == ["new-a"]
    assert reader.calls == calls


def test_a_certificate_of_a_page_that_is_named_without_growth_is_looked_up_too() -> None:
    """One was revoked, one that had been was deleted: the count is what it was."""
    reader = Reader(OLD[:5], known=NEW)
    reader.probe()
    reader.listed = ["new-a", *OLD[:4]]
    assert reader.probe() is None
    assert reader.named() == ["new-a"]


def test_an_order_that_was_learnt_is_searched_by_halves_also_after_ends_have_grown() -> None:
    reader = Reader(OLD, known=NEW)
    reader.probe()
    reader.listed.insert(531, "new-a")
    assert reader.probe() is True
    assert reader.calls == 2 + 100  # once, every page
    for at, name in ((222, "new-b"), (0, "x"), (1003, "y"), (755, "new-c")):
        reader.calls = 0
        reader.listed.insert(at, name)
        reader.probe()
        assert reader.calls <= 10
    assert reader.named() == NEW


def test_several_that_came_at_different_places_are_all_named() -> None:
    dice = random.Random(7)
    for _ in range(40):
        reader = Reader(OLD, known=NEW)
        reader.probe()
        reader.listed.insert(dice.randrange(1001), "first")
        reader.probe()
        for name in NEW:
            reader.listed.insert(dice.randrange(len(reader.listed) + 1), name)
        reader.calls = 0
        assert reader.probe() is not False
        assert sorted(reader.named()) == NEW
        assert reader.calls <= 45


def test_a_deletion_makes_the_order_unknown_and_it_is_learnt_again() -> None:
    reader = Reader(OLD, known=NEW)
    for at, name in ((500, "new-a"), (500, "new-b")):
        reader.probe()
        del reader.listed[7]
        reader.probe()
        reader.listed.insert(at, name)
        assert reader.probe() is True
    assert reader.named() == ["new-a", "new-b"]


def test_an_order_that_changes_at_every_call_costs_a_bounded_number_of_calls() -> None:
    reader = Reader(OLD, known=NEW)
    dice = random.Random(1)
    whole = reader.page

    def shuffled(number: int) -> list[str | None]:
        dice.shuffle(reader.listed)
        return whole(number)

    reader.page = shuffled  # type: ignore[method-assign]
    for count in range(20):
        reader.listed.append(f"another{count}")
        reader.calls = 0
        reader.probe()
        assert reader.calls <= 105


def test_a_long_list_is_not_read_whole() -> None:
    reader = Reader([f"o{n}" for n in range(revocations.MOST * SIZE + 1)], known=NEW)
    reader.probe()
    reader.listed.insert(777, "new-a")
    assert reader.probe() is False
    assert reader.calls == 3
    reader.listed.insert(0, "new-b")
    assert reader.probe() is None
    assert reader.named() == ["new-b"]


def test_whoever_the_sweep_has_found_revoked_is_growth_that_needs_no_search() -> None:
    reader = Reader(OLD, known=NEW)
    reader.probe()
    reader.listed.insert(500, "new-a")
    reader.revoke("new-a")
    reader.calls = 0
    assert reader.probe() is None
    assert (reader.named(), reader.calls) == ([], 1)
    reader.revoke("new-b")  # and where the list of the revoked is the later one
    assert reader.probe() is None
    reader.listed.insert(500, "new-b")
    assert reader.probe() is None


def test_certificates_that_are_not_known_explain_growth_and_are_not_asked_for() -> None:
    """Another resource group's, or another user's in a wrong region."""
    reader = Reader(OLD, known=NEW)
    reader.probe()
    reader.listed[0:0] = ["foreign-1", "foreign-2"]
    assert reader.probe() is None
    assert reader.named() == []
    reader.world.page(record("foreign-1", X509Certificate=None))
    reader.probe()
    assert reader.named() == ["foreign-1"]


def test_a_contradiction_is_asked_for_ever_more_rarely_and_at_last_no_more() -> None:
    reader = Reader(["new-a"], known=NEW)
    named, now, asked = reader.revocations.named, 0.0, 0
    while now < 10_000.0:
        reader.probe()
        due = named.due(now)
        asked += len(due)
        named.asked(due, now)
        now += 1.0
    assert asked == revocations.TRIES
    reader.revoke("new-a")
    assert named.due(now) == []


def test_who_is_revoked_or_deleted_meanwhile_is_not_asked_for() -> None:
    reader = Reader(NEW[:2], known=NEW)
    reader.probe()
    reader.revoke("new-a")
    assert reader.named() == ["new-b"]


@pytest.mark.parametrize(
    "totals",
    [
        (None, None, None),
        (10**18, 0, 10**18, 5),
        (5, 4, 5, 4, 5, 4),
        (0, 0, 0),
        (3, 10**9, 3, 10**9),
    ],
)
def test_counts_that_make_no_sense_cost_few_calls_and_name_nobody_else(totals: tuple[int | None, ...]) -> None:
    reader = Reader(["new-a"], known=NEW)
    for total in totals:
        reader.calls = 0
        reader.probe(total)
        assert reader.calls <= 3
    assert reader.named() == ["new-a"]


@pytest.mark.parametrize(
    "names",
    [
        [None] * 5,
        ["new-a"] * 5,
        [],
    ],
)
@pytest.mark.parametrize("size", [0, 1, 7])
def test_pages_that_make_no_sense_end_a_search(names: list[str | None], size: int) -> None:
    reader = Reader(OLD, known=NEW)
    reader.probe()
    search = reader.revocations.first(OLD[:5], 1000 + 2, size=size)
    calls = 0
    if search is not None:
        next(search)
        with suppress(StopIteration):
            while calls < 1000:
                calls += 1
                search.send(names)
    assert calls <= 200
    assert set(reader.named()) <= {"new-a"}


def test_a_search_that_is_cut_short_is_made_again() -> None:
    reader = Reader(OLD, known=NEW)
    reader.probe()
    reader.listed.append("new-a")
    search = reader.revocations.first(reader.page(1), 1001, size=SIZE)
    assert search is not None
    next(search)
    search.close()
    assert reader.probe() is True
    assert reader.named() == ["new-a"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "REMEMBERED", 100)
    named = Named(World().ledger)
    for number in range(500):
        named.take([f"foreign{number}"])
    assert len(named._passed) == 100
