"""How a round is measured."""

from __future__ import annotations

from tests.chaos.driver import Ended, Happened
from tests.chaos.verdict import _excused, _longest, _recovered
from tests.verify.history import Violation


def ended(*happened: Happened) -> Ended:
    return Ended(settled=80.0, end=100.0, happened=list(happened), partitions=12, problems=[])


def test_the_longest_time_without_progress_is_between_two_commits_before_the_calm() -> None:
    assert _longest([1.0, 2.0, 30.0, 31.0, 79.0, 99.0], until=80.0) == 48.0
    assert _longest([], until=80.0) == 0.0


def test_recovery_is_measured_where_nothing_else_failed_before_the_next_commit() -> None:
    kill, cut = Happened("kill", 10.0, 11.0), Happened("connections cut", 40.0, 42.0)
    assert _recovered([5.0, 24.5, 43.0], ended(kill, cut)) == {"kill": [13.5], "connections cut": [1.0]}
    assert _recovered([5.0, 43.0], ended(kill, cut)) == {"connections cut": [1.0]}
    assert _recovered([5.0], ended(cut)) == {"connections cut": [58.0]}, "never: until the end"


def test_only_a_pause_and_a_wrong_clock_excuse_anything() -> None:
    paused = Violation("health", "accounts@3", '{"account":"prod","state":"paused"}')
    suspect = Violation("health", "accounts@3", '{"account":"prod","state":"suspect"}')
    assert _excused(paused, "kafka", frozenset())
    assert not _excused(suspect, "kafka", frozenset())
    lifecycle = Violation("lifecycle", "new #7 of a", "")
    assert not _excused(lifecycle, "kafka", frozenset())
    assert _excused(lifecycle, "clock", frozenset())
    assert not _excused(lifecycle, "clock", frozenset({"new #7 of a"})), "its event was made in the calm"
    for kind in ("duplicate", "late", "lost version", "missed threshold", "told early"):
        assert not _excused(Violation(kind, "", ""), "clock", frozenset())
