"""The promise to the API: at most ten arrivals in any second, and no throttle answer."""

from __future__ import annotations

from tests.verify.history import Case, Findings

LIMIT = 10
NOT_COUNTED = "GetCallerIdentity"
"""STS has a budget of its own."""


def check_pace(case: Case, findings: Findings) -> None:
    """All calls of the user to the certificate service count, answered or not."""
    calls = [call for call in case.calls if call.action != NOT_COUNTED]
    findings.count("calls", len(calls))
    arrivals = sorted(call.arrival_mono for call in calls)
    for first, last in zip(arrivals, arrivals[LIMIT:], strict=False):
        if last - first < 1.0:
            findings.blame(
                "eleven in a second", f"arrivals from {first:.6f}", f"{LIMIT + 1} within {last - first:.6f} s"
            )
    for call in calls:
        if (call.code or "").split(".")[0] == "Throttling":
            findings.blame("throttle", f"call {call.number}", str(call.code))
