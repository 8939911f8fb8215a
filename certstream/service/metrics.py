"""The closed list of Prometheus metrics. docs/configuration.md repeats it, and a test compares the two."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

# A second series per counter that nothing reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

STATES = ("healthy", "baseline", "denied", "throttled", "blind", "suspect", "paused")
"""Of an account (`contract`, Topics: accounts)."""

_CALL_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0)
_COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry per service, so that tests and `demo` do not meet in the library's global one."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        self.calls = Counter(
            "certstream_calls",
            "Calls to the API by outcome: ok or the kind of error",
            ("account", "outcome"),
            registry=registry,
        )
        self.call_seconds = Histogram(
            "certstream_call_seconds", "Round trip of a call", ("account",), buckets=_CALL_SECONDS, registry=registry
        )
        self.throttles = Counter(
            "certstream_throttles",
            "Throttle answers: somebody else spends this user's calls",
            ("account",),
            registry=registry,
        )
        self.events = Counter("certstream_events", "Events committed", ("account", "type"), registry=registry)
        self.commits = Counter("certstream_commits", "Commits to the journal that succeeded", registry=registry)
        self.commit_seconds = Histogram(
            "certstream_commit_seconds", "How long a commit took", buckets=_COMMIT_SECONDS, registry=registry
        )
        self.journal_doubts = Counter(
            "certstream_journal_doubts",
            "Commits that failed or whose end nobody knew, and that were read back",
            registry=registry,
        )
        self.quarantined = Counter(
            "certstream_quarantined", "Records that could not be read", ("account",), registry=registry
        )
        self.certificates = Gauge(
            "certstream_certificates", "Certificates in the inventory", ("account",), registry=registry
        )
        self.sweep_pages = Gauge(
            "certstream_sweep_pages", "Pages that the sweep in progress has observed", ("account",), registry=registry
        )
        self.sweep_progress = Gauge(
            "certstream_sweep_progress",
            "Part of the sweep in progress that is done, 0 to 1",
            ("account",),
            registry=registry,
        )
        self.searches = Counter(
            "certstream_searches",
            "Searches for where the list moved, by outcome: found, nothing, bulk or unsteady",
            ("account", "outcome"),
            registry=registry,
        )
        self.order_known = Gauge(
            "certstream_order_known",
            "1 where the order of the list is known and steady; 0: only sweeps find what is new or deleted",
            ("account",),
            registry=registry,
        )
        self.last_complete_sweep = Gauge(
            "certstream_last_complete_sweep_timestamp_seconds",
            "End of the last complete sweep",
            ("account",),
            registry=registry,
        )
        self.account_state = Gauge(
            "certstream_account_state", "1 for the state that an account is in", ("account", "state"), registry=registry
        )
        self.topic_differences = Gauge(
            "certstream_topic_differences",
            "Differences between the cluster's topics and their definition; NaN where it is not known",
            registry=registry,
        )
        self.tasks = Gauge(
            "certstream_tasks", "Tasks of the event loop now: level, unless something leaks", registry=registry
        )
        self.tasks.set_function(_tasks)

    def set_state(self, account: str, state: str) -> None:
        """Say which of STATES an account is in."""
        for one in STATES:
            self.account_state.labels(account, one).set(1 if one == state else 0)

    def forget(self, account: str) -> None:
        """Show no series of an account that is not watched any more."""
        for one in vars(self).values():
            if isinstance(one, Counter | Gauge | Histogram) and "account" in one._labelnames:
                for labels in [found for found in one._metrics if found[0] == account]:
                    one.remove(*labels)


def _tasks() -> int:
    """Counted when it is asked for, in the loop that asks; 0 outside of one."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
