"""The whole account: digest, quarantine, health, thresholds of the configuration, restoring, `replaces`."""

from __future__ import annotations

import hashlib
import json
import subprocess

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certstream.core import account
from certstream.core.anchor import Anchor
from certstream.core.errors import Fatal
from certstream.core.ledger import Ledger, Settings
from certstream.core.restored import check
from certstream.core.rows import FORM, decode_head, decode_row, encode, unpack
from certstream.core.sharding import murmur2, shard_of
from certstream.core.times import thresholds
from tests.core.world import DAY, START, World, at_once, kind_of, record, watching
from tests.schemas.validate import problems_of


@settings(max_examples=10, deadline=None)
@given(st.sets(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/"), min_size=1)))
def test_anyone_rebuilds_the_digest_from_the_inventory_with_sort_and_sha256sum(identifiers: set[str]) -> None:
    identifiers.discard("gone")
    world = watching(*(record(one) for one in sorted(identifiers)), record("gone"))
    world.delete("gone")
    world.commit(account.digest)
    lines = [
        b"%s %s\n" % (key.removeprefix(b"prod/"), hashlib.sha256(value).hexdigest().encode())
        for key, value in world.topics["inventory"].items()
        if value is not None
    ]
    command = "LC_ALL=C sort | sha256sum"
    rebuilt = subprocess.run(["sh", "-c", command], input=b"".join(lines), capture_output=True, check=True).stdout
    assert world.last == {"account": "prod", "count": len(lines), "digest": rebuilt.split()[0].decode()}


def test_a_digest_is_told_after_the_baseline_and_then_daily() -> None:
    world = watching(record("a"))
    assert kind_of(world.events[-1]) == "digest"
    assert world.swept() == []
    world.now += 86400
    assert world.swept() == ["digest"]


def test_what_cannot_be_read_is_quarantined_once_even_after_a_restart() -> None:
    world = watching(record("a"))
    sick = b'{"Identifier":"b","Days":NaN}'
    assert world.page(record("a"), sick, sick, b"[]") == []
    values = [json.loads(put.value or b"") for put in world.puts if put.topic == "quarantine"]
    assert [value.get("identifier") for value in values] == ["b", None]
    assert values[0]["sha256"] == hashlib.sha256(sick).hexdigest()
    world.page(record("a"), sick, b"[]")
    assert world.puts == []
    world.ledger = world.restored()
    world.page(record("a"), sick, b"[]")
    assert world.puts == []


def test_a_huge_unreadable_record_is_quarantined_with_its_first_quarter_megabyte() -> None:
    world = watching()
    world.page(b'"' + b"x" * 1_000_000 + b'"')
    value = json.loads(world.topics["quarantine"][b"prod"] or b"")
    assert value["size"] == 1_000_002


def test_an_unreadable_record_counts_as_seen_and_leaves_what_is_known() -> None:
    world = watching(record("a"))
    found = world.observe(world.answer(record("a", Days="many")))
    assert found.identifiers == ["a"]
    assert found.quarantined == 1
    assert world.inventory("a")["certificate"]["days"] == 365


def test_health_is_a_record_of_the_topic_accounts() -> None:
    world = watching(record("a"))
    world.commit(lambda draft: account.health(draft, state="healthy", since=START, reason=None))
    world.commit(lambda draft: account.health(draft, state="denied", since=START, reason="x" * 2000))
    assert problems_of("accounts", world.topics["accounts"][b"prod"] or b"") == []


def test_nothing_is_written_when_nothing_changed() -> None:
    world = watching(record("a"))
    world.page(record("a"))
    assert world.puts == []


def test_within_one_transaction_the_last_inventory_wins() -> None:
    world = watching(record("a"))
    world.page(record("a"), record("b", Status="REVOKE"))
    inventory = [put for put in world.puts if put.topic == "inventory"]
    assert len(inventory) == 1
    assert json.loads(inventory[0].value or b"")["lifecycle"] == "revoked"


# --- Restoring --------------------------------------------------------------------------------------------------------


def ledger() -> Ledger:
    """An empty one."""
    return Ledger(Settings("prod", "prod", thresholds(["30d"])), Anchor(boot=0.0))


def restore(key: bytes, value: bytes) -> None:
    found = ledger()
    found.restore(key, value)
    at_once(check(found, now=0.0, wall=0))


@settings(max_examples=200, deadline=None)
@given(key=st.sampled_from([b"prod", b"prod/a", b"prod//00ff"]) | st.binary(), value=st.binary())
def test_foreign_bytes_in_state_are_fatal(key: bytes, value: bytes) -> None:
    try:
        restore(key, value)
    except Fatal:
        return
    assert key.isascii()
    assert b"/" in key


def test_a_newer_form_is_fatal_and_says_what_to_do() -> None:
    world = watching(record("a"))
    for key in (b"prod", b"prod/a"):
        value = world.topics["state"][key]
        assert value is not None
        row = decode_row(value) if b"/" in key else decode_head(value)
        row = type(row)(**{**{name: getattr(row, name) for name in row.__struct_fields__}, "form": FORM + 1})
        with pytest.raises(Fatal, match="upgrade"):
            restore(key, encode(row))


@pytest.mark.parametrize("key", [b"prod", b"prod/a", b"prod//00ff"])
@pytest.mark.parametrize("later", [True, False], ids=["after its head", "before it, as the cleaner leaves it"])
def test_a_tombstone_in_a_history_that_goes_on_is_fatal(key: bytes, later: bool) -> None:
    head = watching(record("a")).topics["state"][b"prod"]
    found = ledger()
    rows = [(b"prod", head), (key, None)] if later else [(key, None), (b"prod", head)]

    def read() -> None:
        for one, value in rows:
            found.restore(one, value)
        at_once(check(found, now=0.0, wall=0))

    with pytest.raises(Fatal, match="tombstone"):
        read()


def test_a_memory_that_our_history_cannot_have_left_is_refused() -> None:
    world = watching(record("a"), record("b"))
    state = world.topics["state"]
    world.restored()
    whole = dict(state)
    row = decode_row(state[b"prod/a"] or b"")

    del state[b"prod/a"]
    with pytest.raises(Fatal, match="has 1 certificates, its head counts 2"):
        world.restored()
    state[b"prod/a"] = encode(msgspec.structs.replace(row, lineage=row.lineage ^ 1))
    with pytest.raises(Fatal, match="two histories"):
        world.restored()
    state[b"prod/a"] = encode(msgspec.structs.replace(row, sequence=99))
    with pytest.raises(Fatal, match="a row of event 99, its head ends at"):
        world.restored()
    state |= whole
    with pytest.raises(Fatal, match="its head is missing"):
        world.restored(headless=True)


def test_rows_and_images_survive_the_round_trip() -> None:
    world = watching(record("a", Größe={"ä": [1, "😀"]}, X509Certificate="x" * 900_000))
    value = world.topics["state"][b"prod/a"]
    assert value is not None
    row = decode_row(value)
    assert row == world.ledger.inventory.get("a")
    image = unpack(row.image)
    assert unpack(image.pack()) == image
    assert image.omitted.keys() == {"pem"}
    assert image.certificate["extra"] == {"Größe": {"ä": [1, "😀"]}}


def test_a_restored_process_knows_recent_facts() -> None:
    world = watching(*(record(name) for name in "abcde"))
    world.delete("b")
    world.now += 10
    world.ledger = world.restored()
    assert world.observe(world.answer(record("a"), record("b"))).look_up == {"b": pytest.approx(20.05)}
    world.now += 1000
    world.ledger = world.restored()
    assert world.ledger.facts == {}


def test_the_calendar_is_rebuilt_after_a_restart() -> None:
    world = watching(record("a", AfterDate=START + 40 * DAY))
    world.ledger = world.restored()
    assert world.tick(days=11) == ["expiring"]


@pytest.mark.parametrize("steps", range(5))
def test_what_changes_while_the_calendar_is_built_anew_is_told_in_time(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certstream.core.ledger.STEP", 1)
    far = {name: record(name, AfterDate=START + 200 * DAY) for name in "abcd"}
    world = watching(*far.values(), record("e", AfterDate=START + 31 * DAY + 5_000))
    building = world.ledger.schedule(world.wall)
    for _ in range(steps):
        next(building)
    sooner = {name: record(name, AfterDate=START + 40 * DAY) for name in "abcd"}
    world.page(*sooner.values(), record("f", AfterDate=START + 41 * DAY))
    world.delete("b")
    assert world.tick(days=1) == ["expiring"], "what the calendar before says is told meanwhile"
    at_once(building)
    assert world.tick(days=8) == []
    assert world.tick(days=2.5) == ["expiring"] * 4
    assert [event["subject"] for event in world.events[-4:]] == ["a", "c", "d", "f"]


def test_a_calendar_that_is_built_anew_twice_is_the_newest() -> None:
    world = watching(record("a", AfterDate=START + 40 * DAY), texts=("1d",))
    older = world.ledger.schedule(world.wall)
    next(older)
    world.configure("30d", "1d")
    assert world.tick() == []
    at_once(older)  # of the thresholds before
    assert world.tick(days=11) == ["expiring"]


def test_what_was_restored_is_looked_into_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certstream.core.restored.STEP", 2)
    world = watching(*(record(name) for name in "abcde"))
    restored = ledger()
    for key, value in world.topics["state"].items():
        restored.restore(key, value)
    assert len(list(check(restored, now=0.0, wall=world.wall))) == 3
    assert restored.live() == 5


# --- The clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "boot", "wall", "newest", "agrees"),
    [
        (None, 10.0, 0, 0, False),
        (None, 599.9, 0, 0, False),
        (None, 600.0, 0, 0, True),
        (None, 600.0, DAY, 0, True),
        (None, 600.0, DAY + 1, 0, False),
        (None, 600.0, 99, 100, False),
        (0, 10.0, 10_000, 0, True),
        (0, 10.0, 310_000, 0, True),
        (0, 10.0, 310_001, 0, False),
        (0, 1000.0, 700_000, 0, True),
        (0, 1000.0, 699_999, 0, False),
    ],
)
def test_the_clock_is_trusted_while_it_agrees_with_the_servers(
    date: int | None, boot: float, wall: int, newest: int, agrees: bool
) -> None:
    anchor = Anchor(boot=0.0)
    if date is not None:
        anchor.date(date, 0.0)
    assert anchor.agrees(wall=wall, boot=boot, newest=newest) is agrees


def test_a_clock_that_jumps_is_found_out_until_it_jumps_back() -> None:
    anchor = Anchor(boot=0.0)
    assert anchor.agrees(wall=0, boot=700.0, newest=0)
    assert not anchor.agrees(wall=DAY, boot=701.0, newest=0)
    anchor.date(DAY, 702.0)
    assert anchor.agrees(wall=DAY, boot=702.0, newest=0)


def test_the_newest_event_before_the_start_bounds_the_clock_not_what_this_process_told() -> None:
    world = watching(record("a"))
    assert world.ledger.newest == START
    restored = world.restored()
    assert restored.head is not None
    assert restored.newest == restored.head.time
    world.skew = 1000 * DAY
    world.page(record("a", Days=1))
    at_once(world.ledger.schedule(world.wall))
    assert world.ledger.newest == START


# --- Replaces ---------------------------------------------------------------------------------------------------------

OLD = record("old", SubjectDN="CN=x", AfterDate=START + 10 * DAY)
NEW = record("new", SubjectDN="CN=x", BeforeDate=START, Sans=OLD["Sans"])


@pytest.mark.parametrize(
    ("old", "new", "replaces"),
    [
        ({}, {}, True),
        ({"Sans": "[]"}, {}, True),
        ({}, {"Sans": "[]"}, False),
        ({}, {"SubjectDN": "CN=y"}, False),
        ({}, {"ParentIdentifier": "ca-2"}, False),
        ({}, {"CertificateType": "CLIENT"}, False),
        ({"Status": "REVOKE"}, {}, False),
        ({"AfterDate": START + 40 * DAY}, {}, False),
        ({}, {"AfterDate": START + 10 * DAY}, False),
        ({}, {"AfterDate": START + 9 * DAY}, False),
        ({}, {"BeforeDate": START - 101 * DAY}, False),
        ({"AfterDate": None}, {}, False),
        ({"BeforeDate": None}, {}, True),
        ({"SubjectDN": None}, {"SubjectDN": None}, False),
    ],
)
def test_a_new_certificate_names_the_one_that_it_replaces(
    old: dict[str, object], new: dict[str, object], replaces: bool
) -> None:
    world = watching(record("z"), {k: v for k, v in {**OLD, **old}.items() if v is not None})
    world.page(record("z"), {k: v for k, v in {**NEW, **new}.items() if v is not None})
    first = next(event["data"] for event in world.events if event["subject"] == "new")
    assert first.get("replaces") == ("old" if replaces else None)


def test_nothing_is_replaced_where_two_could_be_or_the_old_one_is_gone() -> None:
    world = watching(record("z"), record("y"), OLD, {**OLD, "Identifier": "old2"})
    world.page(record("z"), NEW)
    assert "replaces" not in world.last
    world.delete("old2")
    world.page(record("z"), {**NEW, "Identifier": "newer", "AfterDate": START + 500 * DAY})
    assert world.last["replaces"] == "old"


def test_an_older_one_of_the_same_transaction_can_be_replaced() -> None:
    world = watching(record("z"))
    world.page(record("z"), OLD, NEW)
    assert world.last.get("replaces") == "old"


def test_one_whose_names_were_too_many_to_keep_is_not_replaced() -> None:
    many = json.dumps([{"Type": 2, "Value": f"{n:060d}"} for n in range(12000)])
    world = watching(record("z"), {**OLD, "Sans": many})
    world.page(record("z"), NEW)
    assert "replaces" not in world.last


# --- Sharding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (bytes([97, 98, 99]), 479470107),
    ],
)
def test_the_hash_is_that_of_kafkas_own_tests(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


def test_a_shard_is_a_partition() -> None:
    assert {shard_of(f"budget-{n}", 12) for n in range(500)} == set(range(12))


def test_the_world_begins_without_anything() -> None:
    assert World().restored().live() == 0
