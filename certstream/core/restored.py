"""Taking in what was restored, and refusing what no history of ours can have left."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from certstream.core.errors import Fatal
from certstream.core.inventory import STEP
from certstream.core.ledger import RECENT, Ledger


def check(ledger: Ledger, *, now: float, wall: int) -> Iterator[None]:
    """Look into every row once, in steps: it is done when the iterator ends. Times as for `Ledger.catch_up`.

    Raises Fatal for a memory that is torn, or put together from two; for one that is half forgotten; and for a row that
    was not written by certstream, or by a newer one.
    """
    head, inventory = ledger.head, ledger.inventory
    if head is not None and head.forgotten:
        raise Fatal(f"account {ledger.name} is half forgotten: end it with `certstream forget {ledger.name}`")
    if head is not None and ledger.cut and not head.succeeds:
        ledger.refuse_tombstone()
    newest = live = 0
    lineages: set[int] = set()
    ledger.shown = array("Q", bytes(8 * len(inventory)))
    for first in range(0, len(inventory), STEP):
        rows = inventory.rows(first, first + STEP)
        ledger.deadlines.extend(rows)
        there = [(row.subject, number) for number, row in enumerate(rows, first) if row.image]  # it is not gone
        ledger.subjects.fill(there)
        live += len(there)
        newest = max(newest, max([row.sequence for row in rows]))
        lineages.update([row.lineage for row in rows])
        if wall - max([row.at for row in rows]) < RECENT * 1000:
            for number, row in enumerate(rows, first):
                ledger.recall(inventory.identifier(number), row, now, wall)
        yield
    yield from ledger.subjects.settle()
    _compare(ledger, newest, live, lineages)


def _compare(ledger: Ledger, newest: int, live: int, lineages: set[int]) -> None:
    """Its rows with its head. Raises Fatal."""
    head = ledger.head
    known, counted = (head.sequence, head.live) if head is not None else (0, 0)
    if newest > known:
        ends = f"ends at {known}" if head is not None else "is missing"
        what = f"is torn: account {ledger.name} has a row of event {newest}, its head {ends}"
    elif head is not None and lineages - {head.mark}:
        what = f"is of two histories: account {ledger.name} is {head.lineage}, some of its rows are of another"
    elif live != counted:
        what = f"is torn: account {ledger.name} has {live} certificates, its head counts {counted}"
    else:
        return
    raise Fatal(
        f"the topic `state` {what}. Put back what was lost (is the topic compacted, never deleted from?) or give the "
        f"account a new name"
    )
