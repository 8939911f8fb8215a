"""How the service behaves towards the API and the journal: what no event shows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from tests.simulation.history import NAMES, PARTITIONS
from tests.simulation.loop import EPOCH
from tests.simulation.played import PREFIX, Played
from tests.verify.history import Violation
from tests.verify.wire import partition

OWNED = 5.0
"""Seconds for which a committed transaction, from its begin, lets its process call (design: Pacing)."""
LIMIT = 10
SHOWN = 3


def owned(played: Played) -> Iterator[Violation]:
    """A process calls only while its last proof of ownership, a commit, began at most five seconds ago."""
    blamed = 0
    for process, at in played.upstream.sendings:
        proofs = played.cluster.proofs.get(process, []) if process is not None else []
        place = bisect_right(proofs, at)
        last = proofs[place - 1] if place else float("-inf")
        if at - last > OWNED + 1e-6 and process is not None and blamed < SHOWN:
            blamed += 1
            yield Violation("not owned", process.name, f"a call at {at:.3f}, {at - last:.3f} s after its last proof")


def paced(played: Played) -> Iterator[Violation]:
    """Never eleven in a second over all accounts of the user; and one partition, that of their budget."""
    arrivals = sorted(call.arrival_mono for calls in played.upstream.calls.values() for call in calls)
    for first, last in zip(arrivals, arrivals[LIMIT:], strict=False):
        if last - first < 1.0:
            yield Violation("eleven in a second", f"arrivals from {first:.6f}", f"11 within {last - first:.6f} s")
            break
    used = {record.partition for record in played.broker.records(PREFIX)}
    expected = partition(NAMES[0].encode(), PARTITIONS)
    if used - {expected}:
        yield Violation("partition", "all topics", f"records in partitions {sorted(used)}, not in {expected} alone")


def released(played: Played) -> Iterator[Violation]:
    """A release lets the successor call at once: it is written when every slot is back, a second after its call."""
    for process, at in played.cluster.releases.items():
        last = max((sent.at for sent in played.upstream.sendings if sent.process is process), default=float("-inf"))
        if at - last < 1.0:
            yield Violation("released early", process.name, f"at {at:.3f}, its last call was sent at {last:.3f}")


def refused(played: Played) -> Iterator[Violation]:
    """Whoever starts while `state` holds what cannot be ours does not work with it."""
    for since, until in played.torn:
        started = {process for process, began in played.runs if since < began < until}
        calls = [sent for sent in played.upstream.sendings if sent.process in started and sent.at < until]
        if calls:
            yield Violation("torn state", "calls", f"{len(calls)} by a process that had read a torn state")


def asked_again(played: Played) -> Iterator[Violation]:
    """A process that was told that it may not read the list of the revoked does not ask for it again."""
    for (process, account), times in played.upstream.forbidden.items():
        if times > 1 and process is not None:
            yield Violation("asked again", process.name, f"{account} was forbidden {times} times")


def progress(played: Played, longest: float) -> Iterator[Violation]:
    """Where nothing goes wrong, calls are made as fast as the bound allows, and changes are told within two sweeps.

    `longest`: seconds that the latest change took to be told.
    """
    plan = played.plan
    gap = (1.001 + plan.latency) / plan.qps
    populations = played.upstream.populations.values()
    size = min(plan.page_size, plan.largest)
    rows = [max(plan.certificates, len(one.present)) + plan.sick for one in populations]
    pages = sum(max(1, -(-(count + 10) // size)) for count in rows)
    start = played.settled - EPOCH
    if plan.whole and plan.sweep_every == 0 and played.end - EPOCH > start + 60:
        now = sum(max(1, -(-(len(one.present) + plan.sick) // size)) for one in populations)
        # A sweep begins with one page alone, and ends with the last one's commit: these gaps are not filled.
        commit = 0.02 + 2 * plan.broker_latency
        pause = 2 * max(0.0, 1.1 * plan.latency + 2 * commit - gap)
        allowed = 60 * now / (now * gap + pause)
        made = sum(
            start <= call.arrival_mono < start + 60 for calls in played.upstream.calls.values() for call in calls
        )
        if made < 0.9 * allowed:
            yield Violation("slow", "calls", f"{made} in a quiet minute, {allowed:.0f} are allowed")
    if not plan.faults and longest:
        sweep = pages * 1.1 * gap + 3 * plan.latency + plan.sweep_every
        bound = 3 * sweep + 2 * plan.staleness + 4
        if longest > bound:
            yield Violation(
                "slow", "events", f"one was told after {longest:.1f} s, {bound:.1f} allow two sweeps and a spoilt one"
            )
