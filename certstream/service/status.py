"""How a service and its accounts are, for `/readyz` and for the commands that ask a running service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from certstream.service.opening import Entry
from certstream.service.working import Working


def status(
    entries: Sequence[Entry],
    running: Mapping[str, Working],
    *,
    step: str,
    journal: str | None,
    refused: Sequence[str],
) -> dict[str, Any]:
    """How the journal and every configured account are, from the start: `check` and `once` ask whose calls this process
    makes, or is about to make. `running`: those at work, by name; `step` keeps the others. `journal`: what ails it;
    `refused`: what of the newest configuration is not in force, and why.
    """
    told: dict[str, Any] = {
        "accounts": {entry.ledger.name: _account(entry, running.get(entry.ledger.name), step) for entry in entries},
        "journal": _state(journal),
        "configuration": {"state": "refused" if refused else "ok", "reasons": list(refused)},
    }
    limiters = [entry.limiter for entry in entries if entry.limiter is not None]
    if limiters:
        told["limiter"] = _state(next(filter(None, (one.away for one in limiters)), None))
    return told


def _account(entry: Entry, running: Working | None, step: str) -> dict[str, Any]:
    """`starting` is not a state of the contract: the topic `accounts` never says it."""
    head = entry.ledger.head
    state, reason = "starting", step if running is None else running.health.starting()
    if running is not None and reason is None:
        now = running.health.look()
        state, reason = now.state, now.reason
    return {
        "state": state,
        "reason": reason,
        "certificates": entry.ledger.live() if head is not None else None,
        "observedthrough": head.observed if head is not None else None,
        "confirmation": running.confirming.told() if running is not None else None,
        "revocations": running.revoked.told() if running is not None else None,
    }


def _state(trouble: str | None) -> dict[str, str]:
    return {"state": "away", "reason": trouble} if trouble else {"state": "ok"}
