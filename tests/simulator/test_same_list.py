"""The official SDK and certstream list the same certificates."""

from __future__ import annotations

import asyncio
from typing import Any

from alibabacloud_cas20200630 import models
from alibabacloud_cas20200630.client import Client as CasClient

from certstream.core.normal import read
from certstream.core.times import rfc3339
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, Simulator, SimulatorConfig
from certstream.source.cas import CasSource
from certstream.source.credentials import static
from tests.simulator.test_official_sdk import sdk_config

FIELDS = {
    "serialNumber": "serial_number",
    "subjectDN": "subject_dn",
    "commonName": "common_name",
    "organization": "organization",
    "organizationUnit": "organization_unit",
    "locality": "locality",
    "state": "state",
    "countryCode": "country_code",
    "status": "status",
    "algorithm": "algorithm",
    "keySize": "key_size",
    "signAlgorithm": "sign_algorithm",
    "certificateType": "certificate_type",
    "parentIdentifier": "parent_identifier",
    "sha2": "sha_2",
    "md5": "md_5",
    "days": "days",
    "aliasName": "alias_name",
    "customIdentifier": "custom_identifier",
    "id": "id",
}


async def by_certstream(simulator: Simulator, pages: int) -> dict[str, tuple[dict[str, Any], str | None]]:
    source = CasSource(endpoint=simulator.url, credentials=static(DEFAULT_KEY, DEFAULT_USER.secret))
    try:
        answers = [await source.list(page=page, size=20) for page in range(1, pages + 1)]
        normals = [read(bytes(record)) for answer in answers for record in answer.page.records]
        return {normal.identifier: (normal.certificate, normal.pem) for normal in normals}
    finally:
        await source.close()


def by_the_sdk(simulator: Simulator, pages: int) -> dict[str, Any]:
    client = CasClient(sdk_config(simulator))
    rows: list[Any] = []
    for page in range(1, pages + 1):
        request = models.ListClientCertificateRequest(current_page=page, show_size=20)
        rows += client.list_client_certificate(request).body.certificate_list
    return {row.identifier: row for row in rows}


async def test_the_official_sdk_and_certstream_list_the_same_certificates() -> None:
    async with Simulator(SimulatorConfig(certificates=90, qps=0)) as simulator:
        for identifier in simulator.identifiers()[::9]:
            simulator.revoke(identifier)
        ours = await by_certstream(simulator, 5)
        theirs = await asyncio.to_thread(by_the_sdk, simulator, 5)
    assert len(ours) == 90
    assert ours.keys() == theirs.keys()
    for identifier, (certificate, pem) in ours.items():
        row = theirs[identifier]
        assert pem == row.x_509certificate
        assert certificate["notBefore"] == rfc3339(row.before_date)
        assert certificate["notAfter"] == rfc3339(row.after_date)
        assert {name: certificate.get(name) for name in FIELDS} == {
            name: getattr(row, attribute) for name, attribute in FIELDS.items()
        }
