"""What `check` tries. Each trial gives the text of a good line, or raises an error that says what to do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from certstream.cli.exits import leaves, ours
from certstream.cli.running import make_folder
from certstream.cli.steady import steady
from certstream.cli.topics import differences_of, kafka_settings
from certstream.config import Account, Config
from certstream.core.answers import Answer, Forbidden
from certstream.core.errors import CertstreamError, Fatal
from certstream.core.sharding import refuse_two_budgets
from certstream.core.wire import STATE, Put
from certstream.ports import Limiter, Source
from certstream.service.budget import Budget, Urgency

if TYPE_CHECKING:
    from certstream.source.credentials import Credentials

PATIENCE = 60.0
"""Seconds for one trial; each has shorter deadlines of its own."""
SKEW = 5.0
"""Seconds that a clock may be off: the API refuses at 15 minutes, thresholds are told that much too early or late."""


_ALIBABAS = "not set, so it is Alibaba's"


class CheckLine(NamedTuple):
    """One thing that was tried. `text`: what was found, or what to do."""

    name: str
    ok: bool
    text: str


class InUse(Exception):
    """Another process writes the embedded journal: nothing is wrong with it."""

    def __init__(self, process: str) -> None:
        super().__init__(process)
        self.process = process


async def tried(name: str, trial: Awaitable[str]) -> CheckLine:
    """The line of one trial."""
    try:
        async with asyncio.timeout(PATIENCE):
            return CheckLine(name, True, await trial)
    except TimeoutError:
        return CheckLine(name, False, f"no answer within {PATIENCE:g} s")
    except (CertstreamError, ExceptionGroup) as error:
        if not ours(error):
            raise
        return CheckLine(name, False, "; ".join(str(one) for one in leaves(error)))


async def schemas() -> str:
    """The files of `schemas/`: a service does not start with one that is broken or contradicts itself."""
    from certstream.definition import check_schemas, schema_names, topics

    check_schemas()
    return f"{len(topics())} topics and {len(schema_names())} messages are defined"


async def topics(config: Config) -> str:
    """The cluster's topics beside their definition."""
    differences = await differences_of(config)
    if not differences:
        return f"as defined, with the prefix {config.topic_prefix}"
    shown = [str(one) for one in differences[:3]]
    shown += [f"and {len(differences) - 3} more"] if len(differences) > 3 else []
    mend = "; mend it with: certstream topics apply" if any(one.mendable for one in differences) else ""
    raise Fatal("; ".join(shown) + mend)


async def registry(config: Config) -> str:
    """The schema registry: is it there, and would it take the schemas?"""
    from certstream.app import schemas_of
    from certstream.registry.client import Registry

    missing = await Registry(config.registry).look(schemas_of(config))
    told = f"{missing} schemas would be registered" if missing else "all schemas are registered"
    return f"{config.registry}: {told}"


async def kafka(config: Config) -> str:
    """A transaction and a fence under an id of its own, so that a running service notices nothing: what is written is
    the tombstone of a key that nobody has."""
    from certstream.app import build_journal
    from certstream.journal.kafka_producer import Producer, is_fence

    journal = build_journal(config)
    try:
        await journal.start()  # its errors say best what is wrong with a connection
    finally:
        await journal.close()
    settings = kafka_settings(config)
    scratch = replace(settings, transactional_prefix=f"{settings.transactional_prefix}-check")
    put = Put(STATE, b"~check", None)
    producers: list[Producer] = []
    try:
        for _ in range(2):
            producers.append(await Producer.fence(scratch, 0))
            await producers[-1].transact([put])
        try:
            await producers[0].transact([put])
        except Exception as error:
            if not is_fence(error):
                raise
        else:
            raise Fatal("a writer that was fenced could still commit: this broker's transactions are not what they say")
    except CertstreamError:
        raise
    except Exception as error:
        mend = "this user needs Write on the topics, and Write and Describe on the transactional ids"
        raise Fatal(f"a transaction fails: {error or type(error).__name__}; {mend}") from error
    finally:
        for producer in producers:
            await producer.drop()
    return f"Kafka at {', '.join(config.brokers)}: a transaction was committed, and an older writer was fenced"


_WRITER = re.compile(r"is being written by process (\w+)")


async def sqlite(config: Config) -> str:
    """A shard is opened and owned as `run` does it; without a journal yet, in a file beside it. Raises InUse."""
    from certstream.app import build_journal

    path = config.journal_path
    assert path is not None
    make_folder(config)
    new = not path.exists()
    journal = build_journal(config.model_copy(update={"journal": f"sqlite://{path}.check"}) if new else config)
    try:
        await journal.start()
        # Any shard will do, for the lock is the file's: the last one rarely has an owner.
        shard = await journal.open(journal.partitions - 1, lambda key, value: None)
        before = shard.opened
        await shard.verify()
        await shard.close(release=before.released or not before.previous)
    except Fatal as error:
        writer = _WRITER.search(str(error))
        if writer is None:
            raise
        raise InUse(writer[1]) from error
    finally:
        await journal.close()
        if new:
            for left in path.parent.glob(f"{path.name}.check*"):
                left.unlink()
    return f"{path}: " + ("can be made, locked and written" if new else "was locked, and a transaction committed")


async def limiter(slots: Iterable[Limiter]) -> str:
    """Whether Redis answers scripts. Takes no slot."""
    for one in slots:
        await one.answers()
    return "Redis answers; each call is made in a slot of its user that it gives"


async def credentials(account: Account, keys: Credentials) -> str:
    """Whether there are any; whose they are comes after."""
    url = account.sts_endpoint or _ALIBABAS
    key = await steady(keys.current, **{"key": "sts_endpoint", "url": url} if account.credentials.role_arn else {})
    return f"access key {key.key_id[:4]}…{key.key_id[-4:]} was found"


async def user(account: Account, source: Source, users: dict[str, str]) -> str:
    """Whose the key is, as STS says; kept in `users`."""
    uid = await steady(source.uid, key="sts_endpoint", url=account.sts_endpoint or _ALIBABAS)
    if uid is None:
        return "whose key it is, is not asked here: no sts_endpoint"
    if account.uid and uid != account.uid:
        raise Fatal(f"the key belongs to user {uid}, but `uid` says {account.uid}: mend one of them")
    users[account.name] = uid
    return f"the key belongs to user {uid}"


async def budgets(accounts: Iterable[Account], users: Mapping[str, str], *, limiter: bool) -> str:
    """`run` refuses one user under two budgets, or with two `qps`. `users`: account to UID, as far as known."""
    refuse_two_budgets(
        ((one.name, one.budget, one.qps, users.get(one.name), None) for one in accounts), limiter=limiter
    )
    return f"accounts of one user share {'its calls' if limiter else 'a budget'}, as far as users are known"


async def listing(account: Account, source: Source, budget: Budget) -> str:
    """One call, in a slot: signature, permission, endpoint, page size, clock."""

    def ask() -> Awaitable[Answer]:
        return budget.call(Urgency.PROBE, lambda: source.list(page=1, size=account.page_size))

    answer = await steady(ask, key="endpoint", url=account.endpoint)
    trip = answer.received - answer.sent
    text = f"{account.endpoint} lists {answer.page.total} certificates, in {trip * 1000:.0f} ms"
    if answer.page.size is not None and answer.page.size < account.page_size:
        text += f"; it gives {answer.page.size} a page at most, which is noticed and used"
    skew = 0.0 if answer.date is None else (answer.received_at - answer.date) / 1000
    if abs(skew) > SKEW:
        late = "ahead of" if skew > 0 else "behind"
        raise Fatal(
            f"{text}; but this host's clock is {abs(skew):.0f} s {late} the service's: set it, for example by NTP"
        )
    return text


async def revocations(account: Account, source: Source, budget: Budget) -> str:
    """One call, in a slot: may the list of the revoked be read? It need not be. Raises Fatal where it cannot be."""

    def ask() -> Awaitable[Answer]:
        return budget.call(Urgency.PROBE, lambda: source.revoked(page=1, size=account.page_size))

    off = "set revocations = false not to ask for it"
    try:
        answer = await steady(ask, key="endpoint", url=account.endpoint)
    except Forbidden as error:
        return f"seen by sweeps alone, for the list of the revoked may not be read: {error}; or {off}"
    except CertstreamError as error:
        raise Fatal(f"seen by sweeps alone, for the list of the revoked cannot be read: {error}; or {off}") from error
    return f"{account.endpoint} lists {answer.page.total} that are revoked: new ones are seen by that"
