"""What an answer becomes: first sights, changes, what is silent, and what only a look-up may decide."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certstream.core.draft import Draft
from certstream.core.ledger import Ledger
from certstream.core.observe import observe
from certstream.core.rows import Row
from certstream.core.times import rfc3339
from tests.core.world import DAY, START, Record, World, kind_of, record, text, watching

A, B = record("a"), record("b")


# --- First sights -----------------------------------------------------------------------------------------------------


def test_what_the_baseline_sees_is_discovered() -> None:
    world = World()
    assert world.page(A, B) == ["discovered", "discovered"]
    assert "after" not in world.last["observed"]
    assert world.swept() == ["baselined", "digest"]
    assert world.events[-2]["data"] == {"account": "prod", "count": 2}


def test_what_was_issued_after_watching_began_is_new_even_before_the_baseline_has_ended() -> None:
    world = World()
    assert world.page(record("a", BeforeDate=START + 1), record("b", BeforeDate=START)) == ["new", "discovered"]


def test_what_comes_after_the_baseline_is_new_and_carries_the_pem() -> None:
    world = watching(A)
    assert world.page(A, B) == ["new"]
    assert world.last["certificate"]["pem"] == B["X509Certificate"]
    assert world.topics["pem"][b"prod/b"] == B["X509Certificate"].encode()
    assert "pem" not in world.inventory("b")["certificate"]


@pytest.mark.parametrize(
    ("fields", "kinds", "lifecycle"),
    [
        ({"Status": "REVOKE"}, ["new", "revoked"], "revoked"),
        ({"Status": "REVOKE", "AfterDate": START - DAY}, ["new", "revoked"], "revoked"),
        ({"AfterDate": START + 20 * DAY}, ["new", "expiring"], "valid"),
        ({"AfterDate": START - DAY}, ["new", "expired"], "expired"),
        ({"Status": "SUSPENDED"}, ["new"], "valid"),
        ({"AfterDate": None}, ["new"], "valid"),
    ],
)
def test_a_first_sight_later_is_followed_by_what_it_already_is(
    fields: Record, kinds: list[str], lifecycle: str
) -> None:
    world = watching(A)
    assert world.page(A, record("b", **fields)) == kinds
    assert world.inventory("b")["lifecycle"] == lifecycle
    assert "from" not in world.last.get("changes", {}).get("status", {})


@pytest.mark.parametrize(
    ("fields", "kinds", "lifecycle"),
    [
        ({"Status": "REVOKE"}, ["discovered"], "revoked"),
        ({"AfterDate": START - DAY}, ["discovered"], "expired"),
        ({"AfterDate": START + 20 * DAY}, ["discovered", "expiring"], "valid"),
        ({"AfterDate": START + 5 * DAY}, ["discovered", "expiring"], "valid"),
    ],
)
def test_the_baseline_tells_the_nearest_threshold_and_never_expired(
    fields: Record, kinds: list[str], lifecycle: str
) -> None:
    world = World()
    assert world.page(record("a", **fields)) == kinds
    assert world.inventory("a")["lifecycle"] == lifecycle
    if kinds[-1] == "expiring":
        assert world.last["baseline"] is True
    world.swept()
    assert world.tick(days=0.1) == []


def test_first_sights_are_held_while_the_answer_shows_nothing_that_was_known() -> None:
    world = watching(A)
    world.now += 1
    held = world.answer(B)
    observed = world.observe(held)
    assert observed.held
    assert world.puts == []
    assert world.look_up("a", A, wait=1.0) == []
    assert world.observe(held, believed=True).held is False
    assert kind_of(world.events[-1]) == "new"


@pytest.mark.parametrize("known", [record("a", AliasName="other"), text(A)[:-1] + b',"Identifier":"a"}'])
def test_a_known_certificate_vouches_for_an_answer_even_changed_or_unreadable(known: Record | bytes) -> None:
    world = watching(A)
    world.now += 1
    assert not world.observe(world.answer(known, B)).held
    assert "b" in {event["subject"] for event in world.events}


def test_a_certificate_that_became_known_after_the_call_was_sent_does_not_vouch() -> None:
    world = watching(A)
    world.page(A, B)
    assert world.observe(world.answer(B, record("c"), sent=world.now - 2)).held


def test_an_answer_of_nothing_but_unreadable_records_is_quarantined_not_held() -> None:
    world = watching(A)
    assert not world.observe(world.answer(b'{"x":')).held
    assert [put.topic for put in world.puts] == ["quarantine", "state"]


# --- Changes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "to", "name", "change"),
    [
        ("CommonName", "x", "commonName", {"from": "a.example.com", "to": "x"}),
        ("KeySize", 4096, "keySize", {"from": 2048, "to": 4096}),
        ("KeySize", 2**60, "keySize", {"from": 2048, "to": str(2**60)}),
        ("Status", "PAYED", "status", {"from": "ISSUE", "to": "PAYED"}),
        ("AfterDate", START + 300 * DAY, "notAfter", None),
        ("Sans", "[]", "sans", {"from": [{"type": "dns", "value": "a.example.com"}], "to": []}),
        ("X509Certificate", "other", "pem", None),
    ],
)
def test_a_known_field_that_differs_is_changed(field: str, to: object, name: str, change: object) -> None:
    world = watching(A)
    shown = world.now + 1 - world.trip
    world.page(A)
    assert world.page(record("a", **{field: to})) == ["changed"]
    assert set(world.last["changes"]) == {name}
    if change is not None:
        assert world.last["changes"][name] == change
    assert ("pem" in world.last["certificate"]) == (name == "pem")
    assert world.last["observed"]["after"] == rfc3339(START + round((shown - 1000) * 1000))


def test_the_interval_of_a_change_begins_when_the_last_answer_without_it_was_asked_for() -> None:
    """Not when it came: the change may have happened while it was under way."""
    world = World(trip=2.0)
    world.page(A)
    at = world.now
    world.page(record("a", AliasName="x"), wait=3.0)
    world.page(record("a", AliasName="y"), wait=3.0)
    assert world.last["observed"]["after"] == rfc3339(START + round((at + 3.0 - 2.0 - 1000) * 1000))


def test_what_a_clock_that_was_ahead_has_noted_says_nothing_about_when_something_happened() -> None:
    world = watching(A, B)
    first = world.wall
    world.skew = 5 * 60_000
    assert world.page(A, B, wait=60.0) == []
    world.skew = 0
    assert world.delete("b", wait=1.0) == ["deleted"]
    assert world.last["observed"]["after"] <= rfc3339(first)
    assert world.page(A) == []
    shown = world.wall - round(world.trip * 1000)
    assert world.page(record("a", CommonName="x")) == ["changed"]
    assert world.last["observed"]["after"] == rfc3339(shown), "a later answer takes the place of what was noted ahead"


def test_revoked_carries_whatever_else_changed_and_is_told_once() -> None:
    world = watching(A)
    gone_bad = record("a", Status="REVOKE", CommonName="x", X509Certificate="other")
    assert world.page(gone_bad) == ["revoked"]
    assert set(world.last["changes"]) == {"status", "commonName", "pem"}
    assert world.page(gone_bad) == []
    assert world.page(record("a", Status="REVOKE", CommonName="y", X509Certificate="other")) == ["changed"]


@pytest.mark.parametrize("field", ["AliasName", "Sans", "X509Certificate", "AfterDate", "Status", "Days"])
def test_a_field_that_appears_or_vanishes_is_kept_silently_and_shown_in_the_next_event(field: str) -> None:
    whole = record("a", AliasName="x")
    without = {name: value for name, value in whole.items() if name != field}
    for first, then in ((whole, without), (without, whole)):
        world = watching(first)
        before = world.topics["inventory"].copy()
        assert world.page(then) == []
        assert [put.topic for put in world.puts] == ["state"]
        assert world.topics["inventory"] == before
        assert world.page(then) == []
        assert world.puts == []
        assert world.page(then | {"CommonName": "x"}) == ["changed"]
        assert set(world.last["changes"]) == {"commonName"}
        reference = watching(then | {"CommonName": "x"})
        shown = {k: v for k, v in world.last["certificate"].items() if k != "pem"}
        assert shown == reference.inventory("a")["certificate"]


def test_extra_is_never_a_change_and_shown_in_the_next_event() -> None:
    world = watching(record("a", New={"x": 1}))
    assert world.page(record("a", New={"x": 2.5})) == []
    assert world.tick(days=250) == ["expiring"]
    assert world.last["certificate"]["extra"] == {"New": {"x": "2.5"}}


@pytest.mark.parametrize("between", ["vanished", "absent at first"])
def test_a_status_becomes_revoked_even_when_it_was_missing_before(between: str) -> None:
    world = watching(record("a", Status=None)) if between == "absent at first" else watching(A)
    assert world.page(record("a", Status=None)) == []
    assert world.page(record("a", Status="REVOKE")) == ["revoked"]
    assert world.last["changes"] == {"status": {"to": "REVOKE"}}


def test_a_status_that_was_missing_does_not_turn_back_from_revoke_without_a_look_up() -> None:
    world = watching(A)
    world.page(record("a", Status="REVOKE"))
    assert world.page(record("a", Status=None)) == []
    assert world.page(A, wait=60.0) == []
    assert world.look_up("a", A) == ["changed"]
    assert world.last["changes"] == {"status": {"from": "REVOKE", "to": "ISSUE"}}


@given(order=st.permutations(sorted(A)), indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_the_order_of_keys_white_space_and_escapes_are_nothing(
    order: list[str], indent: int | None, ascii_only: bool
) -> None:
    world = watching(A)
    other = json.dumps({name: A[name] for name in order}, indent=indent, ensure_ascii=ascii_only).encode()
    assert world.page(other) == []
    assert world.puts == []
    assert world.ledger.inventory.recognise([other]) == ([0], [])
    world.page(other)
    assert world.puts == []


def test_without_pem_only_its_sum_is_kept_and_compared() -> None:
    world = watching(A, keep_pem=False)
    assert "pem" not in world.topics
    assert "pem" not in world.events[0]["data"]["certificate"]
    assert world.page(record("a", X509Certificate="other")) == ["changed"]
    assert set(world.last["changes"]) == {"pem"}
    assert "pem" not in world.last["certificate"]


# --- What a page may not decide ---------------------------------------------------------------------------------------


def test_a_late_answer_does_not_undo_a_newer_fact() -> None:
    world = watching(A)
    world.page(record("a", AliasName="x"))
    world.page(record("a", AliasName="y"))
    late = world.answer(record("a", AliasName="x"), sent=world.now - 0.5)
    world.now += 1
    assert world.observe(late).look_up == {"a": 0.0}
    assert world.puts == []
    again = world.answer(record("a", AliasName="x"), sent=world.now - 1.5)
    assert world.observe(again, decides="a").look_up == {"a": 0.0}
    assert world.puts == []


def test_a_late_answer_does_not_undo_what_was_kept_silently() -> None:
    world = watching(A)
    world.page(record("a", AliasName="x"))
    world.observe(world.answer(A, sent=world.now - 0.5))
    assert world.puts == []


def test_a_return_from_revoke_is_decided_by_a_look_up_that_is_late_enough() -> None:
    world = watching(A)
    world.page(record("a", Status="REVOKE"), wait=60.0)
    world.now += 10
    assert world.observe(world.answer(A)).look_up == {"a": 0.0}
    wait = world.observe(world.answer(A), decides="a").look_up["a"]
    assert wait == pytest.approx(30 - 10 + world.trip)
    assert world.puts == []
    assert world.look_up("a", A, wait=wait) == ["changed"]


def test_a_reappearance_is_decided_by_a_look_up_that_is_late_enough() -> None:
    world = watching(A, B)
    assert world.delete("b") == ["deleted"]
    asked = START + round((world.now - world.trip - 1000) * 1000)
    world.now += 10
    assert world.observe(world.answer(A, B)).look_up == {"b": pytest.approx(20 + world.trip)}
    assert world.puts == []
    assert world.observe(world.answer(B), decides="b").look_up == {"b": pytest.approx(20 + world.trip)}
    assert world.puts == []
    assert world.page(A, B, wait=60.0) == []
    assert world.look_up("b", B, wait=0.0) == ["new"]
    assert world.last["returned"] is True
    assert world.last["observed"]["after"] == rfc3339(asked)


def test_two_differing_copies_in_one_answer_need_a_look_up() -> None:
    world = watching(A)
    for copies in ([A, record("a", Days=1)], [record("a", Days=1), record("a", Days=2)]):
        world.now += 1
        assert world.observe(world.answer(*copies)).look_up == {"a": 0.0}
        assert world.puts == []
    assert world.observe(world.answer(A, B, record("b", Days=1))).look_up == {"b": 0.0}
    assert world.puts == []


def test_copies_that_differ_silently_do_not_take_turns_in_the_state() -> None:
    world = watching(record("a", New=1))
    for copies in ([record("a", New=1), record("a", New=2)], [record("a", New=2)]):
        world.now += 1
        assert world.observe(world.answer(*copies), seen=bytearray([1])).look_up == {"a": 0.0}
        assert world.puts == []
    assert world.look_up("a", record("a", New=1), record("a", New=2)) == []
    assert world.puts == []
    assert world.look_up("a", record("a", New=2)) == []
    assert [put.topic for put in world.puts] == ["state"]


def test_two_equal_copies_are_one() -> None:
    world = watching(A)
    assert world.page(A, B, B) == ["new"]
    assert world.page(record("a", Days=1), record("a", Days=1), B) == ["changed"]


@pytest.mark.parametrize("flip", [False, True])
def test_two_copies_that_differ_in_the_look_up_too_become_one_event_not_a_stream_of_them(flip: bool) -> None:
    world = watching(A)
    copies = [B, record("b", Days=1)]
    assert world.look_up("b", *(copies[::-1] if flip else copies)) == ["new"]
    for _ in range(3):
        assert world.page(A, *copies) == []
        assert world.look_up("b", *copies) == []
        assert world.look_up("b", *copies[::-1]) == []
    days = world.inventory("b")["certificate"]["days"]
    assert world.look_up("b", record("b", Days=7), record("b", Days=8)) == ["changed"]
    assert days in (365, 1)


def test_a_second_differing_copy_on_another_page_of_the_sweep_needs_a_look_up() -> None:
    world = watching(A, B)
    seen = world.observe(world.answer(A, record("b", Days=1)), seen=bytearray([1, 1]))
    assert seen.look_up == {"b": 0.0}
    assert world.puts == []
    assert world.look_up("b", B) == []
    # In the next sweep the wrong copy comes first: it must not become an event again and again.
    assert world.observe(world.answer(A, record("b", Days=1)), seen=bytearray([0, 0])).look_up == {"b": 0.0}
    assert world.look_up("b", record("b", Days=2)) == ["changed"]


def test_a_look_up_decides_only_about_what_it_was_asked() -> None:
    world = watching(A, B)
    assert world.look_up("a", record("b", Days=1)) == []


def test_while_suspect_news_and_changes_are_held_and_thresholds_go_on() -> None:
    from certstream.core.deletion import release, suspect

    world = watching(record("a", AfterDate=START + 31 * DAY))
    world.commit(lambda draft: suspect(draft, "because", 1))
    changed = record("a", AfterDate=START + 31 * DAY, Days=1)
    assert world.page(changed, B) == []
    assert world.tick(days=2) == ["expiring"]
    assert world.delete("a") == []
    world.commit(release)
    assert kind_of(world.events[-1]) == "released"
    assert world.page(changed, B) == ["changed", "new"]


# --- Exactly once -----------------------------------------------------------------------------------------------------

_fields = st.fixed_dictionaries(
    {},
    optional={
        "Status": st.sampled_from(["ISSUE", "REVOKE", "OTHER", None]),
        "AfterDate": st.sampled_from([START + days * DAY for days in (-1, 3, 20, 200)]) | st.none(),
        "CommonName": st.sampled_from(["x", "y", ""]),
        "Extra": st.integers() | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False),
        "X509Certificate": st.sampled_from(["p", "q", None]),
        "Sans": st.sampled_from(["[]", '[{"Type":7,"Value":"::1"},]', None, "no JSON"]),
    },
)
_step = st.tuples(
    st.sampled_from(["page", "look-up", "delete", "tick", "swept"]),
    st.lists(st.tuples(st.sampled_from("abc"), _fields), max_size=4),
    st.floats(0.0, 90.0),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(_step, min_size=1, max_size=12))
def test_whatever_happens_a_restored_process_knows_the_same_and_repeats_nothing(
    steps: list[tuple[str, list[tuple[str, Record]], float]],
) -> None:
    world = World()
    for what, content, wait in steps:
        records = [record(name, **fields) for name, fields in content]
        if what == "page":
            world.page(*records, wait=wait)
        elif what == "look-up" and records:
            world.look_up(records[0]["Identifier"], records[0], wait=wait)
        elif what == "delete":
            world.delete(*{one["Identifier"] for one in records}, wait=wait)
        elif what == "tick":
            world.tick(wait / 10)
        elif what == "swept":
            world.swept()
        if what not in ("page", "look-up"):
            continue
        answer = world.answer(*(records[:1] if what == "look-up" else records))
        restored = world.restored()
        assert restored.head == world.ledger.head
        assert restored.quarantined == world.ledger.quarantined
        restored.contested |= world.ledger.contested  # memory of this process: it only asks for more look-ups
        for ledger in (world.ledger, restored):
            draft = Draft(ledger, now=world.wall, fires=True)
            observe(draft, answer, decides=records[0]["Identifier"] if what == "look-up" and records else None)
            if not _doubtful(records):
                assert draft.puts() == []
        assert _rows(restored) == _rows(world.ledger)


def _rows(ledger: Ledger) -> dict[str, Row]:
    """Every row but for the JSON text that it is known by, which is memory's own."""
    inventory = ledger.inventory
    return {
        inventory.identifier(number): msgspec.structs.replace(inventory.row(number), raw=b"")
        for number in range(len(inventory))
    }


def _doubtful(records: list[Record]) -> bool:
    return len({one["Identifier"] for one in records}) != len(records)


def test_what_is_shown_again_as_it_was_before_it_changed_is_decided_by_a_look_up() -> None:
    world = watching(record("a", Locality="Hangzhou"))
    old, new = record("a", Locality="Hangzhou"), record("a", Locality="Nanjing")
    assert world.page(new) == ["changed"]
    assert [world.page(old), world.page(new), world.page(old)] == [[], [], []], "two copies that two pages show"
    assert world.look_up("a", old) == ["changed"]
