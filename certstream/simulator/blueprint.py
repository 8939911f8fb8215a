"""What one certificate says, before it is signed: drawn from a seeded generator, in the words of the API."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

CertificateType = Literal["SERVER", "CLIENT"]

EMAIL, DNS, URI, IP = 1, 2, 6, 7
"""`Type` of an element of `Sans`."""

_WORDS = ("api", "pay", "shop", "login", "mail", "cdn", "edge", "ledger", "queue", "search", "vault", "static")
_ZONES = ("example.com", "example.net", "corp.example.org", "prod.example.com")
_PEOPLE = ("chen", "li", "wang", "zhao", "müller", "o'neill", "garcia", "sato")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """`not_before`, `not_after`: Unix seconds. `days`: the lifetime as bought. `sans`: (type, value)."""

    identifier: str
    serial: int
    number: int
    kind: CertificateType
    algorithm: Literal["RSA", "ECC"]
    common_name: str
    sans: tuple[tuple[int, str], ...]
    comma: bool
    """`Sans` ends with a comma before the bracket, as in the example of the reference page."""
    issuer: int
    not_before: int
    not_after: int
    days: float
    alias: str | None
    custom: str | None

    @property
    def sans_text(self) -> str:
        """The field `Sans`."""
        items = ", ".join(f'{{"Type": {kind}, "Value": {json.dumps(value)}}}' for kind, value in self.sans)
        return f"[ {items}, ]" if self.comma else f"[{items}]"


def lifetime(days: float, speed: float) -> int:
    """Seconds of the real clock that a lifetime of `days` lasts; X.509 knows whole seconds only."""
    return max(1, round(days * 86400 / speed))


def identity(rng: Random) -> tuple[str, int]:
    """A new identifier (32 hex digits) and a serial number that has exactly 32 hex digits and is positive in DER."""
    return f"{rng.getrandbits(128):032x}", rng.getrandbits(126) | 1 << 126


def draw(
    rng: Random,
    *,
    number: int,
    not_before: int,
    not_after: int,
    days: float,
    kind: CertificateType | None = None,
    common_name: str | None = None,
) -> Blueprint:
    """A new certificate; `number` counts them and makes names differ."""
    identifier, serial = identity(rng)
    drawn: CertificateType = "SERVER" if rng.random() < 0.6 else "CLIENT"
    kind = kind or drawn
    name, sans = (_server if kind == "SERVER" else _client)(rng, number)
    if common_name is not None:
        name, sans = common_name, ((DNS, common_name),)
    return Blueprint(
        identifier=identifier,
        serial=serial,
        number=number,
        kind=kind,
        algorithm=rng.choice(("RSA", "ECC")),
        common_name=name,
        sans=sans,
        comma=rng.random() < 0.3,
        issuer=0 if kind == "SERVER" else 1,
        not_before=not_before,
        not_after=not_after,
        days=days,
        alias=alias(rng, name) if rng.random() < 0.6 else None,
        custom=f"custom-{identifier[:12]}" if rng.random() < 0.2 else None,
    )


def renewed(old: Blueprint, rng: Random, *, number: int, not_before: int, not_after: int) -> Blueprint:
    """The same subject, names, type and issuer under a new identifier and serial number."""
    identifier, serial = identity(rng)
    custom = f"custom-{identifier[:12]}" if old.custom else None
    return replace(
        old,
        identifier=identifier,
        serial=serial,
        number=number,
        not_before=not_before,
        not_after=not_after,
        custom=custom,
    )


def alias(rng: Random, name: str) -> str:
    """An `AliasName`, as somebody may type it in the console."""
    return f"{name} {rng.choice(('live', 'test', '生产', 'blue', 'green'))} {rng.randrange(1000)}"


def _server(rng: Random, number: int) -> tuple[str, tuple[tuple[int, str], ...]]:
    name = f"{rng.choice(_WORDS)}{number}.{rng.choice(_ZONES)}"
    sans = [(DNS, name)]
    if rng.random() < 0.4:
        sans.append((DNS, f"www.{name}"))
    if rng.random() < 0.3:
        sans.append((IP, f"192.0.2.{rng.randrange(1, 255)}"))
    if rng.random() < 0.1:
        sans.append((IP, f"2001:db8::{rng.randrange(1, 65536):x}"))
    return name, tuple(sans)


def _client(rng: Random, number: int) -> tuple[str, tuple[tuple[int, str], ...]]:
    if rng.random() < 0.5:
        name = f"{rng.choice(_PEOPLE)}.{number}"
        return name, ((EMAIL, f"user{number}@{rng.choice(_ZONES)}"),)
    name = f"device-{number:06d}"
    return name, ((URI, f"spiffe://{rng.choice(_ZONES)}/device/{number}"), (DNS, f"{name}.{rng.choice(_ZONES)}"))
