"""Who is asked with whose key: permission, secrets, tokens, throttling; accounts and budgets beside each other."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from certstream.app import build
from certstream.config import Account, Credentials
from certstream.core.errors import Fatal
from certstream.core.sharding import shard_of
from certstream.ports import Permit
from certstream.service.clock import Clock
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, Simulator, SimulatorConfig, User
from tests.service import lies
from tests.service.together import together, together_for
from tests.service.world import SECRET, World, account, living

OTHER_KEY, OTHER = "LTAIsimulator00000002", User("otherSecret00000000000000000002", "1000000000000002")
TWO_USERS = SimulatorConfig(certificates=7, users={DEFAULT_KEY: DEFAULT_USER, OTHER_KEY: OTHER})


def other(directory: Path, simulator: Simulator, name: str = "other", **changes: object) -> Account:
    """An account of the second user."""
    secret = directory / "secret-of-the-other"
    secret.write_text(OTHER.secret)
    keys = Credentials(access_key_id=OTHER_KEY, access_key_secret_file=str(secret))
    return account(directory, simulator, name, credentials=keys, **changes)


@together
async def test_an_account_without_permission_is_denied_by_name_while_the_other_goes_on(tmp_path: Path) -> None:
    def two(simulator: Simulator) -> tuple[Account, ...]:
        return account(tmp_path, simulator), other(tmp_path, simulator)

    async with living(tmp_path, simulator=TWO_USERS, accounts=two) as world:
        world.secrets.add(OTHER.secret)
        real, denying = world.simulator._admit, [True]

        async def admit(request: object, call: object) -> User:
            user: User = await real(request, call)  # type: ignore[arg-type]
            if denying[0] and user.uid == OTHER.uid:
                from certstream.simulator.actions import forbidden

                raise forbidden("ListClientCertificate", user)
            return user

        world.simulator._admit = admit  # type: ignore[method-assign]
        denied = await world.health("denied", "other")
        assert "yundun-cert:ListClientCertificate" in denied["reason"]
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        assert [one["data"]["account"] for one in world.told("certificate.new", issued)] == ["prod"]
        assert world.state()["state"] == "healthy"
        assert world.service is not None
        assert world.service.status()["accounts"]["other"]["state"] == "denied"
        denying[0] = False
        await world.event("certificate.new", issued, count=2)
        await world.health("healthy", "other")


@together
async def test_permission_that_comes_later_lets_an_account_begin(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=7, deny=frozenset({"ListClientCertificate"}))
    async with living(tmp_path, simulator=config, started=False) as world:
        await world.start(baselined=False)
        assert "yundun-cert:ListClientCertificate" in (await world.health("denied"))["reason"]
        assert world.events == []
        world.simulator.denied.clear()
        await world.event("account.baselined")
        await world.health("healthy")


@together
async def test_a_wrong_secret_is_told_without_it_and_the_right_one_is_used_when_it_comes(tmp_path: Path) -> None:
    wrong = "wrongSecretThatNobodyMaySee0001"
    async with living(tmp_path, started=False) as world:
        (tmp_path / "secret-prod").write_text(wrong)
        world.secrets.add(wrong)
        await world.start(baselined=False)
        denied = await world.health("denied")
        assert "secret" in denied["reason"]
        assert "access key" in denied["reason"]
        (tmp_path / "secret-prod").write_text(SECRET)
        await world.event("account.baselined")


@together
async def test_an_unknown_key_is_told_with_what_mends_it(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        world.simulator.users.clear()
        await world.start(baselined=False)
        assert "access key" in (await world.health("denied"))["reason"]


@together
async def test_a_skewed_clock_is_told_with_the_skew(tmp_path: Path) -> None:
    async with living(tmp_path, simulator=SimulatorConfig(certificates=3, clock_offset=3600), started=False) as world:
        await world.start(baselined=False)
        denied = await world.health("denied")
        assert re.search(r"clock is (3599|360\d) s behind", denied["reason"])


@together
async def test_a_throttle_answer_silences_the_budget_for_as_long_as_it_says(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        once = [True]

        def intercept(params: dict[str, str]) -> object:
            if not once or not once.pop():
                return None
            return lies.refusing("Throttling.User", 400, lambda _: True, **{"x-acs-retry-after": "900"})(params)

        assert world.service is not None
        budget, turns = world.service._running["prod"].budget, list[float]()
        hand = budget._hand

        def noted(permit: Permit | None) -> None:
            turns.append(time.time())
            hand(permit)

        budget._hand = noted  # type: ignore[method-assign]
        world.simulator.intercept = intercept  # type: ignore[assignment]
        told = (await world.says("throttled")).created
        throttled = next(call for call in world.calls() if call["fault"] == "intercepted")
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        # Calls whose turn had come already may still arrive, however late; then there is silence.
        await world.until("somebody's turn comes again", lambda: any(at > told for at in turns))
        assert next(at for at in turns if at > told) - throttled["answered"] >= 0.88
        assert not world.told("certificate.deleted")


@together
async def test_a_foreign_consumer_of_the_budget_slows_it_down_and_breaks_nothing(tmp_path: Path) -> None:
    import aiohttp

    from tests.simulator.caller import Caller

    async with living(tmp_path, paced=False) as world, aiohttp.ClientSession() as session:
        caller = Caller(world.simulator, session)

        async def consume() -> None:
            for _ in range(25):
                await caller.call()
                await asyncio.sleep(0.05)

        consuming = asyncio.create_task(consume())
        await world.says("throttled")
        issued = world.simulator.issue()
        await consuming
        await world.event("certificate.new", issued)
        assert not world.told("certificate.deleted")
        assert not world.said("account.denied")


async def test_a_token_that_expires_is_fetched_anew_and_nothing_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth_constant = pytest.importorskip("alibabacloud_credentials.utils.auth_constant")
    monkeypatch.setattr(auth_constant, "HOME", str(tmp_path))
    (tmp_path / ".aliyun").mkdir()

    def grant(simulator: Simulator, token: str) -> None:
        old = simulator.users[DEFAULT_KEY].token
        if old is not None:
            simulator.expired_tokens.add(old)
        simulator.users[DEFAULT_KEY] = User(SECRET, DEFAULT_USER.uid, token)
        profile = {
            "name": "sts",
            "mode": "StsToken",
            "access_key_id": DEFAULT_KEY,
            "access_key_secret": SECRET,
            "sts_token": token,
        }
        (tmp_path / ".aliyun" / "config.json").write_text(json.dumps({"current": "sts", "profiles": [profile]}))

    async with living(tmp_path, started=False, credentials=Credentials(profile="sts")) as world:
        world.secrets |= {"firstToken-0001", "secondToken-0002"}
        grant(world.simulator, "firstToken-0001")
        await world.start()
        grant(world.simulator, "secondToken-0002")
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        assert "InvalidSecurityToken.Expired" in {call["code"] for call in world.calls()}
        assert not world.said("account.denied")
        assert not world.told("account.suspect")


@together
async def test_two_groups_of_one_user_share_ten_calls_a_second(tmp_path: Path) -> None:
    def two(simulator: Simulator) -> tuple[Account, ...]:
        return tuple(
            account(tmp_path, simulator, name, resource_group=f"rg-acfmsimulator0{n}", budget="shared", uid="1")
            for n, name in ((1, "one"), (2, "two"))
        )

    async with living(tmp_path, certificates=40, accounts=two) as world:
        await world.sweeps(3, "one")
        await world.sweeps(3, "two")
        for name, group in (("one", "rg-acfmsimulator01"), ("two", "rg-acfmsimulator02")):
            inside = {row.blueprint.identifier for row in world.simulator.population if row.group == group}
            told = world.told("certificate.discovered")
            assert {one["subject"] for one in told if one["data"]["account"] == name} == inside


@together
async def test_two_users_have_budgets_and_histories_of_their_own(tmp_path: Path) -> None:
    def two(simulator: Simulator) -> tuple[Account, ...]:
        return account(tmp_path, simulator), other(tmp_path, simulator)

    async with living(tmp_path, simulator=TWO_USERS, accounts=two) as world:
        issued = world.simulator.issue()
        await world.event("certificate.new", issued, count=2)
        lineages = {one["data"]["account"]: one["lineage"] for one in world.events}
        assert len(set(lineages.values())) == 2


async def refusal(world: World, *accounts: Account) -> str:
    """Why the service does not start with these accounts."""
    config = world.config.model_copy(update={"accounts": accounts})
    with pytest.raises(Fatal) as refused:
        await asyncio.wait_for(build(config, clock=Clock()).run(asyncio.Event()), 10)
    return str(refused.value)


@together_for({"the configuration": {"uid": "77"}, "STS": {}})
async def test_one_user_under_two_budgets_is_refused_with_both_names(directory: Path, uid: dict[str, str]) -> None:
    async with living(directory, started=False) as world:
        given = uid or {"sts_endpoint": world.simulator.url}
        one = account(directory, world.simulator, "one", **given)
        two = account(directory, world.simulator, "two", **given)
        text = await refusal(world, one, two)
        assert "one" in text
        assert "two" in text
        assert "budget" in text
        assert world.events == []


SECOND_KEY = "LTAIsimulator00000003"
ONE_USER = SimulatorConfig(
    certificates=40, users={DEFAULT_KEY: DEFAULT_USER, SECOND_KEY: User(SECRET, DEFAULT_USER.uid), OTHER_KEY: OTHER}
)


def second_key(directory: Path, simulator: Simulator, name: str, **changes: object) -> Account:
    """An account of the first user, with another key of that user's."""
    (directory / "secret-of-the-second-key").write_text(SECRET)
    keys = Credentials(access_key_id=SECOND_KEY, access_key_secret_file=str(directory / "secret-of-the-second-key"))
    return account(directory, simulator, name, credentials=keys, **changes)


@together
async def test_two_keys_under_two_budgets_wait_while_sts_is_away_and_are_refused_when_it_names_one_user(
    tmp_path: Path,
) -> None:
    async with living(tmp_path, simulator=ONE_USER, started=False) as world:
        world.simulator.denied.add("GetCallerIdentity")
        sts, make = world.simulator.url, world.simulator
        one, two = account(tmp_path, make, "a", sts_endpoint=sts), second_key(tmp_path, make, "b", sts_endpoint=sts)
        await world.start(world.config.model_copy(update={"accounts": (one, two)}), baselined=False)
        await world.until("both are held back", lambda: len(waiting(world)) == 2)
        await asyncio.sleep(0.7)
        assert len(world.said("uid.unknown")) == 2
        assert not [call for call in world.calls() if call["action"] == "ListClientCertificate"]
        world.simulator.denied.clear()
        with pytest.raises(Fatal, match=f"accounts a and b are one user .UID {DEFAULT_USER.uid}"):
            await world.ended()


@together
async def test_an_unknown_user_waits_beside_a_known_one_which_goes_on_until_sts_tells_them_apart(
    tmp_path: Path,
) -> None:
    async with living(tmp_path, simulator=ONE_USER, started=False) as world:
        world.secrets.add(OTHER.secret)
        world.simulator.denied.add("GetCallerIdentity")
        known = account(tmp_path, world.simulator, "a", uid=DEFAULT_USER.uid)
        unknown = other(tmp_path, world.simulator, "b", sts_endpoint=world.simulator.url)
        await world.start(world.config.model_copy(update={"accounts": (known, unknown)}), baselined=False)
        await world.event("account.baselined", "a")
        assert waiting(world) == ["b"]
        assert not world.told("account.baselined", "b")
        world.simulator.denied.clear()
        await world.event("account.baselined", "b")


@together
async def test_an_unknown_user_that_has_the_only_budget_does_not_wait(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        world.simulator.denied.add("GetCallerIdentity")
        sts = world.simulator.url
        one = account(tmp_path, world.simulator, "a", sts_endpoint=sts, budget="shared")
        two = account(tmp_path, world.simulator, "b", sts_endpoint=sts, budget="shared")
        await world.start(world.config.model_copy(update={"accounts": (one, two)}))
        assert waiting(world) == []


def waiting(world: World) -> list[str]:
    """Accounts that say that they wait for STS."""
    assert world.service is not None
    told = world.service.status()["accounts"]
    return sorted(name for name, one in told.items() if "STS has not said whose key it is" in (one["reason"] or ""))


@together
async def test_one_key_under_two_budgets_is_refused_at_once_also_where_sts_is_away(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        world.simulator.denied.add("GetCallerIdentity")
        one, two = (account(tmp_path, world.simulator, name, sts_endpoint=world.simulator.url) for name in "ab")
        assert "accounts a and b are one user (the same access key or role)" in await refusal(world, one, two)
        assert not [call for call in world.calls() if call["action"] == "ListClientCertificate"]


@together_for({"one budget": {"budget": "shared"}, "one user": {}})
async def test_one_user_with_two_qps_is_refused_with_both_names(directory: Path, budget: dict[str, str]) -> None:
    async with living(directory, simulator=ONE_USER, started=False) as world:
        one = account(directory, world.simulator, "one", uid="77", qps=10, budget="shared")
        two = second_key(directory, world.simulator, "two", uid="77", qps=5, **{"budget": "shared", **budget})
        text = await refusal(world, one, two)
        assert "accounts one and two are one user" in text
        assert "`qps` is 10 for the one and 5 for the other" in text


@together
async def test_one_user_under_two_budgets_is_noticed_by_their_histories_where_sts_is_away(tmp_path: Path) -> None:
    async with living(tmp_path, simulator=ONE_USER, uid="77") as world:
        await world.stop()
        world.simulator.denied.add("GetCallerIdentity")
        here = account(tmp_path, world.simulator, sts_endpoint=world.simulator.url)
        text = await refusal(world, here, second_key(tmp_path, world.simulator, "other", uid="77"))
        assert "accounts prod and other are one user (UID 77)" in text
        assert world.said("uid.unknown")


@together
async def test_a_user_that_sts_tells_late_is_kept_with_the_history(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        world.simulator.denied.add("GetCallerIdentity")
        later = account(tmp_path, world.simulator, sts_endpoint=world.simulator.url)
        await world.start(world.config.model_copy(update={"accounts": (later,)}))
        assert "uid" not in await world.health("healthy")
        world.simulator.denied.clear()
        await world.until_said("uid.known")
        await world.stop()
        assert "UID" in await refusal(world, account(tmp_path, world.simulator, uid="77"))


def _elsewhere(same: bool) -> str:
    """A budget's name that lies in the shard of `prod`, or not."""
    return next(f"b{n}" for n in range(1000) if (shard_of(f"b{n}", 12) == shard_of("prod", 12)) is same)


@together_for({"of the same shard": True, "of another shard": False})
async def test_another_budget_is_refused_with_the_one_it_had(directory: Path, same: bool) -> None:
    async with living(directory) as world:
        await world.health("healthy")
        await world.stop()
        text = await refusal(world, account(directory, world.simulator, budget=_elsewhere(same)))
        assert "budget = 'prod'" in text
        await world.start(baselined=False)
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)


@together
async def test_another_user_under_the_same_name_is_refused(tmp_path: Path) -> None:
    async with living(tmp_path, uid="1") as world:
        await world.stop()
        text = await refusal(world, account(tmp_path, world.simulator, uid="2"))
        assert "UID 1" in text
        assert "UID 2" in text


@together
async def test_a_user_id_that_cannot_be_asked_for_is_told_and_stops_nobody(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        world.simulator.denied.add("GetCallerIdentity")
        await world.start(
            world.config.model_copy(
                update={"accounts": (account(tmp_path, world.simulator, sts_endpoint=world.simulator.url),)}
            )
        )
        assert world.said("uid.unknown")


@together
async def test_a_defect_that_one_account_meets_does_not_stop_the_other(tmp_path: Path) -> None:
    def two(simulator: Simulator) -> tuple[Account, ...]:
        return account(tmp_path, simulator), other(tmp_path, simulator)

    async with living(tmp_path, simulator=TWO_USERS, accounts=two) as world:
        assert world.service is not None
        broken = next(entry for entry in world.service.entries if entry.ledger.name == "other")
        real = broken.source.list

        async def fail(**words: object) -> object:
            raise RuntimeError("a defect of ours")

        broken.source.list = fail  # type: ignore[method-assign, assignment]
        told = await world.until_said("account.failed")
        assert getattr(told, "account", None) == "other"
        issued = world.simulator.issue()
        await world.event("certificate.new", issued)
        assert [one["data"]["account"] for one in world.told("certificate.new", issued)] == ["prod"]
        broken.source.list = real  # type: ignore[method-assign]
        await world.event("certificate.new", issued, count=2)
