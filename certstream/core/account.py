"""What concerns the whole account: its history's beginning, baseline, digest, health, and the expiry tick."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from certstream.core.changes import tell_due
from certstream.core.deletion import release
from certstream.core.draft import Draft
from certstream.core.rows import unpack
from certstream.core.times import rfc3339

DAY = 86_400_000


def tick(draft: Draft, numbers: Sequence[int]) -> int:
    """Tell what has passed for these rows, which the calendar says are due; how many were told."""
    told = 0
    for number in numbers:
        identifier = draft.ledger.inventory.identifier(number)
        row = draft.row(identifier)
        if row is not None and not row.gone:
            told += tell_due(draft, identifier, row, unpack(row.image))
    return told


def swept(draft: Draft, *, through: int | None, decided: bool = True, suspicion: int | None = None) -> None:
    """A sweep was complete. The first one is the baseline.

    `through`: no change older than this is unseen, Unix milliseconds; None: nothing more than before. `decided`:
    nothing that it nominated, or that was doubtful before, is still open. `suspicion`: since when the account was
    suspect as the sweep began. What arose later, it has not answered: the next sweep does.
    """
    draft.head.swept = draft.now
    if through is not None and decided and draft.head.suspect is None:  # what that held back, the next sweep tells
        draft.head.observed = through
    if draft.head.suspected == suspicion:
        release(draft)
    _baselined(draft)


def swept_together(draft: Draft, *, whole: bool, suspicion: int | None) -> None:
    """Sweeps of a list whose order changes lack no more than may have been deleted. None of them was complete, so
    nobody can say that nothing older is unseen.

    `whole`: they have shown everything that is known, and that is as much as `TotalCount` says. `suspicion`: as for
    `swept`, when the first of them began.
    """
    if draft.head.suspected == suspicion:
        release(draft)
    if whole:
        _baselined(draft)


def _baselined(draft: Draft) -> None:
    """The whole list was seen: tell it the first time, and the digest each day."""
    if draft.head.baselined is None:
        draft.head.baselined = draft.now
        draft.tell_account("baselined", count=draft.head.live)
        digest(draft)
    elif draft.now - draft.head.digested >= DAY:
        digest(draft)


def digest(draft: Draft) -> None:
    """Tell the digest of the inventory as it is before this event: anyone rebuilds it with `sort | sha256sum`."""
    lines = sorted(f"{identifier} {row.inventory.hex()}\n".encode() for identifier, row in draft.live())
    total = hashlib.sha256()
    for line in lines:
        total.update(line)
    draft.head.digested = draft.now
    draft.tell_account("digest", digest=total.hexdigest(), count=len(lines))


def health(draft: Draft, *, state: str, since: int, reason: str | None) -> None:
    """Write how the account is to the topic `accounts`."""
    head = draft.head
    value: dict[str, Any] = {
        "account": draft.ledger.name,
        "state": state,
        "since": rfc3339(since),
        "counts": {"certificates": max(head.live, 0)},
        "uid": head.uid,
        "budget": head.budget,
    }
    if reason is not None:
        value["reason"] = reason[:1024]
    if head.observed is not None:
        value["observedthrough"] = rfc3339(head.observed)
    if head.swept is not None:
        value["lastcompletesweep"] = rfc3339(head.swept)
    draft.health({key: item for key, item in value.items() if item is not None})
