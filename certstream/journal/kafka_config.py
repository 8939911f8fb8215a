"""How to reach Kafka: the settings, and what they become for aiokafka. Secrets are read when a connection is made."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context

from certstream.core.errors import Fatal

REQUEST_TIMEOUT_MS = 5_000
RETRY_BACKOFF_MS = 50
MAX_BATCH_BYTES = 1 << 20
"""Rule 8: not above the topics' `max.message.bytes`, which limits a batch; Kafka's default is 1 MiB + 12."""


@dataclass(frozen=True, slots=True)
class Clients:
    """What makes the clients: aiokafka, or the simulation in its place."""

    producer: Callable[..., Any] = AIOKafkaProducer
    consumer: Callable[..., Any] = AIOKafkaConsumer
    admin: Callable[..., Any] = AIOKafkaAdminClient


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    """Where Kafka is and how to talk to it.

    `transactional_prefix`: shard n writes with the transactional id `<transactional_prefix>-<n>` (rule 4), empty means
    `prefix`; every worker of one service has the same. `instance` names this process in ownership rows (default: host
    and process id). `replicas` is for whoever creates topics: None leaves it to the broker. `commit_timeout`, in
    seconds, bounds a whole transaction, `start_timeout` the opening of a connection or producer, and how long a restore
    may bring nothing; `close_timeout` each step of a shutdown. The password is only ever read from `password_file`,
    each time a connection is made, and kept nowhere here. `value_headers`, by logical topic, go with every value that
    is written there (the id of its schema); they may become known while the journal is in use.
    """

    bootstrap: str
    prefix: str = "certstream."
    transactional_prefix: str = ""
    instance: str | None = None
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    replicas: int | None = None
    commit_timeout: float = 15.0
    start_timeout: float = 30.0
    close_timeout: float = 3.0
    clients: Clients = Clients()
    value_headers: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)

    def topic(self, name: str) -> str:
        """The topic's name at the broker: `events` → `certstream.events`."""
        return self.prefix + name

    def logical(self, name: str) -> str:
        """The topic's name here: `certstream.events` → `events`."""
        return name.removeprefix(self.prefix)

    def transactional_id(self, shard: int) -> str:
        """Rule 4: one per shard, the same for every owner, so that opening fences the one before."""
        return f"{self.transactional_prefix or self.prefix}-{shard}"

    def client_options(self) -> dict[str, Any]:
        """Arguments that every aiokafka client takes. Fatal when a file cannot be read or used."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "client_id": "certstream",
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "retry_backoff_ms": RETRY_BACKOFF_MS,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._ssl_context()
        if self.security_protocol.startswith("SASL"):
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.username
            options["sasl_plain_password"] = self._password()
        return options

    def _password(self) -> str:
        if self.username is None or self.password_file is None:
            raise Fatal(f"kafka: {self.security_protocol} needs username and password_file")
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Fatal(f"kafka: password_file cannot be read: {error}") from error

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context: ssl.SSLContext = create_ssl_context(
                cafile=self.ca_file, certfile=self.cert_file, keyfile=self.key_file
            )
            return context
        except (OSError, ssl.SSLError, ValueError) as error:
            raise Fatal(f"kafka: ca_file, cert_file or key_file cannot be used: {error}") from error
