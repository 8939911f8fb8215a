"""Answers as bad as the network, a proxy or the service can make them: a clear error or a quarantined record, never a
crash, a hang, a false deletion or an empty inventory."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from certstream.simulator import Simulator, SimulatorConfig
from certstream.simulator.server import Intercept
from tests.service import lies
from tests.service.lies import Rows
from tests.service.together import together, together_for
from tests.service.world import World, living


def whole(world: World) -> None:
    """Nothing was invented and nothing lost."""
    assert not world.told("certificate.deleted")
    assert not world.told("certificate.new")
    assert not world.told("account.suspect")


# --- Whole answers that cannot be read -------------------------------------------------------------------------------


def _truncated(simulator: Simulator) -> Intercept:
    def intercept(params: dict[str, str]) -> web.Response:
        content = lies.page(params, lies.rows(simulator)).body
        assert isinstance(content, bytes)
        return lies.body(content[: len(content) // 2])

    return intercept


def _fixed(content: bytes, **kind: Any) -> Callable[[Simulator], Intercept]:
    return lambda simulator: lambda params: lies.body(content, **kind)


UNREADABLE: dict[str, Callable[[Simulator], Intercept]] = {
    "malformed JSON": _fixed(b'{"CertificateList": [}, "TotalCount": 0}'),
    "HTML": _fixed(b"<html><h1>We will be back</h1></html>", kind="text/html"),
    "nothing": _fixed(b""),
    "cut in the middle": _truncated,
    "not UTF-8": _fixed(b"\xff\xfe{\x00"),
    "an array": _fixed(b"[]"),
    "null": _fixed(b"null"),
    "no list": _fixed(b'{"TotalCount": 0, "CurrentPage": 1, "ShowSize": 5}'),
    "a list that is null": _fixed(b'{"CertificateList": null, "TotalCount": 0, "CurrentPage": 1, "ShowSize": 5}'),
    "a list that is an object": _fixed(b'{"CertificateList": {}, "TotalCount": 0, "CurrentPage": 1}'),
    "a list that is text": _fixed(b'{"CertificateList": "", "TotalCount": 0, "CurrentPage": 1}'),
    "the answer for another page": lambda simulator: lies.lying(simulator, lambda rows: rows, CurrentPage=99),
    "endless nesting": _fixed(b"[" * 200_000),
    "a redirect": _fixed(b"", status=302),
    "an error with status 200": _fixed(b'{"Code": "InternalError", "Message": "m", "RequestId": "r"}'),
    "an unknown error": _fixed(b'{"Code": "Weather.Bad", "Message": "m", "RequestId": "r"}', status=418),
}


@together_for(UNREADABLE)
async def test_an_answer_that_cannot_be_read_changes_nothing(
    directory: Path, make: Callable[[Simulator], Intercept]
) -> None:
    async with living(directory) as world:
        world.simulator.intercept = make(world.simulator)
        await world.says("sweep.incomplete")
        failed = await world.says("page.failed")
        assert len(str(getattr(failed, "reason", ""))) > 20
        whole(world)
        world.simulator.intercept = None
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        await world.sweeps()
        assert not world.told("certificate.deleted")


@together
async def test_garbage_from_the_beginning_gives_no_baseline_and_heals(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        world.simulator.intercept = lambda params: lies.body(b"<html>", kind="text/html")
        await world.start(baselined=False)
        await world.says("sweep.incomplete")
        assert world.events == []
        world.simulator.intercept = None
        assert (await world.event("account.baselined"))["data"]["count"] == 7


# --- Records ---------------------------------------------------------------------------------------------------------


def _with(name: str, value: bytes) -> Callable[[bytes], bytes]:
    """The record with this member's value as raw bytes in addition."""
    return lambda record: record[:-1] + b',"' + name.encode() + b'":' + value + b"}"


def _field(**fields: Any) -> Callable[[bytes], bytes]:
    return lambda record: lies.edited(record, **fields)


@dataclass(frozen=True)
class Sick:
    """A record that cannot be read, and whether its identifier can."""

    make: Callable[[bytes], bytes]
    named: bool = True


SICK: dict[str, Sick] = {
    "NaN": Sick(_with("Days2", b"NaN")),
    "a raw control character": Sick(_with("Note", b'"a\x01b\nc"')),
    "nested deeply": Sick(_with("Note", b"[" * 50_000 + b"]" * 50_000)),
    "nested as deeply as a reader may follow": Sick(_with("Note", b'{"a":' * 900 + b"1" + b"}" * 900)),
    "a lone surrogate": Sick(_with("Note", rb'"\ud800"')),
    "a doubled key": Sick(_with("Status", b'"ISSUE"')),
    "not UTF-8": Sick(_with("Note", b'"\xff"')),
    "KeySize as text": Sick(_field(KeySize="2048")),
    "Status as a number": Sick(_field(Status=1)),
    "AfterDate as text": Sick(_field(AfterDate="2030-01-01")),
    "AfterDate beyond the year 9999": Sick(_field(AfterDate=10**17)),
    "AfterDate as true": Sick(_field(AfterDate=True)),
    "Sans as a list": Sick(_field(Sans=[{"Type": 2, "Value": "a"}])),
    "Sans that are no JSON": Sick(_field(Sans="[{")),
    "Sans with a null": Sick(_field(Sans="[null]")),
    "no identifier": Sick(_field(Identifier=None), named=False),
    "an identifier with a slash": Sick(_field(Identifier="a/b"), named=False),
    "an identifier with a space": Sick(_field(Identifier="a b"), named=False),
    "an identifier of 129 characters": Sick(_field(Identifier="x" * 129), named=False),
    "an identifier that is empty": Sick(_field(Identifier=""), named=False),
    "an identifier beyond ASCII": Sick(_field(Identifier="证书"), named=False),
    "an identifier with a line break": Sick(_field(Identifier="a\nb"), named=False),
    "an identifier that is a number": Sick(_field(Identifier=7), named=False),
    "null": Sick(lambda record: b"null", named=False),
    "a number": Sick(lambda record: b"5", named=False),
    "text": Sick(lambda record: b'"record"', named=False),
    "an empty object": Sick(lambda record: b"{}", named=False),
}


@together_for(SICK)
async def test_a_sick_record_is_quarantined_once_and_the_rest_goes_on(directory: Path, sick: Sick) -> None:
    async with living(directory) as world:
        issued = world.simulator.issue()

        def spoil(rows: Rows) -> Rows:
            return [(one, sick.make(record) if one == issued else record) for one, record in rows]

        world.simulator.intercept = lies.lying(world.simulator, spoil)
        await world.until("it is quarantined", world.quarantined)
        healthy = world.simulator.issue()
        await world.event("certificate.new", healthy)
        await world.sweeps()
        (kept,) = world.quarantined()
        spoilt = dict(spoil(lies.rows(world.simulator)))[issued]
        assert base64.b64decode(kept["bytes"]) == spoilt
        assert kept.get("identifier") == (issued if sick.named else None)
        assert len(kept["reason"]) > 10
        # Also not again after a restart; and when it can be read it is as new as ever.
        await world.kill()
        complete = len(world.said("sweep.complete"))
        await world.start(baselined=False)
        await world.until("a sweep after the restart", lambda: len(world.said("sweep.complete")) > complete)
        assert len(world.quarantined()) == 1
        assert not world.told("certificate.new", issued)
        world.simulator.intercept = None
        await world.event("certificate.new", issued)
        assert not world.told("certificate.deleted")
        assert not world.told("account.suspect")


@together
async def test_a_known_certificate_that_becomes_unreadable_counts_as_seen(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        known = world.simulator.identifiers()[3]

        def spoil(rows: Rows) -> Rows:
            return [(one, record[:-1] + b',"X":NaN}' if one == known else record) for one, record in rows]

        world.simulator.intercept = lies.lying(world.simulator, spoil)
        await world.until("it is quarantined", world.quarantined)
        await world.sweeps(3)
        assert not world.look_ups(known)
        whole(world)


@together
async def test_when_all_records_are_sick_nothing_is_deleted(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        world.simulator.intercept = lies.lying(
            world.simulator, lambda rows: [(one, b'{"Identifier":7}' + b" " * n) for n, (one, _) in enumerate(rows)]
        )
        await world.event("account.suspect")
        assert not world.told("certificate.deleted")


# --- Records that are strange, and can be read -----------------------------------------------------------------------


@dataclass(frozen=True)
class Strange:
    """Fields of a new certificate, and what its event must say."""

    fields: dict[str, Any]
    holds: Callable[[dict[str, Any]], bool]


STRANGE: dict[str, Strange] = {
    "a trailing comma in Sans": Strange(
        {"Sans": '[ {"Type": 2, "Value": "b.example.com"}, {"Type": 2, "Value": "a.example.com"}, ]'},
        lambda data: [one["value"] for one in data["certificate"]["sans"]] == ["a.example.com", "b.example.com"],
    ),
    "names repeated and of unknown type": Strange(
        {"Sans": '[{"Type":99,"Value":"x"},{"Type":2,"Value":"a"},{"Type":2,"Value":"a"}]'},
        lambda data: data["certificate"]["sans"] == [{"type": "dns", "value": "a"}, {"type": "other:99", "value": "x"}],
    ),
    "names of 64 KB": Strange(
        {"CommonName": "n" * 65536, "SubjectDN": "CN=" + "n" * 65536, "AliasName": "证" * 20000},
        lambda data: len(data["certificate"]["commonName"]) == 65536,
    ),
    "5,000 SANs": Strange(
        {"Sans": json.dumps([{"Type": 2, "Value": f"host-{n}.example.com"} for n in range(5000)])},
        lambda data: len(data["certificate"]["sans"]) == 5000,
    ),
    "SANs of 2 MB": Strange(
        {"Sans": json.dumps([{"Type": 2, "Value": f"{n}-{'x' * 60}.example.com"} for n in range(20000)])},
        lambda data: data["omitted"] == ["pem", "sans"] and "sans" not in data["certificate"],
    ),
    "an extra field of 1 MB": Strange(
        {"Blob": "x" * 1_000_000},
        lambda data: data["omitted"] == ["extra", "pem", "sans"] and "extra" not in data["certificate"],
    ),
    "an unknown status": Strange(
        {"Status": "ON_HOLD"},
        lambda data: data["certificate"]["status"] == "ON_HOLD" and data["lifecycle"] == "valid",
    ),
    "SM2": Strange(
        {"Algorithm": "SM2", "KeySize": 256, "SignAlgorithm": "SM2WITHSM3", "X509Certificate": "not a PEM at all"},
        lambda data: (
            data["certificate"]["algorithm"] == "SM2" and [one["what"] for one in data["findings"]] == ["unparsable"]
        ),
    ),
    "nulls": Strange(
        {"Status": None, "Sans": None, "AfterDate": None, "X509Certificate": None, "CommonName": None},
        lambda data: not {"status", "sans", "notAfter", "commonName"} & data["certificate"].keys(),
    ),
    "numbers that JSON readers round": Strange(
        {"Id": 2**60, "Weight": 1.5, "Depth": {"n": 10**30}},
        lambda data: (
            data["certificate"]["id"] == str(2**60)
            and data["certificate"]["extra"] == {"Weight": "1.5", "Depth": {"n": "1" + "0" * 30}}
        ),
    ),
    "keys beyond ASCII": Strange(
        {"证书": {"é": 1, "€": 2, "😀": 3}},
        lambda data: data["certificate"]["extra"]["证书"] == {"é": 1, "€": 2, "😀": 3},
    ),
    "markup, escapes and a null character": Strange(
        {"CommonName": "<script>alert(1)</script>\u001b[31m\u0000\u202e"},
        lambda data: data["certificate"]["commonName"].endswith("\u001b[31m\u0000\u202e"),
    ),
    "dates before the epoch": Strange(
        {"BeforeDate": -62_135_596_800_000, "AfterDate": 253_402_300_799_999},
        lambda data: (
            data["certificate"]["notBefore"] == "0001-01-01T00:00:00.000Z"
            and data["certificate"]["notAfter"] == "9999-12-31T23:59:59.999Z"
        ),
    ),
}


@together_for(STRANGE)
async def test_a_strange_record_is_told_as_it_is(directory: Path, strange: Strange) -> None:
    async with living(directory) as world:
        issued = world.simulator.issue(days=365)
        nulls = {name: None for name, value in strange.fields.items() if value is None}
        given = {name: value for name, value in strange.fields.items() if value is not None}

        def change(rows: Rows) -> Rows:
            return [(one, lies.edited(record, **given, **nulls) if one == issued else record) for one, record in rows]

        world.simulator.intercept = lies.lying(world.simulator, change)
        told = await world.event("certificate.new", issued)
        assert strange.holds(told["data"]), {k: str(v)[:300] for k, v in told["data"].items()}
        await world.sweeps()
        assert not world.quarantined()
        assert len([one for one in world.events if one["subject"] == issued and "expir" not in one["type"]]) == 1
        await world.stop()
        await world.start(baselined=False)
        await world.sweeps(1)
        world.simulator.delete(issued)
        await world.event("certificate.deleted", issued)


@together
async def test_a_record_too_large_for_any_event_is_quarantined(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        issued = world.simulator.issue(CommonName="x" * 2_000_000)
        await world.until("it is quarantined", world.quarantined)
        await world.sweeps()
        (kept,) = world.quarantined()
        assert kept["identifier"] == issued
        assert len(base64.b64decode(kept["bytes"])) == 256 * 1024 < kept["size"]
        whole(world)


@together
async def test_two_equal_copies_of_a_certificate_are_one(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        issued = world.simulator.issue()
        world.simulator.intercept = lies.lying(world.simulator, lambda rows: [rows[0], *rows])
        await world.event("certificate.new", issued)
        await world.sweeps(3)
        assert len([one for one in world.events if one["subject"] == issued]) <= 2
        assert not world.told("certificate.deleted")


@together
async def test_of_two_copies_that_differ_a_look_up_decides(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        known, issued = world.simulator.identifiers()[-1], world.simulator.issue()

        def intercept(params: dict[str, str]) -> web.Response | None:
            if "Identifier" in params:
                return None
            rows = lies.rows(world.simulator)
            doubled = [(one, lies.edited(record, Locality="a lie")) for one, record in rows if one in (known, issued)]
            return lies.page(params, [*doubled, *rows])

        world.simulator.intercept = intercept
        new = await world.event("certificate.new", issued)
        assert new["data"]["certificate"]["locality"] != "a lie"
        await world.until("the known one was looked up", lambda: world.look_ups(known))
        await world.sweeps()
        assert not world.told("certificate.changed")
        assert not world.told("certificate.deleted")


@together
async def test_copies_that_differ_on_two_pages_are_not_told_as_changes_for_ever(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        known = world.simulator.identifiers()[0]  # truly on the last page, the other copy on the first

        def intercept(params: dict[str, str]) -> web.Response | None:
            if "Identifier" in params:
                return None
            rows = lies.rows(world.simulator)
            return lies.page(params, [(known, lies.edited(dict(rows)[known], Locality="a lie")), *rows])

        world.simulator.intercept = intercept
        await world.until("it was looked up often", lambda: len(world.look_ups(known)) >= 5)
        assert len(world.told("certificate.changed", known)) <= 2


@together
async def test_copies_that_differ_even_in_look_ups_stop_nobody_else(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        odd = world.simulator.issue()

        def double(rows: Rows) -> Rows:
            return [*((one, lies.edited(record, Locality="other")) for one, record in rows if one == odd), *rows]

        world.simulator.intercept = lies.lying(world.simulator, double)
        await world.until("it was looked up", lambda: world.look_ups(odd))
        revoked = world.simulator.identifiers()[0]
        world.simulator.revoke(revoked)
        await world.event("certificate.revoked", revoked)
        await world.sweeps(2)
        calls = world.calls()[-20:]
        assert len([call for call in calls if "Identifier" in call["params"]]) <= 10, "look-ups eat the budget"


# --- Counts that lie -------------------------------------------------------------------------------------------------

LIES: dict[str, Any] = {
    "0": 0,
    "a million": 10**6,
    "text": "many",
    "a number as text": "7",
    "negative": -5,
    "missing": ...,
    "null": None,
    "a fraction": 7.5,
    "one too few": 7,
    "beyond 64 bits": 10**30,
}


@together_for(LIES)
async def test_a_total_that_lies_hides_nothing_and_deletes_nothing(directory: Path, total: Any) -> None:
    async with living(directory, certificates=8) as world:

        def intercept(params: dict[str, str]) -> web.Response | None:
            if "Identifier" in params:
                return None
            return lies.page(params, lies.rows(world.simulator), TotalCount=total)

        world.simulator.intercept = intercept
        known = world.simulator.identifiers()
        issued = [world.simulator.issue() for _ in range(3)]
        world.simulator.revoke(known[0])  # the oldest: on the last page
        for one in issued:
            await world.event("certificate.new", one)
        await world.event("certificate.revoked", known[0])
        assert not world.told("certificate.deleted")
        assert not world.told("account.suspect")
        world.simulator.intercept = None
        world.simulator.delete(known[1])
        await world.event("certificate.deleted", known[1])


@together
async def test_a_total_that_lies_from_the_beginning_ends_no_baseline_in_error(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=8, page_size=1000, probe_every=60.0, started=False) as world:
        world.simulator.intercept = lies.lying(world.simulator, lambda rows: rows, TotalCount=10**9)
        await world.start(baselined=False)
        await world.says("sweep.incomplete", count=3)
        assert len(world.told("certificate.discovered")) == 8
        assert not world.told("account.baselined")
        # The next sweep is a backward one and begins where the lie said that the list ends.
        world.simulator.intercept = None
        await world.event("account.baselined")


_TOTALS = """
import resource, sys
from certstream.core.answers import Page
from certstream.core.sweep import Sweep

resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
huge = 10**18
for forward in (True, False):
    for totals in ((8, huge), (huge, 8), (huge, huge)):
        sweep = Sweep(forward=forward, size=5, total=totals[0], moves=0)
        sweep.answered(sweep.first, Page([b""] * 5, totals[0], sweep.first, 5, None))
        number = sweep.next()
        if number is not None:
            sweep.answered(number, Page([b""] * 3, totals[1], number, 5, None))
            sweep.next()
"""


def test_the_largest_total_costs_neither_time_nor_memory() -> None:
    # In a process of its own, with limits: what is looked for is a loop over all pages that a lie promises.
    done = subprocess.run([sys.executable, "-c", _TOTALS], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr[-500:]


@together
async def test_a_page_size_that_the_server_lowers_is_noticed_and_used(tmp_path: Path) -> None:
    async with living(tmp_path, simulator=SimulatorConfig(certificates=11, max_page_size=3), page_size=50) as world:
        assert {one["subject"] for one in world.told("certificate.discovered")} == set(world.simulator.identifiers())
        await world.sweeps()
        sizes = [int(call["params"]["ShowSize"]) for call in world.calls() if "Identifier" not in call["params"]]
        assert sizes[0] == 50
        assert set(sizes[1:]) == {3}


# --- Answers that come late, or not ----------------------------------------------------------------------------------


@together
async def test_answers_after_the_deadline_cost_time_and_nothing_else(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=12, faults={"slow": 0.2, "reset": 0.1, "truncated": 0.1}, slow_seconds=1.0)
    async with living(tmp_path, simulator=config, started=False) as world:
        world.deadline = 0.3
        await world.start()
        revoked, deleted, *_ = world.simulator.identifiers()
        world.simulator.revoke(revoked)
        world.simulator.delete(deleted)
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        await world.event("certificate.revoked", revoked)
        await world.event("certificate.deleted", deleted)
        assert {call["fault"] for call in world.calls()} >= {"slow", "reset", "truncated"}
        assert len(world.told("certificate.deleted")) == 1
