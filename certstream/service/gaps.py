"""What the sweeps of an account could not see, for people: told when it begins, and shown for as long as it lasts."""

from __future__ import annotations

import logging
from typing import NamedTuple

from certstream.core.sweep import Verdict
from certstream.core.times import rfc3339
from certstream.service.clock import Clock

log = logging.getLogger("certstream")

LONG = 600.0
"""Seconds without a complete sweep, and three times what one takes, that are not a passing trouble any more."""


class _Failing(NamedTuple):
    since: int
    cause: str


class Gaps:
    """Of one account. The texts hold no growing numbers: each change of them is a record in `accounts`."""

    def __init__(self, account: str, clock: Clock) -> None:
        self._account, self._clock = account, clock
        self._failing: dict[int, _Failing] = {}
        self._failed: set[int] = set()
        """pages of the present sweep"""
        self._why: str | None = None
        self._complete, self._complete_at = clock.monotonic(), clock.wall()
        self._lasting = False

    @property
    def note(self) -> str | None:
        """What is odd about the sweeps, None where nothing is."""
        why = self._page() or self._why
        if why is not None and self._lasting:
            return f"no sweep has been complete since {rfc3339(self._complete_at)}: {why}"
        return why

    @property
    def blind(self) -> bool:
        """For long there was no complete sweep because a page cannot be read: what is on it is not seen."""
        return self._lasting and bool(self._failing)

    def failed(self, page: int, error: Exception) -> None:
        """A page could not be had, or not be read, after all tries."""
        level = logging.DEBUG if page in self._failing else logging.WARNING
        log.log(level, "page.failed", extra={"account": self._account, "page": page, "reason": str(error)})
        self._failing.setdefault(page, _Failing(self._clock.wall(), str(error)))
        self._failed.add(page)

    def read(self, page: int) -> None:
        """It was read."""
        self._failing.pop(page, None)
        self._failed.discard(page)

    def ended(self, verdict: Verdict, *, seconds: float) -> None:
        """A sweep ended that took so long."""
        self._failing = {page: self._failing[page] for page in self._failed}  # the list may be shorter now
        self._failed.clear()
        self._why = self._page() or verdict.why
        now = self._clock.monotonic()
        if verdict.complete:
            self._complete, self._complete_at, self._lasting = now, self._clock.wall(), False
        elif not self._lasting and now - self._complete > max(LONG, 3 * seconds):
            self._lasting = True
            log.error("sweep.stuck", extra={"account": self._account, "reason": self.note})

    def _page(self) -> str | None:
        if not self._failing:
            return None
        page, failing = min(self._failing.items(), key=lambda item: (item[1].since, item[0]))
        which = f"page {page} of the sweep" + (" and others" if len(self._failing) > 1 else "")
        return f"{which} cannot be read since {rfc3339(failing.since)}: {failing.cause}"
