"""Does the judge fail when something is broken? A kept run that passed is broken in one place at a time.

`python -m tests.verify --sabotage DIR`: each break must be found as what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple, TextIO

from tests.verify.history import STOOD, Case, Change, Record
from tests.verify.judge import judge
from tests.verify.wire import Event, take_apart

Break = Callable[[Case], Case]


class Sabotage(NamedTuple):
    """`kind` must be among the violations that are found after `apply`."""

    what: str
    kind: str
    apply: Break


def _last(case: Case, kind: str) -> Event:
    """The last event of a kind. Raises LookupError where the run had none."""
    for record in reversed(case.records):
        if record.topic == f"certificate.{kind}":
            return take_apart(record)
    raise LookupError(f"no event `{kind}` in this run")


def _truth(case: Case, change: Callable[[Change], Change | None]) -> Case:
    return replace(case, changes=tuple(kept for entry in case.changes if (kept := change(entry)) is not None))


def _without(kind: str, what: str) -> Break:
    """The truth entry that some event of this kind tells, the last of its certificate, never was."""

    def apply(case: Case) -> Case:
        told = {
            record.key.partition(b"/")[2].decode() for record in case.records if record.topic == f"certificate.{kind}"
        }
        last = {entry.identifier: entry for entry in case.changes}
        victims = [entry for entry in last.values() if entry.what == what and entry.identifier in told]
        if not victims:
            raise LookupError(f"no event `{kind}` that could be taken")
        return _truth(case, lambda entry: None if entry is victims[-1] else entry)

    return apply


def _steady(case: Case) -> Change:
    """An initial certificate that nothing happened to."""
    touched = {entry.identifier for entry in case.changes if entry.version > 1}
    return next(entry for entry in case.changes if entry.identifier not in touched)


def _more(what: str, **fields: str) -> Break:
    """A change that stood for long enough, and that nobody told."""

    def apply(case: Case) -> Case:
        victim = _steady(case)
        at = case.runs[-1].stop - STOOD - 5
        record = None if what == "delete" else {**(victim.record or {}), **fields}
        return replace(case, changes=(*case.changes, Change(0, at, what, victim.identifier, 2, record)))

    return apply


def _unseen(case: Case) -> Case:
    subject = _last(case, "deleted").subject
    calls = tuple(replace(c, delivered=c.delivered and c.identifier != subject) for c in case.calls)
    return replace(case, calls=calls)


def _unshown(case: Case) -> Case:
    subject = _last(case, "new").subject
    calls = tuple(replace(c, rows=tuple(row for row in c.rows if row[0] != subject)) for c in case.calls)
    return replace(case, calls=calls)


def _hurry(case: Case) -> Case:
    arrivals = {c.number: case.calls[0].arrival_mono + 0.09 * place for place, c in enumerate(case.calls[:11])}
    return replace(
        case, calls=tuple(replace(c, arrival_mono=arrivals.get(c.number, c.arrival_mono)) for c in case.calls)
    )


def _throttle(case: Case) -> Case:
    return replace(case, calls=(*case.calls[:-1], replace(case.calls[-1], code="Throttling.User")))


def _records(topic: str, change: Callable[[Record], Iterator[Record]]) -> Break:
    """The last record of a topic that has a value becomes none, another, or several."""

    def apply(case: Case) -> Case:
        place = max(number for number, record in enumerate(case.records) if record.topic == topic and record.value)
        changed = tuple(change(case.records[place]))
        return replace(case, records=(*case.records[:place], *changed, *case.records[place + 1 :]))

    return apply


def _flip(record: Record) -> Iterator[Record]:
    value = record.value or b"{}"
    yield record._replace(value=value[:-20] + bytes([value[-20] ^ 1]) + value[-19:])


def _respelt(record: Record) -> Iterator[Record]:
    yield record._replace(value=(record.value or b"").replace(b'"specversion":"1.0"', b'"specversion":"1.1"'))


def _gone(record: Record) -> Iterator[Record]:
    yield from ()


def _twice(record: Record) -> Iterator[Record]:
    yield record
    yield record


def _forget(case: Case) -> Case:
    """Without the first `expired`, wherever it is."""
    raw = next((record.value for record in case.records if record.topic == "certificate.expired"), None)
    if raw is None:
        raise LookupError("no event `expired` in this run")
    return replace(case, records=tuple(record for record in case.records if record.value != raw))


SABOTAGES = (
    Sabotage("a change that nobody told", "lost version", _more("edit", Organization="Evil")),
    Sabotage("a revocation that nobody told", "lost version", _more("revoke", Status="REVOKE")),
    Sabotage("a deletion that nobody told", "lost deletion", _more("delete")),
    Sabotage("an event for a change that never was", "invented", _without("changed", "edit")),
    Sabotage("an event for a revocation that never was", "invented", _without("revoked", "revoke")),
    Sabotage("an event for a deletion that never was", "false deletion", _without("deleted", "delete")),
    Sabotage("a deletion that no look-up had shown", "never shown", _unseen),
    Sabotage("a new certificate that no answer had shown", "never shown", _unshown),
    Sabotage(
        "a threshold that never was told", "missed threshold", lambda c: replace(c, thresholds=(*c.thresholds, "45%"))
    ),
    Sabotage(
        "a threshold that was not configured", "false threshold", lambda c: replace(c, thresholds=c.thresholds[:-1])
    ),
    Sabotage("an `expired` left out", "missed expired", _forget),
    Sabotage("an event twice in the log", "sequence", _records("events", _twice)),
    Sabotage("an event left out of the log", "copy extra", _records("events", _gone)),
    Sabotage("a bit flipped in the log", "invalid event", _records("events", _respelt)),
    Sabotage("a bit flipped in a copy", "copy differs", _records("certificate.revoked", _flip)),
    Sabotage("a copy left out", "copy missing", _records("certificate.new", _gone)),
    Sabotage("a row of the inventory flipped", "inventory", _records("inventory", _flip)),
    Sabotage("a row of the inventory left out", "inventory", _records("inventory", _gone)),
    Sabotage("a PEM flipped", "pem", _records("pem", _flip)),
    Sabotage("eleven calls in a second", "eleven in a second", _hurry),
    Sabotage("a throttle answer", "throttle", _throttle),
)


def sabotage(case: Case, out: TextIO) -> int:
    """Try every break; returns how many the judge did not find."""
    before = judge(case).kinds()
    print(f"  as it is: {', '.join(sorted(before)) or 'no violation'}", file=out, flush=True)
    missed = 0
    for what, kind, apply in SABOTAGES:
        try:
            kinds = judge(apply(case)).kinds() - before
        except LookupError as error:
            print(f"  – {what}: {error}", file=out, flush=True)
            continue
        missed += kind not in kinds
        sign = "✓" if kind in kinds else "✗ NOT FOUND"
        print(f"  {sign} {what}: {', '.join(sorted(kinds))}", file=out, flush=True)
    return missed
