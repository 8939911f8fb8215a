"""The judge finds each way to tell the truth wrongly, and only that, in a history that is otherwise right."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from tests.verify.forge import START, Forge, drop, found, sample
from tests.verify.judge import Report, judge
from tests.verify.normal import instant


def words(report: Report) -> str:
    return "\n".join(f"{kind}: {where}: {what}" for kind, where, what in report.violations)


def test_a_right_history_is_clean() -> None:
    report = judge(sample().case())
    assert not report.violations, words(report)
    assert (
        report.counts["demanded changes"] == 5
    )  # c, a changed, b revoked, d, a deleted; before, a and b stood 21 and 26 s
    assert report.counts["demanded thresholds"] == 2
    assert report.counts["demanded expiries"] == 1
    assert report.passed_over == {"initial: replaced within 60 s": 2}


@pytest.mark.parametrize(
    ("kind", "subject", "expected"),
    [
        ("changed", "a", {"lost version", "untold"}),  # the deletion shows it
        ("revoked", "b", {"lost version"}),
        ("new", "d", {"lost version"}),
        ("deleted", "a", {"lost deletion"}),
        ("expiring", "c", {"missed threshold"}),
        ("expired", "c", {"missed expired"}),
    ],
)
def test_what_had_to_be_told_and_was_not(kind: str, subject: str, expected: set[str]) -> None:
    assert found(drop(sample(), kind, subject)) == expected


def test_a_version_that_stood_for_less_than_a_minute_is_not_demanded() -> None:
    made = sample()
    made.truth(200, "edit", "d", AliasName="x")
    made.truth(259, "edit", "d", AliasName="a")
    report = judge(made.case())
    assert not report.violations, words(report)
    assert report.passed_over["edit: replaced within 60 s"] == 1
    assert report.passed_over["edit: too near the end"] == 1


def test_a_version_that_stood_through_a_restart_only_is_not_demanded() -> None:
    made = sample(runs=[(0.0, 150.0), (152.0, 210.0), (213.0, 300.0)])
    made.truth(140, "edit", "d", AliasName="x")
    made.truth(211, "edit", "d", AliasName="a")
    report = judge(made.case())
    assert not report.violations, words(report)
    assert report.passed_over["edit: a restart within 60 s"] == 1


def test_a_version_told_too_late_is_late() -> None:
    made = drop(sample(), "new", "d")
    made.tell(95, "new", "d", observed={"before": instant(round((START + 30) * 1000))})
    assert found(made) == {"late"}


def test_a_deletion_told_too_late_is_late() -> None:
    made = drop(sample(), "deleted", "a")
    made.tell(
        160,
        "deleted",
        "a",
        observed={"after": instant(int(START + 60) * 1000), "before": instant(int(START + 101) * 1000)},
    )
    assert found(made) == {"late"}


def test_one_entry_told_twice() -> None:
    made = sample()
    made.tell(130, "changed", "b", changes={"status": {"from": "ISSUE", "to": "REVOKE"}})
    assert found(made) == {"duplicate"}
    made = sample()
    made.tell(130, "new", "d")
    assert found(made) == {"duplicate"}
    made = sample()
    made.call(129, identifier="a")
    made.tell(130, "deleted", "a")
    assert found(made) == {"duplicate"}
    made = sample()
    made.tell(130, "expired", "c")
    assert found(made) == {"duplicate"}
    made = sample()
    made.tell(101, "expiring", "c", threshold="20s")
    assert "duplicate" in found(made)


def test_a_version_that_no_answer_showed() -> None:
    made = sample()
    made.truth(200, "edit", "d", AliasName="x")
    made.truth(203, "edit", "d", AliasName="y")
    made.call(205)
    made.tell(206, "changed", "d", 2, changes={"aliasName": {"from": "a", "to": "x"}})
    made.tell(206, "changed", "d", 3, changes={"aliasName": {"from": "x", "to": "y"}})
    assert found(made) == {"never shown"}


def test_an_answer_cut_short_shows_nothing() -> None:
    made = sample()
    made.truth(200, "edit", "d", AliasName="x")
    made.call(201, delivered=False)
    made.tell(202, "changed", "d", changes={"aliasName": {"from": "a", "to": "x"}})
    assert found(made) == {"never shown"}


def test_a_certificate_that_never_was_so() -> None:
    made = sample()
    made.bodies[7]["data"]["certificate"]["organization"] = "Evil"
    assert "invented" in found(made)


def test_a_false_deletion() -> None:
    made = sample()
    made.call(149, identifier="d", rows=())
    made.tell(150, "deleted", "d")
    # What follows from it: the certificate stands and is absent from the published state.
    assert found(made) == {"false deletion"}


def test_a_deletion_that_no_look_up_had_shown() -> None:
    made = sample()
    made.calls = [call for call in made.calls if call.identifier is None]
    assert found(made) == {"never shown"}
    made = sample()
    made.calls = [replace(call, delivered=call.identifier is None) for call in made.calls]
    assert found(made) == {"never shown"}


def test_eleven_arrivals_in_a_second() -> None:
    made = sample()
    for number in range(11):
        made.call(200 + number * 0.0999)
    assert found(made) == {"eleven in a second"}
    made = sample()
    for number in range(11):
        made.call(200 + number * 0.1001)
    assert found(made) == set()


def test_a_throttle_answer() -> None:
    made = sample()
    made.call(200, delivered=False, status=400, code="Throttling.User")
    assert found(made) == {"throttle"}


def test_a_certificate_first_seen_revoked_is_new_then_revoked() -> None:
    made = sample()
    made.truth(200, "issue", "e", Status="REVOKE")
    made.call(202)
    made.tell(202.1, "new", "e")
    assert found(made) == {"lost version"}
    made.tell(202.1, "revoked", "e", changes={"status": {"to": "REVOKE"}})
    assert found(made) == set()
    made.tell(202.1, "revoked", "e", changes={"status": {"to": "REVOKE"}})
    assert found(made) == {"duplicate"}


def test_discovered_after_the_baseline_and_new_before_it() -> None:
    made = sample()
    for body in made.bodies:
        if body["subject"] == "d":
            body["type"] = "certstream.certificate.discovered.v1"
            body["dataschema"] = "urn:certstream:schema:certificate.discovered:1#/$defs/data"
    assert found(made) == {"wrong kind"}


def test_a_field_that_appears_is_no_change_but_later_events_show_it() -> None:
    made = sample()
    made.truth(150, "edit", "d", CustomIdentifier="mine")
    made.call(151)
    assert found(made) == set()
    made.truth(200, "edit", "d", AliasName="z")
    made.call(202)
    made.tell(202.1, "changed", "d", changes={"aliasName": {"from": "a", "to": "z"}})
    assert found(made) == set()
    made.bodies[-1]["data"]["changes"]["customIdentifier"] = {"from": None, "to": "mine"}
    assert found(made) == {"changes"}


def test_a_change_outside_its_interval() -> None:
    made = sample()
    made.bodies[5]["data"]["observed"] = {
        "after": instant(int(START + 28) * 1000),
        "before": instant(int(START + 30) * 1000),
    }
    assert found(made) == {"observed"}


def renewal(**data: Any) -> Forge:
    made = sample(thresholds=("60s", "20s", "80%"))
    made.bodies = [body for body in made.bodies if not body["type"].endswith("expiring.v1")]
    same = {"SubjectDN": "CN=c", "Sans": '[{"Type":2,"Value":"c.example.com"},{"Type":1,"Value":"x@y"}]'}
    made.truth(50, "renew", "e", BeforeDate=int(START + 50) * 1000, AfterDate=int(START + 5000) * 1000, **same)
    made.call(51)
    made.tell(51.1, "new", "e", **data)
    return made


def test_a_renewal_names_what_it_replaces() -> None:
    assert "replaces" not in found(renewal(replaces="c"))
    assert "replaces" in found(renewal())
    assert "replaces" in found(renewal(replaces="b"))


def test_nothing_of_the_product_is_imported() -> None:
    loads = "import sys, tests.verify.__main__, tests.real.kafka"
    code = f"{loads}; sys.exit(any(name.split('.')[0] == 'certstream' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
