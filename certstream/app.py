"""The only place that builds adapters and hands them to services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from certstream.config import Account, Config
from certstream.core.anchor import Anchor
from certstream.core.errors import Fatal
from certstream.core.ledger import Ledger, Settings
from certstream.definition import check_schemas, topics
from certstream.definition.bundle import of_topic
from certstream.journal.kafka import KafkaJournal
from certstream.journal.kafka_config import KafkaConfig
from certstream.journal.sqlite import SqliteJournal
from certstream.journal.topics import plan
from certstream.ports import Journal, Limiter, Source
from certstream.registry.client import VALUE_SCHEMA_ID, Registry
from certstream.service import drift, group
from certstream.service.budget import permitted
from certstream.service.clock import Clock
from certstream.service.metrics import Metrics
from certstream.service.opening import Entry, Ownership
from certstream.service.probing import Pace
from certstream.service.registration import Registration
from certstream.service.supervisor import Supervisor
from certstream.source.cas import CasSource
from certstream.source.claim import Claim, both
from certstream.source.credentials import Credentials, find
from certstream.source.endpoint import trust
from certstream.source.locks import Locks, default_folder


def kafka_config(config: Config) -> KafkaConfig:
    """What the Kafka adapters need to know."""
    kafka = config.kafka

    def file(name: str) -> Path | None:
        return Path(name) if name else None

    return KafkaConfig(
        bootstrap=",".join(config.brokers),
        prefix=config.topic_prefix,
        transactional_prefix=kafka.transactional_id_prefix,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism or "SCRAM-SHA-512",
        username=kafka.username or None,
        password_file=file(kafka.password_file),
        ca_file=file(kafka.ca_file),
        cert_file=file(kafka.cert_file),
        key_file=file(kafka.key_file),
        replicas=kafka.replicas or None,
    )


def build_journal(config: Config, value_headers: Mapping[str, tuple[str, bytes]] | None = None) -> Journal:
    """The journal that the configuration names; not started. `value_headers`: see KafkaConfig."""
    if config.journal_path is not None:
        return SqliteJournal(config.journal_path, prefix=config.topic_prefix)
    return KafkaJournal(replace(kafka_config(config), value_headers={} if value_headers is None else value_headers))


def build_credentials(account: Account) -> Credentials:
    """Where an account's key comes from; not asked yet."""
    keys = account.credentials
    return find(
        access_key_id=keys.access_key_id or None,
        access_key_secret_file=keys.access_key_secret_file or None,
        profile=keys.profile or None,
        role_arn=keys.role_arn or None,
        external_id=keys.external_id or None,
        sts_endpoint=account.sts_endpoint or None,
    )


def build_locks(config: Config, clock: Clock) -> Locks:
    """The lock files of this process: one process on a host makes a user's calls."""
    folder = Path(config.lock_dir) if config.lock_dir else default_folder()
    return Locks(folder, boot=clock.boot, patience=group.TAKE_OVER)


def build_limiters(config: Config, clock: Clock) -> dict[str, Limiter]:
    """By budget; none where the configuration names no limiter. Raises Fatal for a file that cannot be used."""
    limiters: dict[str, Limiter] = {}
    for account in config.accounts:
        add_limiter(limiters, config, account, clock)
    return limiters


def add_limiter(limiters: dict[str, Limiter], config: Config, account: Account, clock: Clock) -> Limiter | None:
    """The one of an account's budget, made if it is not there yet. Raises Fatal for a file that cannot be used."""
    if config.limiter and account.budget not in limiters:
        from certstream.limiter.redis import RedisSlots  # half of those who start need no Redis

        password = None
        if config.limiter_password_file:
            try:
                password = Path(config.limiter_password_file).read_text("utf-8").strip()
            except (OSError, UnicodeError) as error:
                raise Fatal(f"limiter_password_file: {config.limiter_password_file} cannot be read: {error}") from None
        ca_file = config.limiter_ca_file
        context = trust(ca_file, key="limiter_ca_file") if ca_file else None
        limiters[account.budget] = RedisSlots(
            config.limiter, account.qps, password=password, context=context, clock=clock.boot
        )
    return limiters.get(account.budget)


def build_claim(account: Account, locks: Locks | None, limiter: Limiter | None = None) -> Claim:
    """An account's claim to its user's calls; the credentials that its source is to use. Where there is a limiter it
    stands for the locks: processes of one host share by it, too."""
    return Claim(
        build_credentials(account),
        budget=account.budget,
        endpoint=account.endpoint,
        role=account.credentials.role_arn or None,
        uid=account.uid or None,
        locks=locks if limiter is None else None,
    )


def build_source(account: Account, claim: Claim, ownership: Ownership | None = None) -> CasSource:
    """An account's API client. Raises Fatal for an endpoint, proxy or file that cannot be used."""
    return CasSource(
        endpoint=account.endpoint,
        credentials=claim,
        resource_group=account.resource_group or None,
        guard=both(*([ownership] if ownership is not None else []), claim.check, permitted),
        proxy=account.proxy or None,
        trust_env=True,
        ca_file=account.ca_file or None,
        insecure=account.insecure,
        sts_endpoint=account.sts_endpoint or None,
    )


def build(
    config: Config,
    *,
    clock: Clock | None = None,
    journal: Journal | None = None,
    source: Callable[[Account, Ownership], Source] | None = None,
    locks: Locks | None = None,
    limiters: dict[str, Limiter] | None = None,
) -> Supervisor:
    """The service, ready to run. `clock`, `journal` and `source` are what a simulation puts in their places; `locks`
    and `limiters` (by budget) are given where accounts come later.

    Raises Fatal for a file of `schemas/` that is broken or contradicts itself, with its line.
    """
    clock = clock if clock is not None else Clock()
    metrics = Metrics()
    topics()
    check_schemas()
    known: dict[str, tuple[str, bytes]] = {}
    beside = [partial(drift.watch, partial(_differences, config), metrics)] if config.brokers and not journal else []
    locks = locks if locks is not None else build_locks(config, clock)
    limiters = limiters if limiters is not None else {}
    return Supervisor(
        journal=journal if journal is not None else build_journal(config, known),
        entries=[entry(config, account, clock, locks, limiters, source) for account in config.accounts],
        clock=clock,
        metrics=metrics,
        release=locks.release,
        beside=beside,
        registration=Registration(partial(_register, config, known)) if config.registry else None,
    )


def schemas_of(config: Config) -> dict[str, dict[str, Any]]:
    """What a registry holds of each topic, by the topic's name at the broker."""
    held = {config.topic_prefix + topic.name: of_topic(topic.name) for topic in topics()}
    return {topic: schema for topic, schema in held.items() if schema is not None}


async def _register(config: Config, known: dict[str, tuple[str, bytes]]) -> None:
    """Raises RegistryAway, RegistryRefused."""
    ids = await Registry(config.registry).register(schemas_of(config))
    prefix = config.topic_prefix
    known |= {topic.removeprefix(prefix): (VALUE_SCHEMA_ID, value) for topic, value in ids.items()}


async def _differences(config: Config) -> list[drift.Drift]:
    """Where the cluster's topics are not as defined. Raises JournalAway, Fatal: a right is missing."""
    options, replicas = kafka_config(config).client_options(), config.kafka.replicas
    found = await plan(options, topics(), prefix=config.topic_prefix, replicas=replicas)
    return [drift.Drift(str(one), one.mendable) for one in found]


def settings(config: Config, account: Account) -> Settings:
    """What the decisions about an account need of the configuration."""
    return Settings(
        account=account.name,
        budget=account.budget,
        thresholds=config.thresholds,
        keep_pem=config.pem,
        staleness=account.staleness,
        grouped=bool(account.resource_group),
    )


def pace(account: Account) -> Pace:
    """How often an account is polled."""
    return Pace(
        page_size=account.page_size,
        sweep_every=account.sweep_every,
        probe_every=account.probe_every,
        revocations=account.revocations,
    )


def entry(
    config: Config,
    account: Account,
    clock: Clock,
    locks: Locks,
    limiters: dict[str, Limiter],
    source: Callable[[Account, Ownership], Source] | None = None,
) -> Entry:
    """An account, ready to be opened. `source`: what a simulation puts in its place, which claims nothing. Raises Fatal
    as `build_source`."""
    ownership, limiter = Ownership(clock), add_limiter(limiters, config, account, clock)
    claim, made = None, source(account, ownership) if source is not None else None
    if made is None:
        claim = build_claim(account, locks, limiter)
        made = build_source(account, claim, ownership)
    return Entry(
        ledger=Ledger(settings(config, account), Anchor(boot=clock.boot())),
        source=made,
        ownership=ownership,
        pace=pace(account),
        qps=account.qps,
        uid=account.uid or None,
        claim=claim,
        limiter=limiter,
    )
