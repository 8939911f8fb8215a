"""The audit that ends every test of the service finds what it is there to find."""

from __future__ import annotations

import json
from collections.abc import Callable

import orjson
import pytest

from certstream.core.wire import Stored
from tests.service.audit import faults, pace
from tests.service.world import living

Records = list[Stored]


def _edit(record: Stored, **changes: object) -> Stored:
    value = {**json.loads(record.value or b""), **changes}
    return record._replace(value=orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def _at(records: Records, topic: str, number: int, change: Callable[[Stored], Stored | None]) -> Records:
    places = [n for n, record in enumerate(records) if record.topic == topic]
    changed = change(records[places[number]])
    return records[: places[number]] + ([changed] if changed is not None else []) + records[places[number] + 1 :]


BREACHES: dict[str, tuple[Callable[[Records], Records], str]] = {
    "an event lost": (lambda all_: _at(all_, "events", 3, lambda _: None), "follows sequence"),
    "an event twice": (lambda all_: [*all_, [one for one in all_ if one.topic == "events"][-1]], "follows sequence"),
    "another prevhash": (lambda all_: _at(all_, "events", 2, lambda one: _edit(one, prevhash="0" * 64)), "prevhash"),
    "another certprevhash": (
        lambda all_: _at(all_, "events", -1, lambda one: _edit(one, certprevhash="a" * 64)),
        "certprevhash",
    ),
    "another id": (lambda all_: _at(all_, "events", 2, lambda one: _edit(one, id="x")), "id"),
    "another lineage": (lambda all_: _at(all_, "events", 2, lambda one: _edit(one, lineage="a" * 16)), "lineage"),
    "a copy lost": (lambda all_: _at(all_, "certificate.discovered", 0, lambda _: None), "copies"),
    "a copy that differs": (
        lambda all_: _at(all_, "certificate.discovered", 0, lambda one: one._replace(headers=())),
        "copies",
    ),
    "a header missing": (lambda all_: _at(all_, "events", 0, lambda one: one._replace(headers=())), "headers"),
    "inventory of another time": (
        lambda all_: _at(all_, "inventory", -1, lambda one: _edit(one, sequence="0" * 19 + "1")),
        "inventory",
    ),
    "inventory missing": (
        lambda all_: [one for one in all_ if one.topic != "inventory"],
        "missing",
    ),
    "a pem missing": (lambda all_: [one for one in all_ if one.topic != "pem"], "missing"),
    "an event that is not valid": (
        lambda all_: _at(all_, "events", 0, lambda one: _edit(one, specversion="2")),
        "specversion",
    ),
    "a secret": (lambda all_: _at(all_, "accounts", 0, lambda one: _edit(one, reason="s3cret!")), "a secret"),
    "another partition": (lambda all_: _at(all_, "events", 0, lambda one: one._replace(partition=0)), "partitions"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Records:
    import asyncio

    async def records() -> Records:
        async with living(tmp_path_factory.mktemp("good")) as world:
            changed = world.simulator.identifiers()[0]
            world.simulator.edit(changed, Locality="Nanjing")
            await world.event("certificate.changed", changed)
            return await world.everything()

    return asyncio.run(records())


def test_a_good_journal_has_no_faults(good: Records) -> None:
    assert faults(good, secrets=["s3cret!"]) == []


@pytest.mark.parametrize("breach", list(BREACHES))
def test_a_breach_is_found(breach: str, good: Records) -> None:
    spoil, word = BREACHES[breach]
    found = faults(spoil(good), secrets=["s3cret!"])
    assert any(word in one for one in found), found


def test_an_eleventh_arrival_within_a_second_is_found() -> None:
    def call(moment: float) -> dict[str, object]:
        return {"action": "ListClientCertificate", "user": "1", "arrival_mono": moment}

    assert pace([call(n * 0.1) for n in range(40)]) == []
    assert pace([call(n * 0.099) for n in range(11)])
