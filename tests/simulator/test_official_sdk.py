"""The official SDKs, unchanged, list the simulator: whatever they sign, encode or expect, it takes and gives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from alibabacloud_cas20200630 import models
from alibabacloud_cas20200630.client import Client as CasClient
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi.utils_models import Config

from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, Simulator, SimulatorConfig, User


def sdk_config(simulator: Simulator, *, secret: str = DEFAULT_USER.secret, token: str | None = None) -> Any:
    return Config(
        access_key_id=DEFAULT_KEY,
        access_key_secret=secret,
        security_token=token,
        protocol="http",
        endpoint=f"127.0.0.1:{simulator.port}",
    )


async def test_the_synchronous_sdk_lists_every_certificate() -> None:
    async with Simulator(SimulatorConfig(certificates=45)) as simulator:
        client = CasClient(sdk_config(simulator))

        def everything() -> list[Any]:
            rows: list[Any] = []
            for page in (1, 2, 3):
                request = models.ListClientCertificateRequest(current_page=page, show_size=20)
                body = client.list_client_certificate(request).body
                assert (body.total_count, body.page_count, body.current_page, body.show_size) == (45, 3, page, 20)
                rows += body.certificate_list
            return rows

        rows = await asyncio.to_thread(everything)
        assert [row.identifier for row in rows] == simulator.identifiers()[::-1]
        assert all(row.x_509certificate.startswith("-----BEGIN CERTIFICATE-----\n") for row in rows)
        assert all(row.after_date > row.before_date and row.status == "ISSUE" for row in rows)


async def test_the_asynchronous_sdk_lists_with_awkward_parameters() -> None:
    """Its query encoding differs from the synchronous one's: `a+b*~/` arrives as it is."""
    async with Simulator(SimulatorConfig(certificates=3)) as simulator:
        client = CasClient(sdk_config(simulator))
        everything = await client.list_client_certificate_async(models.ListClientCertificateRequest())
        assert everything.body.total_count == 3
        identifier = simulator.identifiers()[1]
        one = await client.list_client_certificate_async(models.ListClientCertificateRequest(identifier=identifier))
        assert [row.identifier for row in one.body.certificate_list] == [identifier]
        for hard in ("a b*~/+%é&=?", "a+b"):
            request = models.ListClientCertificateRequest(identifier=hard)
            assert (await client.list_client_certificate_async(request)).body.total_count == 0
            nothing = await asyncio.to_thread(client.list_client_certificate, request)
            assert nothing.body.total_count == 0


async def test_the_sdk_with_a_wrong_secret_is_refused() -> None:
    async with Simulator() as simulator:
        client = CasClient(sdk_config(simulator, secret="wrong"))
        with pytest.raises(Exception, match="SignatureDoesNotMatch"):
            await client.list_client_certificate_async(models.ListClientCertificateRequest())


async def test_the_sdk_with_a_security_token_is_let_in_only_with_the_right_one() -> None:
    users = {DEFAULT_KEY: User(DEFAULT_USER.secret, DEFAULT_USER.uid, "STStok/==+")}
    async with Simulator(SimulatorConfig(certificates=2, users=users)) as simulator:
        good = CasClient(sdk_config(simulator, token="STStok/==+"))
        answer = await good.list_client_certificate_async(models.ListClientCertificateRequest())
        assert answer.body.total_count == 2
        bad = CasClient(sdk_config(simulator, token="another"))
        with pytest.raises(Exception, match=r"InvalidSecurityToken\.Malformed"):
            await bad.list_client_certificate_async(models.ListClientCertificateRequest())


async def test_the_sdk_understands_a_missing_permission() -> None:
    async with Simulator(SimulatorConfig(deny=frozenset({"ListClientCertificate"}))) as simulator:
        client = CasClient(sdk_config(simulator))
        with pytest.raises(Exception, match=r"Forbidden\.RAM") as caught:
            await client.list_client_certificate_async(models.ListClientCertificateRequest())
        detail = getattr(caught.value, "access_denied_detail", None) or {}
        assert detail["AuthAction"] == "yundun-cert:ListClientCertificate"


async def test_the_sdk_lists_the_revoked() -> None:
    async with Simulator(SimulatorConfig(certificates=5)) as simulator:
        identifier = simulator.identifiers()[2]
        simulator.revoke(identifier)
        client = CasClient(sdk_config(simulator))
        body = (await client.list_revoke_certificate_async(models.ListRevokeCertificateRequest())).body
        assert body.total_count == 1
        (row,) = body.certificate_list
        assert (row.identifier, row.status) == (identifier, "REVOKE")
        assert row.revoke_date.endswith("T00:00Z")


async def test_the_sts_sdk_learns_who_it_is() -> None:
    async with Simulator() as simulator:
        client = StsClient(sdk_config(simulator))
        body = (await client.get_caller_identity_async()).body
        assert body.account_id == DEFAULT_USER.uid
        assert body.arn == f"acs:ram::{DEFAULT_USER.uid}:user/certstream"
        assert (await asyncio.to_thread(client.get_caller_identity)).body.identity_type == "RAMUser"
