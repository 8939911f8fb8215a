"""The only place that builds adapters and hands them to services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from certstream.config import Account, Config
from certstream.core.anchor import Anchor
from certstream.core.ledger import Ledger, Settings
from certstream.journal.kafka import KafkaJournal
from certstream.journal.kafka_config import KafkaConfig
from certstream.journal.sqlite import SqliteJournal
from certstream.ports import Journal, Source
from certstream.service import supervisor
from certstream.service.clock import Clock
from certstream.service.metrics import Metrics
from certstream.service.opening import Entry, Ownership
from certstream.service.poller import Pace
from certstream.service.supervisor import Supervisor
from certstream.source.cas import CasSource
from certstream.source.claim import Claim, both
from certstream.source.credentials import Credentials, find
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


def build_journal(config: Config) -> Journal:
    """The journal that the configuration names; not started."""
    if config.journal_path is not None:
        return SqliteJournal(config.journal_path, prefix=config.topic_prefix)
    return KafkaJournal(kafka_config(config))


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
    return Locks(folder, boot=clock.boot, patience=supervisor.TAKE_OVER)


def build_claim(account: Account, locks: Locks | None) -> Claim:
    """An account's claim to its user's calls; the credentials that its source is to use."""
    return Claim(
        build_credentials(account),
        endpoint=account.endpoint,
        role=account.credentials.role_arn or None,
        uid=account.uid or None,
        locks=locks,
    )


def build_source(account: Account, claim: Claim, ownership: Ownership | None = None) -> CasSource:
    """An account's API client. Raises Fatal for an endpoint, proxy or file that cannot be used."""
    return CasSource(
        endpoint=account.endpoint,
        credentials=claim,
        resource_group=account.resource_group or None,
        guard=both(ownership, claim.check) if ownership is not None else claim.check,
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
) -> Supervisor:
    """The service, ready to run. `clock`, `journal` and `source` are what a simulation puts in their places."""
    clock = clock if clock is not None else Clock()
    locks = build_locks(config, clock)  # a simulated source claims nothing
    return Supervisor(
        journal=journal if journal is not None else build_journal(config),
        entries=[_entry(config, account, clock, source, locks) for account in config.accounts],
        clock=clock,
        metrics=Metrics(),
        release=locks.release,
    )


def _entry(
    config: Config,
    account: Account,
    clock: Clock,
    source: Callable[[Account, Ownership], Source] | None,
    locks: Locks,
) -> Entry:
    ownership = Ownership(clock)
    settings = Settings(
        account=account.name,
        budget=account.budget,
        thresholds=config.thresholds,
        keep_pem=config.pem,
        staleness=account.staleness,
        grouped=bool(account.resource_group),
    )
    claim, made = None, source(account, ownership) if source is not None else None
    if made is None:
        claim = build_claim(account, locks)
        made = build_source(account, claim, ownership)
    return Entry(
        ledger=Ledger(settings, Anchor(boot=clock.boot())),
        source=made,
        ownership=ownership,
        pace=Pace(page_size=account.page_size, sweep_every=account.sweep_every, probe_every=account.probe_every),
        qps=account.qps,
        uid=account.uid or None,
        claim=claim,
    )
