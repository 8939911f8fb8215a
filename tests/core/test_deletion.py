"""From "not seen" to `deleted`: mass disappearance, look-ups that come too early, and lives after death."""

from __future__ import annotations

from functools import partial

import pytest

from certstream.core.deletion import delete, expected, mass_disappearance, release, suspect, suspicion
from certstream.core.draft import Draft
from tests.core.world import World, kind_of, names, record, watching


def account(count: int) -> World:
    """A world with so many certificates."""
    return watching(*(record(name) for name in names(count)))


@pytest.mark.parametrize(
    ("live", "gone", "refused"),
    [
        (1, 1, False),
        (2, 2, False),
        (3, 3, False),
        (4, 1, False),
        (4, 2, True),
        (5, 2, False),
        (5, 3, True),
        (100, 10, False),
        (100, 11, True),
        (110, 11, False),
        (109, 11, True),
        (1000, 100, False),
        (1000, 101, True),
        (5, 0, False),
    ],
)
def test_a_mass_disappearance_is_more_than_a_tenth_and_ten_or_half_of_four_or_more(
    live: int, gone: int, refused: bool
) -> None:
    world = account(live)
    draft = Draft(world.ledger, now=world.wall, fires=True)
    assert (mass_disappearance(draft, gone, empty=False) is not None) is refused


@pytest.mark.parametrize("live", [1, 3, 50])
def test_an_empty_list_that_was_not_is_one(live: int) -> None:
    draft = Draft(account(live).ledger, now=0, fires=True)
    assert mass_disappearance(draft, live, empty=True) is not None


def test_deletions_of_a_day_are_summed() -> None:
    world = account(100)
    for name in [*names(6)]:
        assert world.delete(name) == ["deleted"]
    assert mass_disappearance(draft_of(world), 4, empty=False) is None
    assert mass_disappearance(draft_of(world), 5, empty=False) is not None
    world.now += 23 * 3600
    assert mass_disappearance(draft_of(world), 5, empty=False) is not None
    world.now += 3 * 3600
    assert mass_disappearance(draft_of(world), 5, empty=False) is None


def test_what_returned_is_not_counted_and_what_returns_from_longer_ago_hides_nothing() -> None:
    world = account(100)
    world.delete("c1", "c2")
    world.look_up("c1", record("c1"))
    assert draft_of(world).lost() == 1
    world.now += 48 * 3600
    world.delete("c3")
    world.look_up("c2", record("c2"))
    assert draft_of(world).lost() == 1


def test_a_return_of_what_an_operator_expected_to_go_hides_no_later_disappearance() -> None:
    world = account(100)
    for name in names(20):
        world.now += 60
        empty = {name: world.answer()}
        world.commit(partial(delete, answers=empty, moved=(), expected=True))
    assert draft_of(world).lost() == 0
    for name in names(20):
        world.look_up(name, record(name))
    assert draft_of(world).lost() == 0
    assert mass_disappearance(draft_of(world), 11, empty=False) is not None


def test_suspicion_does_not_end_because_a_day_passes() -> None:
    world = account(60)
    world.delete(*names(6))
    draft = draft_of(world)
    reason = mass_disappearance(draft, 6, empty=False)
    assert reason is not None
    world.commit(lambda draft: suspect(draft, reason, 6))
    world.commit(lambda draft: suspect(draft, "again", 6))
    assert [kind_of(event) for event in world.events].count("suspect") == 1
    world.now += 50 * 3600
    assert mass_disappearance(draft_of(world), 6, empty=False) is not None
    assert mass_disappearance(draft_of(world), 0, empty=False) is None
    world.commit(release)
    world.commit(release)
    assert [kind_of(event) for event in world.events].count("released") == 1


def test_a_sweep_releases_the_suspicion_that_it_began_with_and_no_later_one() -> None:
    world = account(60)
    before = suspicion(world.ledger.head)
    world.commit(lambda draft: suspect(draft, "reason", 9))
    assert world.swept(suspicion=before) == []
    assert world.ledger.head is not None
    assert world.ledger.head.suspect == "reason"
    assert world.swept(suspicion=suspicion(world.ledger.head)) == ["released"]
    assert mass_disappearance(draft_of(world), 6, empty=False) is None


def test_the_rest_of_what_was_confirmed_waits_where_the_account_became_suspect_again() -> None:
    world = account(10)
    world.commit(lambda draft: suspect(draft, "others disappeared", 5))
    world.now += 60
    rest = {"c1": world.answer()}
    world.commit(lambda draft: expected(draft, rest, moved=(), nominated=world.wall))
    assert kind_of(world.events[-1]) == "suspect"


def draft_of(world: World) -> Draft:
    """A draft that is thrown away."""
    return Draft(world.ledger, now=world.wall, fires=True)


def test_a_deletion_carries_the_last_certificate_and_clears_inventory_and_pem() -> None:
    world = account(5)
    assert world.delete("c1") == ["deleted"]
    assert world.last["reason"] == "gone"
    assert world.last["certificate"]["identifier"] == "c1"
    assert world.topics["inventory"][b"prod/c1"] is None
    assert world.topics["pem"][b"prod/c1"] is None
    assert world.ledger.live() == 4
    assert world.delete("c1") == []
    assert world.puts == []


def test_moved_is_told_as_such() -> None:
    world = account(5)
    world.now += 60
    world.commit(lambda draft: delete(draft, {"c1": world.answer()}, {"c1"}))
    assert world.last["reason"] == "moved"


@pytest.mark.parametrize("fact", ["new", "revoked", "returned"])
def test_an_empty_look_up_undoes_a_fact_only_thirty_seconds_later(fact: str) -> None:
    world = account(5)
    if fact == "returned":
        world.delete("c1")
        world.look_up("c1", record("c1"))
    else:
        status = {"Status": "REVOKE"} if fact == "revoked" else {}
        name = "c1" if fact == "revoked" else "c9"
        world.page(record("c0"), record(name, **status))
    name = "c9" if fact == "new" else "c1"
    world.now += 10
    answer = world.answer()
    later = world.commit(lambda draft: delete(draft, {name: answer}, ()))
    assert later == {name: pytest.approx(20 + world.trip)}
    assert world.puts == []
    assert world.delete(name, wait=20 + world.trip) == ["deleted"]


def test_an_empty_look_up_that_was_sent_before_the_row_was_set_decides_nothing() -> None:
    world = account(5)
    world.page(record("c0"), record("c1", Days=1), wait=60.0)
    answer = world.answer(sent=world.now - 1)
    assert world.commit(lambda draft: delete(draft, {"c1": answer}, ())) == {"c1": 0.0}


def test_a_certificate_lives_twice_with_one_chain() -> None:
    world = account(5)
    world.delete("c1")
    assert world.look_up("c1", record("c1")) == ["new"]
    assert world.last["returned"] is True
    assert world.delete("c1") == ["deleted"]
    assert world.look_up("c1", record("c1", Status="REVOKE")) == ["new", "revoked"]
