"""Problems of a configuration in words: file (or variable), key, and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from certstream.config.model import Account, Config, Credentials, Http, Kafka, Section
from certstream.config.values import FILES

Where = tuple[str | int, ...]
"""A key's place: `("accounts", 0, "qps")`."""


def tell(error: Any, data: Any, source: str, told: Mapping[Where, str]) -> str:
    """One line for one of pydantic's errors about `data`. `told`: which variable set a key, if not the file did."""
    where: Where = tuple(error["loc"])
    field = field_of(where)
    own = str(error["ctx"]["error"]) if error["type"] == "value_error" else ""
    head = place(where, source, told)
    if error["type"] == "extra_forbidden":
        return head + _unknown(where)
    if field is None or isinstance(field, type):  # a section: its validators name the keys
        shape = "[[accounts]]" if "accounts" in where else f"a section with keys, [{'.'.join(map(str, where))}]"
        return head + (own or f"write it as {shape}")
    if error["type"] == "missing":
        return head + "is missing"
    allowed = (field.json_schema_extra or {}).get("allowed", "") if isinstance(field.json_schema_extra, dict) else ""
    if not allowed:
        return head + ("write it as [[accounts]]" if where == ("accounts",) else "write it as a [section] with keys")
    return head + f"{own or _shown(_at(data, where, error['input'])) + ' is not allowed'}; {allowed}"


def _at(data: Any, where: Where, otherwise: Any) -> Any:
    """The value as it was written: pydantic shows it as it is after the first conversions."""
    for part in where:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return otherwise
    return data


def place(where: Where, source: str, told: Mapping[Where, str]) -> str:
    """`certstream.toml: accounts[0].qps: `, or `environment: CERTSTREAM_ACCOUNTS__0__QPS: `."""
    leaf = where and not isinstance(field_of(where), type)  # what is wrong with a section is not one variable's fault
    for key, name in told.items():
        if leaf and (key[: len(where)] == where or where[: len(key)] == key):
            return f"environment: {name}: "
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    return f"{source}: {shown}: " if shown else f"{source}: "


def _shown(value: Any) -> str:
    """A bad value in words, short, without what may be a password."""
    text = str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
    text = re.sub(r"^(['\"]?(?:[a-z0-9+.-]+://)?).*@", r"\1…@", text, flags=re.I | re.S)
    return text if len(text) <= 60 else text[:57] + "…"


def field_of(where: Where) -> FieldInfo | type[BaseModel] | None:
    """The field (or section) that a location names."""
    here: Any = Config
    for part in where:
        if isinstance(part, int):
            continue
        fields = getattr(here, "model_fields", None)
        if fields is None or part not in fields:
            return here if isinstance(here, FieldInfo) else None
        here = section_of(fields[part]) or fields[part]
    return here  # type: ignore[no-any-return]


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section behind a field: the model itself, or what the list holds."""
    for one in (field.annotation, *get_args(field.annotation)):
        if isinstance(one, type) and issubclass(one, Section):
            return one
    return None


_SECRETS = {"access_key_secret", "limiter_password", "password", "token", "secret", "security_token"}


def _unknown(where: Where) -> str:
    section, key = field_of(where[:-1]), str(where[-1])
    known = list(section.model_fields) if isinstance(section, type) else []
    if key in _SECRETS:
        other = ["ca_file", "cert_file", "key_file", "limiter_ca_file"]
        other += ["limiter_password_file"] if key != "limiter_password" else []
        files = [one for one in known if one in FILES and one not in other]
        files = files or [_elsewhere(f"{key}_file") or "accounts[].credentials.access_key_secret_file"]
        return "a secret does not belong into the configuration; put it into a file and name that: " + ", ".join(files)
    near = difflib.get_close_matches(key, known, 1)
    elsewhere = _elsewhere(key)
    hint = f"did you mean {near[0]}?" if near else f"did you mean {elsewhere}?" if elsewhere else ""
    return f"there is no such key; {hint or 'known here: ' + ', '.join(known)}"


def _elsewhere(key: str) -> str:
    for section, name in (
        (Http, "http"),
        (Kafka, "kafka"),
        (Account, "accounts"),
        (Credentials, "accounts.credentials"),
    ):
        if key in section.model_fields:
            return f"{key} in [{name}]" if section is not Account else f"{key} in [[accounts]]"
    return ""
