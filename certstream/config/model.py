"""What can be configured: keys, defaults, what is allowed, what contradicts what.

Secrets are never in it, only the names of the files that hold them; so a `Config` can be printed.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from certstream.core.times import Threshold, seconds, thresholds

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_PREFIX = r"^[A-Za-z0-9._-]{0,100}$"
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.%]+")
_ROLE = re.compile(r"acs:ram::[0-9]+:role/[^\s/]\S*")
_BROKER = r"(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.%]+\]):[0-9]{1,5}"
_BROKERS = re.compile(rf"kafka://{_BROKER}(?:,{_BROKER})*")


# --- Values ----------------------------------------------------------------------------------------------------------


def _key(default: Any, allowed: str, meaning: str, **bounds: Any) -> Any:
    """A key: its default, what is allowed (told with every refusal), what it means (for docs/configuration.md)."""
    return Field(
        default,
        validate_default=True,
        description=meaning,
        json_schema_extra={"allowed": allowed},
        **bounds,
    )


def _duration(value: Any) -> Any:
    return seconds(value) if isinstance(value, str) else _no_boolean(value)


def _boolean(value: Any) -> Any:
    if not isinstance(value, bool):  # pydantic would take "yes" and 1
        raise ValueError
    return value


def _thresholds(value: Any) -> Any:
    if isinstance(value, str):  # from the environment
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return thresholds(value)
    if isinstance(value, tuple) and all(isinstance(one, Threshold) for one in value):
        return value
    raise ValueError


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError
    return value


def _matches(pattern: re.Pattern[str]) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError
        return value

    return AfterValidator(check)


def is_loopback(host: str) -> bool:
    """Whether only this host can reach it: 127.0.0.0/8, ::1, `localhost`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_url(value: str) -> str:
    parts = urlsplit(value)
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if value and (parts.scheme not in ("https", "http") or not _HOST.fullmatch(parts.hostname or "") or extra):
        raise ValueError
    if _port(value) in (-1, 0):
        raise ValueError
    return value.rstrip("/")


def _is_proxy(value: str) -> str:
    if value and (urlsplit(value).scheme not in ("https", "http") or not urlsplit(value).hostname):
        raise ValueError
    if _port(value) in (-1, 0):
        raise ValueError
    if "@" in value:
        raise ValueError("a user or password does not belong into this file")
    return value


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return -1


def _is_listen(value: str) -> str:
    port = _port(f"//{value}")
    if value and (port is None or not 0 <= port <= 65535 or not urlsplit(f"//{value}").hostname):
        raise ValueError
    return value


def _is_endpoint(value: str) -> str:
    if not value:
        raise ValueError
    return _is_url(value)


def _is_role(value: str) -> str:
    if value and not _ROLE.fullmatch(value):
        raise ValueError
    return value


def _is_journal(value: str) -> str:
    ports = [int(broker.rpartition(":")[2]) for broker in value.split(",")] if _BROKERS.fullmatch(value) else []
    if (ports and all(1 <= port <= 65535 for port in ports)) or (
        value.startswith("sqlite:///") and value.strip("/") != "sqlite:" and value.isprintable()
    ):
        return value
    raise ValueError


Seconds = Annotated[float, BeforeValidator(_duration)]
Count = Annotated[int, BeforeValidator(_no_boolean)]
Name = Annotated[str, _matches(_NAME)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
Url = Annotated[str, AfterValidator(_is_url)]
Endpoint = Annotated[str, AfterValidator(_is_endpoint)]
NAME_ALLOWED = "1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit"
FILES = frozenset({"token_file", "password_file", "ca_file", "cert_file", "key_file", "access_key_secret_file"})
"""Keys that name a file: relative to the configuration's directory."""
URL_ALLOWED = "https://host[:port]; http:// on loopback only, or with insecure = true"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True)


# --- Sections --------------------------------------------------------------------------------------------------------


class Credentials(Section):
    """Where an account's credentials come from; nothing set: the chain that the official SDK and CLI use."""

    profile: str = _key("", "the name of a profile", "a profile of `~/.aliyun/config.json`")
    role_arn: Annotated[str, AfterValidator(_is_role)] = _key(
        "", "acs:ram::UID:role/NAME", "a role to be assumed with what the chain finds"
    )
    external_id: str = _key("", "text; only with role_arn", "given when the role is assumed")
    access_key_id: str = _key("", "an access key id; only with access_key_secret_file", "a fixed access key")
    access_key_secret_file: str = _key("", "a path; only with access_key_id", "the file that holds its secret")

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

    name: Name = _key("default", NAME_ALLOWED, "its name in every event, for ever: a renamed account is a new one")
    endpoint: Endpoint = _key(
        "https://cas.aliyuncs.com", URL_ALLOWED, "the Certificate Management Service that is polled"
    )
    qps: Count = _key(10, "1 to 10", "calls a second at most; lower it to leave room for other tools", ge=1, le=10)
    page_size: Count = _key(100, "1 to 1000", "rows asked for in a call (`ShowSize`)", ge=1, le=1000)
    sweep_every: Seconds = _key("5m", "0s to 1d", "from one sweep's begin to the next; 0s: no pause", ge=0, le=86400)
    probe_every: Seconds = _key("5s", "0.1s to 1h", "how often the number of rows is asked for", ge=0.1, le=3600)
    staleness: Seconds = _key("30s", "0s to 1m", "how far the service's replicas may lag", ge=0, le=60)
    resource_group: str = _key("", "the id of a resource group", "that group only")
    budget: str = _key("", NAME_ALLOWED, "who shares the ten calls a second; entries of one user name the same")
    uid: str = _key("", "digits", "the user's UID; empty: asked of STS", pattern=r"^[0-9]*$")
    sts_endpoint: Url = _key("", URL_ALLOWED, "where the UID is asked for; empty: Alibaba's, if endpoint is Alibaba's")
    proxy: Annotated[str, AfterValidator(_is_proxy)] = _key("", "http://host:port, without a password", "an HTTP proxy")
    ca_file: str = _key("", "a path", "certificates (PEM) that are trusted instead of the system's")
    insecure: Boolean = _key(
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
        if not _NAME.fullmatch(self.budget):
            raise ValueError(f"budget: {self.budget!r} is not allowed; {NAME_ALLOWED}")
        for key in ("endpoint", "sts_endpoint"):
            url = urlsplit(getattr(self, key))
            if url.scheme == "http" and not self.insecure and not is_loopback(url.hostname or ""):
                raise ValueError(f"{key}: {url.geturl()!r} is not allowed; {URL_ALLOWED}")
        return self


class Http(Section):
    """`[http]`: health, metrics."""

    listen: Annotated[str, AfterValidator(_is_listen)] = _key(
        "127.0.0.1:8080", 'host:port, or "" for off', "another address than loopback needs token_file"
    )
    token_file: str = _key(
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

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = _key(
        "PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", "what the listener speaks"
    )
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = _key(
        "", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", "with SASL_…: how the password is shown"
    )
    username: str = _key("", "text; only with SASL_…", "who logs in")
    password_file: str = _key("", "a path; only with SASL_…", "the file that holds the password")
    ca_file: str = _key("", "a path; only with …SSL", "certificates (PEM) that are trusted instead of the system's")
    cert_file: str = _key("", "a path; only with …SSL and key_file", "a client certificate (PEM)")
    key_file: str = _key("", "a path; only with …SSL and cert_file", "its key (PEM)")
    replicas: Count = _key(
        0, "1 or more; 0: the broker's default", "copies of each topic, when certstream makes it", ge=0, le=32767
    )
    transactional_id_prefix: str = _key(
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

    journal: Annotated[str, AfterValidator(_is_journal)] = Field(
        default_factory=lambda: default_journal(os.environ),
        description="where events are committed; default: in the user's state directory",
        json_schema_extra={"allowed": "kafka://host:port[,host:port] or sqlite:///path/journal.db"},
    )
    topic_prefix: str = _key(
        "certstream.",
        "up to 100 of A-Z a-z 0-9 . _ -",
        "before the name of each topic",
        pattern=_PREFIX,
    )
    thresholds: Annotated[tuple[Threshold, ...], BeforeValidator(_thresholds)] = _key(
        ["60d", "30d", "14d", "7d", "3d", "1d"],
        'a list of durations (s m h d) or parts of the lifetime: ["30d", "33%"]',
        "when `expiring` is told, before notAfter",
    )
    pem: Boolean = _key(True, "true or false", "false: keep and publish only the SHA-256 of a certificate")
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
        good = re.fullmatch(_PREFIX, prefix) is not None
        if isinstance(kafka, dict) and good and kafka.get("transactional_id_prefix", "") == "":
            return {**data, "kafka": {**kafka, "transactional_id_prefix": prefix.rstrip(".-_") or "certstream"}}
        return data

    @model_validator(mode="after")
    def _names_differ(self) -> Config:
        names = [account.name for account in self.accounts]
        for n, name in enumerate(names):
            if name in names[:n]:
                raise ValueError(f"accounts[{n}].name: {name!r} is there twice; each account has a name of its own")
        if not names:
            raise ValueError("accounts: it is empty; leave it out for one account from the credentials chain")
        return self
