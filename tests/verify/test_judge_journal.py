"""The judge finds each damage to a journal; its own bytes, partitions and forms are the contract's."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import replace

from tests.verify.forge import START, edit, found, record, sample
from tests.verify.history import Record
from tests.verify.judge import judge
from tests.verify.normal import audible, form, instant, pem_sum, seconds, threshold_seconds
from tests.verify.wire import NAMESPACE, SCHEMA_ID, canonical, partition


def rewritten(entry: Record, **members: object) -> Record:
    """The record with other members in its JSON, canonical again."""
    return entry._replace(value=canonical({**json.loads(entry.value or b""), **members}))


def test_a_sequence_gap() -> None:
    assert found(sample(skip={5})) == {"sequence"}


def test_a_broken_chain() -> None:
    def other(entry: Record) -> Record:
        return rewritten(entry, prevhash="f" * 64)

    last = edit(edit(sample(), "events", -1, other), "certificate.expired", 0, other)
    assert found(last) == {"prevhash", "inventory"}  # the row's hash is that of the event as it was
    made = edit(sample(), "events", -1, lambda entry: rewritten(entry, certprevhash="0" * 64))
    made = edit(made, "certificate.expired", 0, lambda entry: rewritten(entry, certprevhash="0" * 64))
    assert found(made) == {"certprevhash", "inventory"}


def test_a_copy_that_differs_by_one_byte() -> None:
    flipped = edit(
        sample(),
        "certificate.new",
        0,
        lambda entry: entry._replace(value=(entry.value or b"").replace(b"CN=d", b"CN=e", 1)),
    )
    assert found(flipped) == {"copy differs"}


def test_a_copy_with_another_header() -> None:
    assert found(edit(sample(), "certificate.new", 0, lambda entry: entry._replace(headers=entry.headers[:3]))) == {
        "copy differs"
    }


def registered(schema: bytes) -> Callable[[Record], Record]:
    """The record with the header of a registry, as another topic would have another."""
    return lambda entry: entry._replace(headers=(*entry.headers, (SCHEMA_ID, schema)))


def test_a_schema_of_its_own_is_no_difference_of_a_copy_and_must_be_an_id() -> None:
    one = edit(sample(), "events", -1, registered(b"\0\0\0\0\x07"))
    assert found(one) == set(), "the registry was away when the copy was written, or not"
    assert found(edit(one, "certificate.expired", 0, registered(b"\0\0\0\0\x09"))) == set()
    assert found(edit(sample(), "events", -1, registered(b"7"))) == {"envelope"}


def test_a_copy_that_is_missing_or_too_many() -> None:
    assert found(edit(sample(), "certificate.discovered", 1, lambda entry: None)) == {"copy missing"}
    made = sample()
    made.breaks.append(lambda records: [*records, *(entry for entry in records if entry.topic == "certificate.new")])
    assert "copy extra" in found(made)


def test_copies_in_another_order() -> None:
    made = sample()
    made.breaks.append(
        lambda records: sorted(
            records,
            key=lambda entry: (
                (entry.topic == "certificate.discovered", -entry.offset)
                if entry.topic == "certificate.discovered"
                else (False, 0)
            ),
        )
    )
    assert found(made) == {"copy order"}


def test_an_invalid_event() -> None:
    made = sample()
    del made.bodies[-1]["specversion"]
    assert found(made) == {"invalid event", "envelope"}


def test_bytes_that_are_not_canonical() -> None:
    def spaced(entry: Record) -> Record:
        return entry._replace(value=(entry.value or b"").replace(b'{"', b'{ "', 1))

    made = edit(edit(sample(), "events", -1, spaced), "certificate.expired", 0, spaced)
    assert found(made) == {"not canonical", "inventory"}


def test_a_wrong_inventory() -> None:
    assert found(edit(sample(), "inventory", -1, lambda entry: rewritten(entry, lifecycle="valid"))) == {"inventory"}
    assert found(edit(sample(), "inventory", -1, lambda entry: None)) == {"inventory"}
    assert found(edit(sample(), "inventory", 0, lambda entry: rewritten(entry, lifecycle="revoked"))) == {"inventory"}


def test_a_wrong_pem_topic() -> None:
    assert found(edit(sample(), "pem", 1, lambda entry: entry._replace(value=b"x"))) == {"pem"}


def test_a_wrong_digest_and_a_wrong_count() -> None:
    made = sample()
    made.tell_account(200, "digest", digest="0" * 64, count=3)
    assert found(made) == {"digest"}
    made = sample()
    made.bodies[3]["data"]["count"] = 4
    assert found(made) == {"digest"}


def test_events_without_a_cause_are_found() -> None:
    made = sample()
    made.tell_account(200, "suspect", reason="x", count=1, nominated=1)
    assert found(made) == {"unexpected event"}


def test_a_second_history_is_found() -> None:
    made = sample()
    made.bodies[-1]["lineage"] = "f" * 16
    assert "lineage" in found(made)


def test_a_record_outside_the_accounts_partition_is_found() -> None:
    assert found(edit(sample(), "pem", 0, lambda entry: entry._replace(partition=3))) == {"partition"}


def test_partitions_are_those_of_the_java_client() -> None:
    """Vectors of Kafka's own UtilsTest.testMurmur2."""
    vectors = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
    for key, value in vectors.items():
        assert partition(key, 1000) == (value & 0x7FFFFFFF) % 1000


def test_the_namespace_is_the_contracts() -> None:
    assert uuid.UUID("7dc8ea08-a8dd-5b19-8732-7db4bbb84c9b") == NAMESPACE


def test_the_normal_form_is_the_contracts() -> None:
    made = form(
        record(
            "x",
            Sans='[{"Type":7,"Value":"192.0.2.1"},{"Type":2,"Value":"b"},{"Type":2,"Value":"b"},{"Type":9,"Value":"o"},]',
            Md5=None,
            Strange={"a": 1},
        )
    )
    assert made.certificate["sans"] == [
        {"type": "dns", "value": "b"},
        {"type": "ip", "value": "192.0.2.1"},
        {"type": "other:9", "value": "o"},
    ]
    assert "md5" not in made.certificate
    assert made.certificate["extra"] == {"Strange": {"a": 1}}
    assert made.certificate["notBefore"] == "2030-03-17T17:46:40.000Z"
    assert seconds(made.certificate["notAfter"]) == START + 1000
    assert instant(-1) == "1969-12-31T23:59:59.999Z"
    assert pem_sum(made.pem or "") == hashlib.sha256(b"0\x00").hexdigest()
    assert audible(made, form(record("x", Sans="[]", Md5="m", Strange={"a": 2}))) == {
        "sans": {"from": made.certificate["sans"], "to": []}
    }
    assert threshold_seconds("33%", 300) == 99
    assert threshold_seconds("2d", 300) == 172800


def test_a_baseline_that_ended_twice_or_never() -> None:
    made = sample()
    made.tell_account(200, "baselined")
    assert found(made) == {"baseline"}
    made = sample()
    made.bodies = [body for body in made.bodies if not body["type"].endswith("baselined.v1")]
    assert "baseline" in found(made)


def test_health_and_quarantine_tell_nothing_that_has_no_cause() -> None:
    def beside(topic: str, **members: object) -> set[str]:
        made = sample()
        more = [Record(topic, 7, number, b"prod", canonical(members)) for number in range(2)]
        made.breaks.append(lambda records: [*records, *more])
        return found(made)

    assert beside("accounts", state="healthy") == set()
    assert beside("accounts", state="suspect") == {"health"}
    assert beside("accounts", state="throttled") == {"health"}
    assert beside("quarantine", sha256="1") == {"duplicate"}


def test_a_row_that_is_not_valid() -> None:
    case = replace(sample().case(), valid=lambda topic, raw: ["broken"] if topic == "inventory" else [])
    assert judge(case).kinds() == {"invalid record"}


def test_what_went_wrong_with_the_processes_is_in_the_verdict() -> None:
    assert judge(replace(sample().case(), problems=("it did not stop",))).kinds() == {"process"}


def test_a_wrong_envelope() -> None:
    def wrong(**members: object) -> set[str]:
        return found(edit(sample(), "events", -1, lambda entry: rewritten(entry, **members)))

    assert "envelope" in wrong(source="/x")
    assert "envelope" in wrong(partitionkey="c")
    assert "envelope" in wrong(dataschema="urn:x")
    assert "envelope" in wrong(id="1")
    unheaded = edit(sample(), "events", -1, lambda entry: entry._replace(headers=(("certstream-replay", b"1"),)))
    assert "envelope" in found(unheaded)
