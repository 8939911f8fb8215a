"""From "not seen" to `deleted`: judged as a mass first, then one by one by look-ups (`design`, Sweeps)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from certstream.core.answers import Answer
from certstream.core.changes import observed_between
from certstream.core.draft import Draft
from certstream.core.expiry import lifecycle
from certstream.core.ledger import fact as fact_of
from certstream.core.rows import Head, unpack


def mass_disappearance(draft: Draft, candidates: int, *, empty: bool) -> str | None:
    """Why so many candidates for deletion are not believed; None where they are few enough to be looked up.

    Counted are deletions of the last 24 hours too, less what returned. `empty`: the whole list was empty.
    """
    live = draft.head.live
    if candidates == 0:
        return None
    if empty:
        return f"the list is empty, {live} certificates were known"
    missing, before = candidates + draft.lost(), live + draft.lost()
    if (missing > 10 and missing * 10 > before) or (before >= 4 and missing * 2 >= before):
        return f"{missing} of {before} certificates disappeared within 24 hours"
    return None


def suspect(draft: Draft, reason: str, nominated: int) -> None:
    """Hold back deletions, news and changes, and say so. Does nothing where it was said before."""
    if draft.head.suspect is None:
        draft.head.suspect, draft.head.suspected = reason, draft.now
        draft.tell_account("suspect", reason=reason, count=draft.head.live, nominated=nominated)


def suspicion(head: Head | None) -> int | None:
    """Since when the account is suspect, Unix milliseconds: tells one suspicion from another."""
    return head.suspected if head is not None and head.suspect is not None else None


def release(draft: Draft, *, by: str = "certstream", why: str = "what had disappeared is there again") -> None:
    """Believe the account again."""
    if draft.head.suspect is not None:
        draft.head.suspect = None
        draft.tell_account("released", by=by, why=why)


def confirm(
    draft: Draft, answers: Mapping[str, Answer], *, moved: Collection[str], nominated: int, by: str, why: str
) -> None:
    """An operator says that these, whose look-ups were empty, are gone: release the account, tell their deletion.

    `nominated`: when they were found missing, Unix milliseconds. What any answer has shown since is there again,
    whatever later look-ups say.
    """
    release(draft, by=by, why=why)
    expected(draft, answers, moved=moved, nominated=nominated)


def expected(draft: Draft, answers: Mapping[str, Answer], *, moved: Collection[str], nominated: int) -> None:
    """The rest of what was confirmed, where it is too much for one commit. Tells nothing in a suspect account: that
    is a suspicion of its own, which nobody has confirmed."""
    number = draft.ledger.inventory.number
    missing = {
        one: answer
        for one, answer in answers.items()
        if (row := number(one)) is not None and not nominated < draft.shown(row) <= draft.now
    }
    delete(draft, missing, moved, expected=True)


def undecided(draft: Draft, identifier: str, answer: Answer) -> float | None:
    """An empty look-up is no proof yet: seconds to wait before the next one; None where it may decide."""
    number = draft.ledger.inventory.number(identifier)
    if number is not None and answer.sent_at < draft.shown(number) <= draft.now:
        return 0.0  # a later call has shown it since: it may be there again
    fact = draft.fact(identifier)
    if fact is None:
        return None
    if answer.sent <= fact.received:
        return 0.0
    remaining = (fact.grave or 0.0) + draft.ledger.settings.staleness - answer.sent
    return remaining if fact.grave is not None and remaining > 0 else None


def delete(
    draft: Draft, answers: Mapping[str, Answer], moved: Collection[str], *, expected: bool = False
) -> dict[str, float]:
    """Tell the deletion of each certificate whose look-up was empty, control look-ups having vouched for it.

    `moved`: those found outside the account's resource group. `expected`: by an operator, so that they do not count as
    disappeared. Returns identifiers that are undecided → seconds.
    """
    later: dict[str, float] = {}
    if draft.head.suspect is not None:
        return later
    for identifier, answer in answers.items():
        row = draft.row(identifier)
        if row is None or row.gone:
            continue
        wait = undecided(draft, identifier, answer)
        if wait is not None:
            later[identifier] = wait
            continue
        row = draft.tell(
            "deleted",
            identifier,
            row,
            unpack(row.image),
            lifecycle=lifecycle(row, draft.now),
            reason="moved" if identifier in moved else "gone",
            observed=observed_between(draft, identifier, row, answer),
        )
        gone = msgspec.structs.replace(row, raw=b"", image=b"", at=answer.received_at, asked=answer.sent_at)
        draft.keep(identifier, gone)
        draft.facts[identifier] = fact_of(answer.received, answer.received)
        draft.head.live -= 1
        draft.moves += 1
        if not expected:
            draft.count_lost(1, answer.received_at)
    return later
