"""`check` against a simulated account: what is wrong is said with what to do, and the rest is tried all the same."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from certstream.app import build_journal
from certstream.cli.check import lines
from certstream.cli.trials import CheckLine
from certstream.config import Account, Config, Credentials, Http
from certstream.definition import topics
from certstream.journal.topics import apply
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, Simulator, SimulatorConfig
from certstream.web import serve
from tests.real.kafka import Broker


def config(tmp_path: Path, url: str, *, secret: str = DEFAULT_USER.secret, **changes: Any) -> Config:
    (tmp_path / "secret").write_text(secret)
    keys = Credentials(access_key_id=DEFAULT_KEY, access_key_secret_file=str(tmp_path / "secret"))
    account = Account(name="prod", endpoint=url, sts_endpoint=url, credentials=keys)
    data = {"journal": f"sqlite://{tmp_path}/new/journal.db", "http": Http(listen=""), "accounts": (account,)}
    return Config.model_validate(data | changes)


async def found(given: Config) -> dict[str, CheckLine]:
    return {line.name: line async for line in lines(given)}


JOURNAL, KEYS, LISTING = "journal", "account prod, credentials", "account prod, permission and endpoint"


async def test_all_is_well(tmp_path: Path) -> None:
    async with Simulator(SimulatorConfig(certificates=7)) as simulator:
        told = await found(config(tmp_path, simulator.url))
        assert all(line.ok for line in told.values())
        assert "can be made" in told[JOURNAL].text
        assert DEFAULT_USER.uid in told[KEYS].text
        assert "lists 7 certificates" in told[LISTING].text
        assert simulator.calls == 2
        assert list((tmp_path / "new").iterdir()) == []


async def test_a_wrong_secret_is_told_and_not_shown(tmp_path: Path) -> None:
    async with Simulator() as simulator:
        told = await found(config(tmp_path, simulator.url, secret="not-the-right-one"))
    assert told[JOURNAL].ok
    assert not told[KEYS].ok
    assert not told[LISTING].ok
    assert "secret" in told[LISTING].text
    assert "not-the-right-one" not in repr(told)


async def test_a_missing_permission_is_named(tmp_path: Path) -> None:
    async with Simulator(SimulatorConfig(deny=frozenset({"ListClientCertificate"}))) as simulator:
        told = await found(config(tmp_path, simulator.url))
    assert told[KEYS].ok
    assert not told[LISTING].ok
    assert "yundun-cert:ListClientCertificate" in told[LISTING].text


async def test_a_clock_that_is_off_is_told_with_the_remedy(tmp_path: Path) -> None:
    async with Simulator(SimulatorConfig(clock_offset=-120)) as simulator:
        told = await found(config(tmp_path, simulator.url))
    assert not told[LISTING].ok
    assert "clock is 12" in told[LISTING].text
    assert "ahead of" in told[LISTING].text


async def test_a_smaller_page_is_told_and_no_problem(tmp_path: Path) -> None:
    async with Simulator(SimulatorConfig(max_page_size=50)) as simulator:
        told = await found(config(tmp_path, simulator.url))
    assert told[LISTING].ok
    assert "it gives 50 a page at most" in told[LISTING].text


async def test_an_endpoint_that_is_away_does_not_keep_the_journal_from_being_tried(tmp_path: Path) -> None:
    told = await found(config(tmp_path, "http://127.0.0.1:9"))
    assert told[JOURNAL].ok
    assert not told[LISTING].ok
    assert "127.0.0.1" in told[LISTING].text


async def test_a_journal_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with Simulator() as simulator:
        told = await found(config(tmp_path, simulator.url, journal=f"sqlite://{tmp_path}/file/journal.db"))
    assert not told[JOURNAL].ok
    assert told[LISTING].ok


async def test_a_release_of_the_owner_before_is_not_lost_by_checking(tmp_path: Path) -> None:
    async with Simulator() as simulator:
        given = config(tmp_path, simulator.url, journal=f"sqlite://{tmp_path}/journal.db")
        for released in (True, False):
            journal = build_journal(given)
            await journal.start()
            await (await journal.open(journal.partitions - 1, lambda key, value: None)).close(release=released)
            await journal.close()
            assert (await found(given))[JOURNAL].ok
            journal = build_journal(given)
            await journal.start()
            shard = await journal.open(journal.partitions - 1, lambda key, value: None)
            assert shard.opened.released is released
            await shard.close(release=True)
            await journal.close()


async def test_an_account_that_a_service_polls_is_not_called(tmp_path: Path) -> None:
    from certstream.service.metrics import Metrics

    status = {"accounts": {"prod": {"state": "denied", "reason": "no permission"}}, "journal": {"state": "ok"}}
    async with (
        Simulator() as simulator,
        serve("127.0.0.1:0", registry=Metrics().registry, status=lambda: status, token=None) as url,
    ):
        told = await found(config(tmp_path, simulator.url, http=Http(listen=url.removeprefix("http://"))))
        assert simulator.calls == 0
    assert told["account prod"] == CheckLine(
        "account prod", False, f"not called, for the service at {url} polls it, and says: denied, no permission"
    )


async def test_an_embedded_journal_in_use_is_left_alone_and_so_is_its_account(tmp_path: Path) -> None:
    async with Simulator() as simulator:
        given = config(tmp_path, simulator.url, journal=f"sqlite://{tmp_path}/journal.db")
        writer = build_journal(given)
        await writer.start()
        await writer.open(0, lambda key, value: None)
        try:
            told = await found(given)
        finally:
            await writer.close()
        assert simulator.calls == 0
    assert told[JOURNAL].ok
    assert "left alone" in told[JOURNAL].text
    assert "not called" in told["account prod"].text


async def test_kafka_is_tried_with_a_transaction_and_a_fence(tmp_path: Path, kafka: Broker) -> None:
    prefix = f"check-{secrets.token_hex(3)}."
    given = config(tmp_path, "http://127.0.0.1:9", journal=f"kafka://{kafka.bootstrap}", topic_prefix=prefix)
    told = await found(given)
    assert not told["topics"].ok
    assert "certstream topics apply" in told["topics"].text
    assert not told[JOURNAL].ok
    await apply({"bootstrap_servers": kafka.bootstrap}, topics(), prefix=prefix)
    told = await found(given)
    assert told["topics"].ok
    assert told[JOURNAL].ok
    assert "an older writer was fenced" in told[JOURNAL].text


async def test_checking_does_not_disturb_the_owner_of_a_shard_in_kafka(tmp_path: Path, kafka: Broker) -> None:
    prefix = f"check-{secrets.token_hex(3)}."
    given = config(tmp_path, "http://127.0.0.1:9", journal=f"kafka://{kafka.bootstrap}", topic_prefix=prefix)
    await apply({"bootstrap_servers": kafka.bootstrap}, topics(), prefix=prefix)
    journal = build_journal(given)
    await journal.start()
    applied: list[bytes] = []
    try:
        shard = await journal.open(0, lambda key, value: applied.append(key))
        assert (await found(given))[JOURNAL].ok
        await shard.verify()
        await shard.resume()
        assert applied == []
        await shard.close(release=True)
    finally:
        await journal.close()


async def test_kafka_that_is_away_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told = await found(config(tmp_path, "http://127.0.0.1:9", journal="kafka://127.0.0.1:9"))
    assert not told["topics"].ok
    assert not told[JOURNAL].ok
    assert "127.0.0.1:9" in told[JOURNAL].text
