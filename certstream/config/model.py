"""What can be configured: keys, defaults, what is allowed, what contradicts what.

Secrets are never in it, only the names of the files that hold them; so a `Config` can be printed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from certstream.config.values import (
    LIMITER_ALLOWED,
    NAME,
    NAME_ALLOWED,
    PREFIX,
    URL_ALLOWED,
    Boolean,
    Count,
    Endpoint,
    JournalUrl,
    Limiter,
    Listen,
    Name,
    Proxy,
    Registry,
    Role,
    Seconds,
    Thresholds,
    Url,
    is_loopback,
    setting,
)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True)


class Credentials(Section):
    """Where an account's credentials come from; nothing set: the chain that the official SDK and CLI use."""

    profile: str = setting("", "the name of a profile", "a profile of `~/.aliyun/config.json`")
    role_arn: Role = setting("", "acs:ram::UID:role/NAME", "a role to be assumed with what the chain finds")
    external_id: str = setting("", "text; only with role_arn", "given when the role is assumed")
    access_key_id: str = setting("", "an access key id; only with access_key_secret_file", "a fixed access key")
    access_key_secret_file: str = setting("", "a path; only with access_key_id", "the file that holds its secret")

    @model_validator(mode="after")
    def _one_way(self) -> Credentials:
        given = [key for key in ("profile", "role_arn", "access_key_id") if getattr(self, key)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} contradict each other; use one of them")
        if self.external_id and not self.role_arn:
            raise ValueError("external_id needs role_arn")
        if bool(self.access_key_id) != bool(self.access_key_secret_file):
            raise ValueError("access_key_id and access_key_secret_file belong together; one of them is missing")
        return self


class Account(Section):
    """One `[[accounts]]`: a user's certificates, seen through one endpoint and perhaps one resource group."""

    name: Name = setting("default", NAME_ALLOWED, "its name in every event, for ever: a renamed account is a new one")
    endpoint: Endpoint = setting(
        "https://cas.aliyuncs.com", URL_ALLOWED, "the Certificate Management Service that is polled"
    )
    qps: Count = setting(10, "1 to 10", "calls a second at most; lower it to leave room for other tools", ge=1, le=10)
    page_size: Count = setting(100, "1 to 1000", "rows asked for in a call (`ShowSize`)", ge=1, le=1000)
    sweep_every: Seconds = setting("5m", "0s to 1d", "from one sweep's begin to the next; 0s: no pause", ge=0, le=86400)
    probe_every: Seconds = setting("5s", "0.1s to 1h", "how often, at most, the rows are counted", ge=0.1, le=3600)
    revocations: Boolean = setting(
        True, "true or false", "probe `ListRevokeCertificate` too, where the key may: what is revoked is seen sooner"
    )
    staleness: Seconds = setting("30s", "0s to 1m", "how far the service's replicas may lag", ge=0, le=60)
    resource_group: str = setting("", "the id of a resource group", "that group only")
    budget: str = setting("", NAME_ALLOWED, "who shares the ten calls a second; entries of one user name the same")
    uid: str = setting("", "digits", "the user's UID; empty: asked of STS", pattern=r"^[0-9]*$")
    sts_endpoint: Url = setting(
        "", URL_ALLOWED, "where the UID is asked for; empty: Alibaba's, if endpoint is Alibaba's"
    )
    proxy: Proxy = setting("", "http://host:port, without a password", "an HTTP proxy")
    ca_file: str = setting("", "a path", "certificates (PEM) that are trusted instead of the system's")
    insecure: Boolean = setting(
        False, "true or false", "allow http:// beyond loopback: for tests, never for real credentials"
    )
    credentials: Credentials = Field(Credentials(), description="absent: the chain")

    @model_validator(mode="before")
    @classmethod
    def _budget_defaults_to_name(cls, data: Any) -> Any:
        name = data.get("name", "default") if isinstance(data, dict) else None
        return {**data, "budget": name} if isinstance(name, str) and data.get("budget", "") == "" else data

    @model_validator(mode="after")
    def _consistent(self) -> Account:
        if not NAME.fullmatch(self.budget):
            raise ValueError(f"budget: {self.budget!r} is not allowed; {NAME_ALLOWED}")
        for key in ("endpoint", "sts_endpoint"):
            url = urlsplit(getattr(self, key))
            if url.scheme == "http" and not self.insecure and not is_loopback(url.hostname or ""):
                raise ValueError(f"{key}: {url.geturl()!r} is not allowed; {URL_ALLOWED}")
        return self


class Http(Section):
    """`[http]`: health, metrics."""

    listen: Listen = setting(
        "127.0.0.1:8080", 'host:port, or "" for off', "another address than loopback needs token_file"
    )
    token_file: str = setting(
        "", "a path", "the file that holds the token which callers must show (`Authorization: Bearer …`)"
    )

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, None where it is off."""
        parts = urlsplit(f"//{self.listen}")
        return (parts.hostname or "", parts.port or 0) if self.listen else None

    @model_validator(mode="after")
    def _guarded(self) -> Http:
        if self.address and not is_loopback(self.address[0]) and not self.token_file:
            raise ValueError(f"listen = {self.listen!r} can be reached from other hosts; it needs token_file")
        return self


class Kafka(Section):
    """`[kafka]`: how the brokers are reached. Certificates are checked, host names too, always."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = setting(
        "PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", "what the listener speaks"
    )
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = setting(
        "", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", "with SASL_…: how the password is shown"
    )
    username: str = setting("", "text; only with SASL_…", "who logs in")
    password_file: str = setting("", "a path; only with SASL_…", "the file that holds the password")
    ca_file: str = setting("", "a path; only with …SSL", "certificates (PEM) that are trusted instead of the system's")
    cert_file: str = setting("", "a path; only with …SSL and key_file", "a client certificate (PEM)")
    key_file: str = setting("", "a path; only with …SSL and cert_file", "its key (PEM)")
    replicas: Count = setting(
        0, "1 or more; 0: the broker's default", "copies of each topic, when certstream makes it", ge=0, le=32767
    )
    transactional_id_prefix: str = setting(
        "",
        "1 to 200 of A-Z a-z 0-9 . _ -",
        "names the writer of a shard; empty: topic_prefix",
        pattern=r"^[A-Za-z0-9._-]{0,200}$",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Kafka:
        sasl, tls = "SASL" in self.security_protocol, "SSL" in self.security_protocol
        wanted = {"sasl_mechanism": sasl, "username": sasl, "password_file": sasl}
        problems = [f"{key} is missing" for key, needed in wanted.items() if needed and not getattr(self, key)]
        given = [key for key in wanted if not sasl and getattr(self, key)]
        given += [key for key in ("ca_file", "cert_file", "key_file") if not tls and getattr(self, key)]
        problems += [f"{key} contradicts it" for key in given]
        if problems:
            raise ValueError(f"security_protocol is {self.security_protocol}: {', '.join(problems)}")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together; one of them is missing")
        return self


def default_journal(environ: Mapping[str, str]) -> str:
    """The embedded journal in the user's state directory (XDG Base Directory Specification)."""
    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".local" / "state")
    return f"sqlite://{state}/certstream/journal.db"


class Config(Section):
    """All of it. Built by `load`, or directly in tests and by `demo`."""

    journal: JournalUrl = Field(
        default_factory=lambda: default_journal(os.environ),
        description="where events are committed; default: in the user's state directory",
        json_schema_extra={"allowed": "kafka://host:port[,host:port] or sqlite:///path/journal.db"},
    )
    topic_prefix: str = setting(
        "certstream.",
        "up to 100 of A-Z a-z 0-9 . _ -",
        "before the name of each topic",
        pattern=PREFIX,
    )
    registry: Registry = setting(
        "",
        "http(s)://host[:port][/path], without a password; only with kafka://",
        "a schema registry with Confluent's API, where the schemas of the topics are registered",
    )
    thresholds: Thresholds = setting(
        ["60d", "30d", "14d", "7d", "3d", "1d"],
        'a list of durations (s m h d) or parts of the lifetime: ["30d", "33%"]',
        "when `expiring` is told, before notAfter",
    )
    pem: Boolean = setting(True, "true or false", "false: keep and publish only the SHA-256 of a certificate")
    lock_dir: str = setting(
        "",
        "a path; empty: /dev/shm, else /tmp",
        "where processes of this host see who makes a user's calls; the same for all of them",
    )
    limiter: Limiter = setting(
        "", LIMITER_ALLOWED, "the Redis through which several hosts share users' calls; empty: this process alone"
    )
    limiter_password_file: str = setting("", "a path; only with limiter", "the file that holds the password of Redis")
    limiter_ca_file: str = setting(
        "", "a path; only with rediss://", "certificates (PEM) that are trusted instead of the system's"
    )
    http: Http = Field(Http())
    accounts: tuple[Account, ...] = Field((Account(),))
    kafka: Kafka = Field(Kafka())

    @property
    def brokers(self) -> tuple[str, ...]:
        """`host:port` of each broker; empty where the journal is SQLite."""
        return tuple(self.journal.removeprefix("kafka://").split(",")) if self.journal.startswith("kafka:") else ()

    @property
    def journal_path(self) -> Path | None:
        """The embedded journal's file; None where the journal is Kafka."""
        return None if self.brokers else Path("/" + self.journal.removeprefix("sqlite://").lstrip("/"))

    @model_validator(mode="before")
    @classmethod
    def _prefix_of_transactions(cls, data: Any) -> Any:
        """Two installations on one cluster differ in topic_prefix; under one id they would fence each other."""
        kafka = data.get("kafka", {}) if isinstance(data, dict) else None
        if isinstance(kafka, Kafka):
            kafka = kafka.model_dump()
        prefix = str(data.get("topic_prefix", "certstream.")) if isinstance(data, dict) else ""
        good = re.fullmatch(PREFIX, prefix) is not None
        if isinstance(kafka, dict) and good and kafka.get("transactional_id_prefix", "") == "":
            return {**data, "kafka": {**kafka, "transactional_id_prefix": prefix.rstrip(".-_") or "certstream"}}
        return data

    @model_validator(mode="after")
    def _files_of_the_limiter(self) -> Config:
        if self.limiter_password_file and not self.limiter:
            raise ValueError("limiter_password_file: it needs limiter")
        if self.limiter_ca_file and not self.limiter.startswith("rediss:"):
            raise ValueError("limiter_ca_file: it needs a limiter that is rediss://…")
        return self

    @model_validator(mode="after")
    def _registry_of_kafka(self) -> Config:
        if self.registry and not self.brokers:
            raise ValueError(f"registry: it needs a journal that is kafka://…, not {self.journal}")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Config:
        names = [account.name for account in self.accounts]
        for n, name in enumerate(names):
            if name in names[:n]:
                raise ValueError(f"accounts[{n}].name: {name!r} is there twice; each account has a name of its own")
        if not names:
            raise ValueError("accounts: it is empty; leave it out for one account from the credentials chain")
        return self
