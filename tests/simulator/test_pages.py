"""What a list shows: pages, orders, filters, the revoked, permissions, and the limit on arrivals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, SimulatorConfig, User
from certstream.simulator.config import Order
from certstream.simulator.quota import Quota
from tests.simulator.caller import calling


def identifiers(rows: list[dict[str, Any]]) -> list[str]:
    return [row["Identifier"] for row in rows]


ORDERS: list[tuple[Order, Callable[[dict[str, Any]], Any], bool]] = [
    ("newest", lambda row: row["Id"], True),
    ("oldest", lambda row: row["Id"], False),
    ("identifier", lambda row: row["Identifier"], False),
]


@pytest.mark.parametrize(("order", "key", "reverse"), ORDERS)
@pytest.mark.parametrize("size", [1, 7, 20, 100])
async def test_pages_join_to_the_whole_list_in_order(
    order: Order, key: Callable[[dict[str, Any]], Any], reverse: bool, size: int
) -> None:
    async with calling(SimulatorConfig(certificates=20, order=order, qps=0)) as caller:
        caller.simulator.issue()
        caller.simulator.delete(caller.simulator.identifiers()[7])
        rows = await caller.everything(size=size)
        assert len(rows) == len(set(identifiers(rows))) == 20
        assert rows == sorted(rows, key=key, reverse=reverse)


async def test_a_shuffled_list_differs_at_every_call_and_hides_nothing() -> None:
    async with calling(SimulatorConfig(certificates=30, order="shuffled")) as caller:
        first = identifiers(await caller.everything())
        second = identifiers(await caller.everything())
        assert first != second
        assert sorted(first) == sorted(second) == sorted(caller.simulator.identifiers())


async def test_a_page_that_is_too_large_is_lowered_and_says_so() -> None:
    async with calling(SimulatorConfig(certificates=12, max_page_size=5)) as caller:
        body = (await caller.call(ShowSize=1000, CurrentPage=3)).body
        assert (body["ShowSize"], body["PageCount"], body["TotalCount"], body["CurrentPage"]) == (5, 3, 12, 3)
        assert len(body["CertificateList"]) == 2


async def test_a_page_without_parameters_is_the_first_twenty() -> None:
    async with calling(SimulatorConfig(certificates=25)) as caller:
        body = (await caller.call()).body
        assert (body["CurrentPage"], body["ShowSize"], body["PageCount"]) == (1, 20, 2)


async def test_past_the_last_page_there_are_no_rows_and_an_empty_account_has_no_pages() -> None:
    async with calling(SimulatorConfig(certificates=3)) as caller:
        body = (await caller.call(CurrentPage=9)).body
        assert (body["CertificateList"], body["TotalCount"], body["CurrentPage"]) == ([], 3, 9)
        for identifier in caller.simulator.identifiers():
            caller.simulator.delete(identifier)
        body = (await caller.call()).body
        assert (body["CertificateList"], body["TotalCount"], body["PageCount"]) == ([], 0, 0)


@pytest.mark.parametrize("params", [{"CurrentPage": 0}, {"ShowSize": "x"}, {"ShowSize": "-1"}, {"CurrentPage": "²"}])
async def test_a_page_that_is_no_number_is_invalid(params: dict[str, object]) -> None:
    async with calling() as caller:
        reply = await caller.call("ListClientCertificate", **params)
        assert (reply.status, reply.code) == (400, "InvalidParameter")


async def test_filters_narrow_the_list_and_its_total() -> None:
    async with calling(SimulatorConfig(certificates=30, resource_groups=("rg-a", "rg-b"))) as caller:
        everything = await caller.everything()
        for group in ("rg-a", "rg-b"):
            rows = await caller.everything(ResourceGroupId=group)
            assert rows == [row for row in everything if row["ResourceGroupId"] == group] != []
        moved = everything[0]["Identifier"]
        caller.simulator.edit(moved, ResourceGroupId="rg-c")
        assert identifiers(await caller.everything(ResourceGroupId="rg-c")) == [moved]
        assert (await caller.call(Identifier=moved, ResourceGroupId="rg-a")).body["TotalCount"] == 0
        assert (await caller.call(Identifier="unknown")).body["TotalCount"] == 0


async def test_the_revoked_are_listed_latest_first_without_their_pem() -> None:
    async with calling(SimulatorConfig(certificates=6)) as caller:
        first, second, third = caller.simulator.identifiers()[:3]
        for identifier in (second, first, third):
            caller.simulator.revoke(identifier)
        caller.simulator.delete(first)
        body = (await caller.call("ListRevokeCertificate", ShowSize=1)).body
        assert (body["TotalCount"], body["PageCount"]) == (2, 2)
        (row,) = body["CertificateList"]
        assert row["Identifier"] == third
        assert not {"X509Certificate", "Days", "ResourceGroupId"} & set(row)
        assert row["RevokeDate"].endswith("T00:00Z")
        listed = (await caller.call(Identifier=third)).body["CertificateList"][0]
        assert (listed["Status"], listed["Sha2"]) == ("REVOKE", row["Sha2"])


async def test_a_denied_action_names_the_missing_right_until_it_is_given() -> None:
    async with calling(SimulatorConfig(deny=frozenset({"ListRevokeCertificate"}))) as caller:
        assert (await caller.call()).status == 200
        reply = await caller.call("ListRevokeCertificate")
        assert (reply.status, reply.code) == (403, "Forbidden.RAM")
        assert reply.body["AccessDeniedDetail"]["AuthAction"] == "yundun-cert:ListRevokeCertificate"
        caller.simulator.denied = {"GetCallerIdentity"}
        assert (await caller.call("GetCallerIdentity")).body["AccessDeniedDetail"][
            "AuthAction"
        ] == "sts:GetCallerIdentity"
        caller.simulator.denied.clear()
        assert (await caller.call("ListRevokeCertificate")).status == 200


async def test_the_eleventh_call_of_a_second_is_throttled_for_that_user_alone() -> None:
    users = {DEFAULT_KEY: DEFAULT_USER, "LTAIsecond": User("s", DEFAULT_USER.uid), "LTAIother": User("o", "2")}
    async with calling(SimulatorConfig(certificates=1, users=users)) as caller:
        for _ in range(10):
            assert (await caller.call()).status == 200
        caller.key, caller.secret = "LTAIsecond", "s"
        reply = await caller.call("ListRevokeCertificate")
        assert (reply.status, reply.code) == (400, "Throttling.User")
        wait = int(reply.headers["x-acs-retry-after"])
        assert 0 < wait <= 1000
        assert (await caller.call("GetCallerIdentity")).status == 200, "STS has no part in it"
        await asyncio.sleep(wait / 1000)
        assert (await caller.call()).status == 200
        caller.key, caller.secret = "LTAIother", "o"
        assert (await caller.call()).status == 200


def test_a_throttled_call_counts_as_an_arrival() -> None:
    quota = Quota(10)
    assert [quota.arrive("u", n / 100) for n in range(10)] == [None] * 10
    assert quota.arrive("u", 0.5) == 510, "the second arrival is the one that must be a second old"
    assert quota.arrive("u", 0.999) is not None
    assert quota.arrive("u", 1.005) is not None, "ten of the last second are still too many"
    assert quota.arrive("u", 2.1) is None


def test_arrivals_a_whole_second_apart_do_not_meet() -> None:
    quota = Quota(1)
    assert quota.arrive("u", 1.0) is None
    assert quota.arrive("u", 2.0) is None
    assert quota.arrive("u", 2.5) == 1000


async def test_a_test_can_answer_in_the_servers_place() -> None:
    async with calling(SimulatorConfig(certificates=3)) as caller:
        asked: list[dict[str, str]] = []

        def hostile(params: dict[str, str]) -> web.Response | None:
            asked.append(params)
            return web.json_response({"CertificateList": []}) if params.get("CurrentPage") == "2" else None

        caller.simulator.intercept = hostile
        assert (await caller.call(CurrentPage=1)).body["TotalCount"] == 3
        assert (await caller.call(CurrentPage=2)).body == {"CertificateList": []}
        assert asked[1] == {"Action": "ListClientCertificate", "CurrentPage": "2"}
