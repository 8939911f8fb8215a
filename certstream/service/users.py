"""Whose calls an account spends: nobody else on this host may, no user has two budgets, and who is unknown waits."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from certstream.ports import Claim
from certstream.service.budget import Budget

if TYPE_CHECKING:
    from certstream.service.opening import Entry

log = logging.getLogger("certstream")

UNKNOWN = (
    "STS has not said whose key it is, and it could be the user of {others}, which have another budget: no calls until "
    "it has (or write the key uid)"
)


async def begin(entries: Iterable[Entry]) -> None:
    """Before anything is opened: make sure that no other process on this host makes these users' calls. Raises Held."""
    found = await asyncio.gather(
        *(entry.claim.begin() for entry in entries if entry.claim is not None), return_exceptions=True
    )
    for error in filter(None, found):
        raise error


def claim(entries: Iterable[Entry]) -> None:
    """The same once STS was asked. Later nobody else is disturbed: the account alone is `denied`. Raises Held."""
    for entry in entries:
        if entry.claim is not None:
            entry.claim.left()


def leave(claim: Claim | None, entries: Iterable[Entry], free_at: float) -> None:
    """Other processes on this host may make the calls of a user whom none of `entries` is any more. `free_at`:
    boot-time seconds from which no call of before counts."""
    if claim is not None:
        claim.leave({name for entry in entries if entry.claim is not None for name in entry.claim.names}, free_at)


def settle(entries: Sequence[Entry]) -> None:
    """What is known of the users by now, their histories' word included, counts from the next call on."""
    for entry in entries:
        if (uid := known(entry)) is not None:
            if entry.claim is not None:
                entry.claim.user(uid)
            if entry.limiter is not None:
                entry.limiter.user(uid)
    _let_unknown_wait(entry for entry in entries if entry.limiter is None)  # a limiter waits for the user by itself


def known(entry: Entry) -> str | None:
    """The UID: by the configuration or STS, else by the history."""
    return entry.uid or (entry.ledger.head.uid if entry.ledger.head is not None else None)


def _let_unknown_wait(entries: Iterable[Entry]) -> None:
    """An account whose STS did not answer may be the user of any other budget of its world: two budgets of one user
    would be twenty calls a second. Where STS is not asked at all, different keys are taken for different users."""
    entries = list(entries)
    accounts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        if entry.claim is not None:
            accounts[entry.claim.world][entry.ledger.settings.budget].append(entry.ledger.name)
    for entry in entries:
        if entry.claim is not None:
            budgets = accounts[entry.claim.world]
            others = [name for budget in budgets if budget != entry.ledger.settings.budget for name in budgets[budget]]
            unknown = entry.unanswered and known(entry) is None
            entry.claim.waits = UNKNOWN.format(others=", ".join(others)) if others and unknown else None


def hold(entries: Iterable[Entry], budgets: Mapping[str, Budget]) -> None:
    """Where a process that made these users' calls was killed, its last ones may still count. Raises Held."""
    for entry in entries:
        if entry.claim is not None:
            budget, left = budgets[entry.ledger.settings.budget], entry.claim.left()
            if left > max(budget.held(), 0):
                log.info("take-over", extra={"budget": entry.ledger.settings.budget, "seconds": left})
                budget.hold(left)
