"""Which settings of a topic may be mended: a table of what is there and what is wanted."""

from __future__ import annotations

import pytest

from certstream.journal.topics_mended import mending

EVER, WEEK, YEAR = "-1", "604800000", "34560000000"
LOG = {"cleanup.policy": "delete", "retention.ms": EVER, "retention.bytes": EVER}
KIND = {"cleanup.policy": "delete", "retention.ms": YEAR, "retention.bytes": EVER}
STATE = {"cleanup.policy": "compact"}


@pytest.mark.parametrize(
    ("wanted", "policy", "kept", "size", "may"),
    [
        pytest.param(STATE, "delete", WEEK, EVER, True, id="deleted by age: the newest of a key is lost"),
        pytest.param(STATE, "delete", EVER, "1000", True, id="deleted by size: the newest of a key is lost"),
        pytest.param(STATE, "delete", EVER, EVER, False, id="kept for ever: older ones of a key would be removed"),
        pytest.param(STATE, "compact,delete", WEEK, EVER, True, id="only the deletion by age ends"),
        pytest.param(LOG, "compact", WEEK, EVER, True, id="kept for ever afterwards, too"),
        pytest.param(LOG, "compact,delete", WEEK, EVER, True, id="only the removal of older ones of a key ends"),
        pytest.param(KIND, "compact", WEEK, EVER, False, id="what is older than a year would be deleted"),
        pytest.param(KIND, "compact", EVER, EVER, True, id="its longer retention stays, so nothing is deleted"),
        pytest.param(KIND, "compact,delete", WEEK, EVER, True, id="it was deleted by age before"),
    ],
)
def test_a_policy_is_mended_where_nothing_that_is_kept_for_ever_goes(
    wanted: dict[str, str], policy: str, kept: str, size: str, may: bool
) -> None:
    found = {"cleanup.policy": policy, "retention.ms": kept, "retention.bytes": size}
    allowed, why = mending("cleanup.policy", wanted, found)
    assert allowed is may
    assert may or (why is not None and why.startswith("left alone, because"))


@pytest.mark.parametrize(
    ("kept", "may"), [(EVER, False), (YEAR + "0", False), (WEEK, True)], ids=["for ever", "for longer", "for less"]
)
def test_nothing_is_kept_for_less(kept: str, may: bool) -> None:
    assert mending("retention.ms", KIND, {"cleanup.policy": "delete", "retention.ms": kept})[0] is may


def test_what_a_broker_does_not_tell_is_tried() -> None:
    assert mending("cleanup.policy", STATE, {}) == (True, None)
