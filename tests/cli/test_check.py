"""`check` against a simulated account: what is wrong is said with what to do, and the rest is tried all the same."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from certstream.app import build_claim, build_journal, build_locks
from certstream.cli import steady
from certstream.cli.check import lines
from certstream.cli.trials import CheckLine
from certstream.config import Account, Config, Credentials, Http
from certstream.core.answers import Garbled
from certstream.core.errors import Throttled, Transient
from certstream.definition import topics
from certstream.journal.topics import apply
from certstream.service.clock import Clock
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, Simulator, SimulatorConfig
from certstream.web import serve
from tests.real.kafka import Broker
from tests.real.redis import RedisServer, known


def config(tmp_path: Path, url: str, *, secret: str = DEFAULT_USER.secret, **changes: Any) -> Config:
    (tmp_path / "secret").write_text(secret)
    keys = Credentials(access_key_id=DEFAULT_KEY, access_key_secret_file=str(tmp_path / "secret"))
    own = {key: changes.pop(key) for key in tuple(changes) if key in Account.model_fields}
    account = Account.model_validate({"name": "prod", "endpoint": url, "sts_endpoint": url, "credentials": keys} | own)
    data = {"journal": f"sqlite://{tmp_path}/new/journal.db", "http": Http(listen=""), "accounts": (account,)}
    return Config.model_validate(data | changes)


async def found(given: Config) -> dict[str, CheckLine]:
    return {line.name: line async for line in lines(given)}


JOURNAL, KEYS, LISTING = "journal", "account prod, credentials", "account prod, permission and endpoint"
USER, REVOKED = "account prod, user", "account prod, revocations"


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "PAUSE", 0.01)


async def test_all_is_well(tmp_path: Path) -> None:
    async with Simulator(SimulatorConfig(certificates=7)) as simulator:
        told = await found(config(tmp_path, simulator.url))
        assert all(line.ok for line in told.values())
        assert "can be made" in told[JOURNAL].text
        assert told[KEYS].text == "access key LTAI…0001 was found"
        assert DEFAULT_USER.uid in told[USER].text
        assert "lists 7 certificates" in told[LISTING].text
        assert "lists 0 that are revoked" in told[REVOKED].text
        assert simulator.calls == 3
        assert list((tmp_path / "new").iterdir()) == []


async def test_a_wrong_secret_is_told_and_not_shown(tmp_path: Path) -> None:
    async with Simulator() as simulator:
        told = await found(config(tmp_path, simulator.url, secret="not-the-right-one"))
    assert told[JOURNAL].ok
    assert told[KEYS].ok
    assert not told[USER].ok
    assert not told[LISTING].ok
    assert "secret" in told[LISTING].text
    assert "not-the-right-one" not in repr(told)


async def test_a_missing_permission_is_named(tmp_path: Path) -> None:
    async with Simulator(SimulatorConfig(deny=frozenset({"ListClientCertificate"}))) as simulator:
        told = await found(config(tmp_path, simulator.url))
    assert told[USER].ok
    assert not told[LISTING].ok
    assert "yundun-cert:ListClientCertificate" in told[LISTING].text


async def test_whoever_may_not_read_the_list_of_the_revoked_is_told_and_need_not(tmp_path: Path) -> None:
    from certstream.service.metrics import Metrics

    async with Simulator(SimulatorConfig(deny=frozenset({"ListRevokeCertificate"}))) as simulator:
        told = await found(config(tmp_path, simulator.url))
        assert told[REVOKED].ok
        assert "allow yundun-cert:ListRevokeCertificate" in told[REVOKED].text
        assert REVOKED not in await found(config(tmp_path, simulator.url, revocations=False))
    status = {"state": "healthy", "reason": None, "revocations": {"state": "denied", "reason": "no permission"}}
    async with serve(
        "127.0.0.1:0", registry=Metrics().registry, status=lambda: {"accounts": {"prod": status}}, token=None
    ) as url:
        line = (await found(config(tmp_path, url, http=Http(listen=url.removeprefix("http://")))))["account prod"]
    assert line.ok
    assert line.text.endswith("says: healthy; revocations are seen by sweeps alone, no permission")


async def test_a_list_of_the_revoked_that_does_not_come_is_told(tmp_path: Path) -> None:
    async with Simulator() as simulator:
        simulator.intercept = lambda params: web.Response(status=503) if "Revoke" in params["Action"] else None
        told = await found(config(tmp_path, simulator.url))
    assert told[LISTING].ok
    assert not told[REVOKED].ok
    assert "set revocations = false" in told[REVOKED].text


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


@pytest.mark.parametrize("answer", ["reset", 503, 429, "html"])
async def test_what_may_pass_is_tried_three_times(tmp_path: Path, answer: str | int) -> None:
    def twice(params: dict[str, str]) -> web.Response | None:
        if simulator.calls > 2:
            return None
        return web.Response(text="<html>", status=answer if isinstance(answer, int) else 200)

    async with Simulator(SimulatorConfig(faults={"reset": 1} if answer == "reset" else {})) as simulator:
        if answer != "reset":
            simulator.intercept = twice
        told = await found(config(tmp_path, simulator.url, uid="", sts_endpoint="", revocations=False))
        assert simulator.calls == 3
    assert told[LISTING].ok is (answer != "reset")
    if answer == "reset":
        assert "(tried 3 times); something on the way hangs up: look at `endpoint`" in told[LISTING].text


@pytest.mark.parametrize(
    ("endpoint", "mend"),
    [
        (
            "http://127.0.0.1:9",
            "nothing answers there: look at `endpoint` (http://127.0.0.1:9; Alibaba's is https://cas",
        ),
        ("https://cas.nowhere.invalid", "look at `endpoint` (https://cas.nowhere.invalid;"),
    ],
)
async def test_a_wrong_endpoint_is_told_with_where_to_look(tmp_path: Path, endpoint: str, mend: str) -> None:
    told = await found(config(tmp_path, endpoint, sts_endpoint=""))
    assert mend in told[LISTING].text


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (Throttled("HTTP 429"), "lower `qps`"),
        (
            Garbled("HTTP 200 without a JSON object"),
            "is not this API: look at `sts_endpoint` (u; Alibaba's is https://sts",
        ),
        (Transient("h: the deadline passed while connecting"), "look at this host's network"),
        (Transient("InternalError: x (HTTP 500, request y)"), "try again later"),
        (Transient("h: Name or service not known"), "this host's DNS"),
        (
            Transient("h: Cannot connect to host h ssl:default [[SSL: WRONG_VERSION_NUMBER] wrong]"),
            "does not speak TLS",
        ),
        (Transient("odd"), "look at `sts_endpoint`"),
    ],
)
def test_what_lasts_has_a_remedy(error: Transient, mend: str) -> None:
    assert mend in steady.remedy(error, key="sts_endpoint", url="u")


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (Credentials(profile="gone"), "tried: profile gone"),
        (Credentials(access_key_id="x", access_key_secret_file="/dev/null"), "/dev/null: it is empty"),
    ],
)
async def test_credentials_that_are_not_there_are_told(
    tmp_path: Path, keys: Credentials, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with Simulator() as simulator:
        told = await found(config(tmp_path, simulator.url, sts_endpoint="", credentials=keys))
        assert simulator.calls == 0
    assert not told[KEYS].ok
    assert why in told[KEYS].text
    assert not told[LISTING].ok
    assert USER not in told


async def test_one_user_under_two_budgets_is_refused_as_run_does(tmp_path: Path) -> None:
    async with Simulator() as simulator:
        (one,) = config(tmp_path, simulator.url).accounts
        other = one.model_copy(update={"name": "other", "budget": "other"})
        told = await found(config(tmp_path, simulator.url, accounts=(one, other)))
        assert not told["budgets"].ok
        assert "accounts prod and other are one user" in told["budgets"].text
        other = one.model_copy(update={"name": "other"})
        assert (await found(config(tmp_path, simulator.url, accounts=(one, other))))["budgets"].ok


async def test_a_uid_that_is_not_the_keys_is_told(tmp_path: Path) -> None:
    async with Simulator() as simulator:
        told = await found(config(tmp_path, simulator.url, uid="7"))
    assert f"the key belongs to user {DEFAULT_USER.uid}, but `uid` says 7" in told[USER].text


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


@pytest.mark.parametrize("state", ["starting", "throttled"])
async def test_what_is_no_fault_of_the_account_is_told_and_does_not_fail(tmp_path: Path, state: str) -> None:
    from certstream.service.metrics import Metrics

    status = {"accounts": {"prod": {"state": state, "reason": "reading"}}, "journal": {"state": "ok"}}
    async with serve("127.0.0.1:0", registry=Metrics().registry, status=lambda: status, token=None) as url:
        told = await found(config(tmp_path, "http://127.0.0.1:9", http=Http(listen=url.removeprefix("http://"))))
    assert told["account prod"].ok
    assert f"says: {state}, reading" in told["account prod"].text


@pytest.mark.parametrize("known", ["by its key", "by STS"])
async def test_a_user_whose_calls_another_process_makes_is_not_called(tmp_path: Path, known: str) -> None:
    async with Simulator() as simulator:
        given = config(tmp_path, simulator.url, lock_dir=f"{tmp_path}/host")
        locks = build_locks(given, Clock())  # flock parts open files, not processes
        held = build_claim(given.accounts[0], locks)
        if known == "by its key":
            await held.begin()
        else:
            held.user(DEFAULT_USER.uid)
            held.left()
        told = await found(given)
        assert simulator.calls == (0 if known == "by its key" else 1)  # STS is no call that counts
        assert told["account prod"].ok
        assert "not called: process" in told["account prod"].text
        locks.release(0.0)
        assert (await found(given))[LISTING].ok
        again = build_claim(given.accounts[0], build_locks(given, Clock()))
        await again.begin()
        assert 0 < again.left() < 1.1, "the next one waits until the slots of `check` are back, and no longer"


async def test_without_a_folder_for_locks_it_says_so_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with Simulator() as simulator:
        told = await found(config(tmp_path, simulator.url, lock_dir=f"{tmp_path}/file"))
    assert all(line.ok for line in told.values())
    assert "nothing shows who else makes these calls" in told["lock_dir"].text


async def test_a_limiter_gives_the_slot_or_is_told_as_away(tmp_path: Path) -> None:
    redis = RedisServer()
    try:
        await known(redis.url, DEFAULT_USER.uid)
        async with Simulator(SimulatorConfig(certificates=7)) as simulator:
            told = await found(config(tmp_path, simulator.url, limiter=redis.url))
            assert all(line.ok for line in told.values()), told
            assert "lists 7 certificates" in told[LISTING].text
            redis.kill()
            told = await found(config(tmp_path, simulator.url, limiter=redis.url))
            assert [told["limiter"].ok, told[USER].ok, told[LISTING].ok] == [False, True, False]
            assert "away" in told["limiter"].text
            assert simulator.calls == 5 - 1, "without a slot no call"
    finally:
        redis.kill()


async def test_a_user_who_is_not_known_gets_no_slot_of_a_limiter(tmp_path: Path) -> None:
    redis = RedisServer()
    try:
        async with Simulator() as simulator:
            told = await found(config(tmp_path, simulator.url, limiter=redis.url, sts_endpoint=""))
            assert "the limiter counts by user" in told[LISTING].text
            assert simulator.calls == 0
    finally:
        redis.kill()


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
