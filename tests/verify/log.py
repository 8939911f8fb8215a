"""The log of record by itself: sequence, lineage, ids, both hash chains, canonical bytes, envelope, schema."""

from __future__ import annotations

from tests.verify.history import Case, Findings
from tests.verify.wire import KINDS, SCHEMA_ID, ZEROS, Event, canonical, event_id, partition, sha256, take_apart

CONTENT_TYPE = b"application/cloudevents+json; charset=UTF-8"
ACCOUNT_KINDS = ("baselined", "digest")
"""What an undisturbed account tells of itself. Anything else (suspect, paused, …) has no cause in this run."""


def read_log(case: Case, findings: Findings) -> list[Event]:
    """The events of the account in order; what cannot be read is blamed and left out."""
    events = []
    for record in (record for record in case.records if record.topic == "events"):
        findings.count("events")
        where = f"events[{record.partition}]@{record.offset}"
        for problem in case.valid(record.topic, record.value or b""):
            findings.blame("invalid event", where, problem)
        try:
            event = take_apart(record)
        except ValueError as error:
            findings.blame("invalid event", where, str(error))
            continue
        if canonical(event.body) != event.raw:
            findings.blame("not canonical", event.where, "its bytes are not the canonical JSON of their content")
        events.append(event)
    _check_partition(case, findings)
    _check_envelopes(case, events, findings)
    _check_chains(events, findings)
    return events


def _check_partition(case: Case, findings: Findings) -> None:
    """One writer per partition: everything of an account lies in the partition of its budget."""
    used = {record.partition for record in case.records}
    expected = {partition(case.account.encode(), case.partitions)} if case.partitions else used
    if used - expected or len(used) > 1:
        findings.blame("partition", "all topics", f"records in partitions {sorted(used)}, not in {sorted(expected)}")


def _check_envelopes(case: Case, events: list[Event], findings: Findings) -> None:
    for event in events:
        body, record = event.body, event.record
        on_account = event.family == "account"
        key = case.account if on_account else f"{case.account}/{event.subject}"
        expected = {
            "specversion": "1.0",
            "source": f"/alibabacloud/cas/{case.account}",
            "datacontenttype": "application/json",
            "dataschema": f"urn:certstream:schema:{event.family}.{event.kind}:1#/$defs/data",
            "partitionkey": key,
            "sequence": f"{event.sequence:020d}",
            "id": event_id(body.get("lineage", ""), body.get("sequence", "")),
        }
        for name, value in expected.items():
            if body.get(name) != value:
                findings.blame("envelope", event.where, f"{name} is {body.get(name)!r}, not {value!r}")
        if on_account and event.subject != case.account:
            findings.blame("envelope", event.where, f"subject {event.subject!r} is not the account")
        if record.key != key.encode():
            findings.blame("envelope", event.where, f"key {record.key!r} is not {key!r}")
        if event.data.get("account") != case.account:
            findings.blame("envelope", event.where, f"data.account is {event.data.get('account')!r}")
        headers = {
            "content-type": CONTENT_TYPE,
            "ce_type": body["type"].encode(),
            "ce_id": str(body.get("id")).encode(),
            "ce_subject": event.subject.encode(),
        }
        got = dict(record.headers)
        for name, content in headers.items():
            if got.get(name) != content:
                findings.blame("envelope", event.where, f"header {name} is {got.get(name)!r}, not {content!r}")
        schema = got.get(SCHEMA_ID)
        if schema is not None and (len(schema) != 5 or schema[0] != 0):
            findings.blame(
                "envelope", event.where, f"header {SCHEMA_ID} is {schema!r}, not a zero and an id of 4 bytes"
            )
        if "certstream-replay" in got:
            findings.blame("envelope", event.where, "a replayed record in a live topic")
        if event.kind not in (ACCOUNT_KINDS if on_account else KINDS):
            findings.blame("unexpected event", event.where, f"nothing in this run calls for {body['type']}")


def _check_chains(events: list[Event], findings: Findings) -> None:
    lineages = sorted({str(event.body.get("lineage")) for event in events})
    if len(lineages) > 1:
        findings.blame("lineage", "events", f"more than one history: {lineages}")
    before: str = ZEROS
    expected = 1
    of_certificate: dict[str, str] = {}
    for event in events:
        if event.sequence != expected:
            findings.blame("sequence", event.where, f"expected {expected}")
        expected = event.sequence + 1
        if event.body.get("prevhash") != before:
            findings.blame("prevhash", event.where, "is not the hash of the event before")
        before = sha256(event.raw)
        if event.family == "account":
            if "certprevhash" in event.body:
                findings.blame("certprevhash", event.where, "an account event carries one")
            continue
        if event.body.get("certprevhash") != of_certificate.get(event.subject, ZEROS):
            findings.blame("certprevhash", event.where, "is not the hash of this certificate's event before")
        of_certificate[event.subject] = before
