"""Ten slots, each given back a second after its answer: at most ten arrivals in any second, on any network.

A call sent at `s` and answered at `r` arrived somewhere in [s, r]. The next call through its slot is sent after
r + 1 s, so it arrives more than a second later. No assumption about the network is needed (`design`, Pacing).
"""

from __future__ import annotations

import heapq

SECOND = 1.001
"""Seconds between an answer and the next call through its slot: one, and a millisecond for the clocks' resolution."""

MOST = 10
"""Calls a second that the service grants a user."""


class Slots:
    """The slots of one budget. All times are seconds of one monotonic clock.

    Whoever takes a slot must give it back, whatever happened to the call: a slot lost is throughput lost for good.
    There are never more than ten; those beyond `qps` are parked, each with the moment from which it is free, so that
    a change of `qps` lets no eleventh call into a second either.
    """

    def __init__(self, qps: int, *, free_at: float = 0.0) -> None:
        if not 1 <= qps <= MOST:
            raise ValueError(f"qps is {qps}; the API allows 1 to {MOST}")
        self.qps = qps
        self._free_at = [free_at] * qps
        self._parked = [free_at] * (MOST - qps)
        self._taken = 0
        self._frozen_until = 0.0

    def take(self, now: float) -> bool:
        """Take a slot if one is free now."""
        if self.next_free() > now:
            return False
        heapq.heappop(self._free_at)
        self._taken += 1
        return True

    def give_back(self, answered: float) -> None:
        """The call is over: answered, or aborted for good, at `answered`."""
        self._taken -= 1
        heapq.heappush(self._free_at, answered + SECOND)
        self._park()

    def resize(self, qps: int) -> None:
        """Another number of calls a second from now on."""
        if not 1 <= qps <= MOST:
            raise ValueError(f"qps is {qps}; the API allows 1 to {MOST}")
        self.qps = qps
        self._park()
        while len(self._free_at) + self._taken < qps:
            heapq.heappush(self._free_at, heapq.heappop(self._parked))

    def _park(self) -> None:
        """What is beyond `qps` rests; a slot that is taken follows when it is given back."""
        while self._free_at and len(self._free_at) + self._taken > self.qps:
            heapq.heappush(self._parked, heapq.heappop(self._free_at))

    def freeze(self, until: float) -> None:
        """Somebody else spends the budget (a throttle answer): no call before `until`."""
        self._frozen_until = max(self._frozen_until, until)

    def next_free(self) -> float:
        """When the next slot can be taken; infinity while all are in use."""
        return max(self._free_at[0], self._frozen_until) if self._free_at else float("inf")

    def idle(self, now: float) -> bool:
        """All slots are back: a successor need not wait."""
        return not self._taken and max([*self._free_at, *self._parked]) <= now


class RoundTrip:
    """The smoothed round trip of a path, seconds (RFC 6298's weight of 1/8)."""

    def __init__(self) -> None:
        self.smoothed = 0.0

    def measured(self, sent: float, received: float) -> None:
        """Take one answered call into account."""
        sample = received - sent
        self.smoothed = sample if self.smoothed == 0.0 else self.smoothed + (sample - self.smoothed) / 8

    def gap(self, qps: int) -> float:
        """Seconds between the starts of two pages of a sweep, so that slots stay out of step."""
        return 0.98 * (SECOND + self.smoothed) / qps
