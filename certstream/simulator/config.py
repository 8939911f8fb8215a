"""What a simulator can be told before it starts: one frozen value, every option with a default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from certstream.core.times import seconds

Order = Literal["newest", "oldest", "identifier", "shuffled"]
"""Order of the list. `shuffled` is another order at every call, which the API does not rule out."""

Fault = Literal["unavailable", "internal", "reset", "truncated", "html", "slow"]
"""503, 500, RST before the answer, half an answer, HTML with status 200, an answer after `slow_seconds`."""

FAULTS: tuple[Fault, ...] = get_args(Fault)

ACTIONS = ("ListClientCertificate", "ListRevokeCertificate", "GetCallerIdentity")
"""What can be denied. (The real `GetCallerIdentity` needs no permission.)"""


class User(NamedTuple):
    """Who is behind an access key. With `token` set, calls must carry exactly that security token, signed."""

    secret: str
    uid: str
    token: str | None = None


DEFAULT_KEY = "LTAIsimulator00000001"
DEFAULT_USER = User("simulatorSecret0000000000000001", "1000000000000001")


def parse_faults(text: str) -> dict[Fault, float]:
    """Probability per call and kind, from `0.02` (shared evenly by all kinds) or `reset=0.01,html=0.01`.

    Raises ValueError naming the part that is wrong.
    """
    if not text.strip():
        return {}
    if "=" not in text:
        each = _probability(text) / len(FAULTS)
        return dict.fromkeys(FAULTS, each)
    faults: dict[Fault, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        known: dict[str, Fault] = {fault: fault for fault in FAULTS}
        if name.strip() not in known:
            raise ValueError(f"unknown fault {name.strip()!r}: one of {', '.join(FAULTS)}")
        faults[known[name.strip()]] = _probability(value)
    if sum(faults.values()) > 1:
        raise ValueError(f"the probabilities in {text!r} add up to more than 1")
    return faults


def parse_offset(text: str) -> float:
    """Seconds in `-20m`, `90s` or `+2h`. Raises ValueError that says what is allowed."""
    size = seconds(text.removeprefix("-").removeprefix("+"))
    return -size if text.startswith("-") else size


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"not a probability: {text.strip()!r}") from None
    if not 0 <= value <= 1:
        raise ValueError(f"a probability lies between 0 and 1: {text.strip()!r}")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """Options of a simulator. Raises ValueError at construction for values that make no sense."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 = a free one."""
    certificates: int = 100
    """How many there are at the start; their ages are uniform over their lifetimes."""
    seed: int = 1
    """Identifiers, names, changes and faults follow from it; times follow the real clock."""
    lifetimes: tuple[float, ...] = (30, 90, 365)
    """Days, drawn evenly. The field `Days` keeps them, whatever `speed` is."""
    speed: float = 1.0
    """A lifetime of N days lasts N / speed days of the real clock, in whole seconds, at least one."""
    rate: float = 0.0
    """Changes per second, on average (exponential gaps)."""
    stop_changes_after: float | None = None
    """Seconds after the start at which the life script ends."""
    resource_groups: tuple[str, ...] = ("rg-acfmsimulator01", "rg-acfmsimulator02", "rg-acfmsimulator03")
    order: Order = "newest"
    max_page_size: int = 100
    """A larger `ShowSize` is lowered to this, and the answer says so."""
    qps: int = 10
    """Arrivals of one user in any second; the next is throttled. 0 = no limit."""
    latency: float = 0.0
    """Seconds from arrival to answer; a seeded, random part of it passes before the answer's content is fixed."""
    jitter: float = 0.0
    """Up to this many seconds more, uniformly."""
    faults: Mapping[Fault, float] = field(default_factory=dict)
    """Probability per verified call; see `parse_faults`."""
    slow_seconds: float = 7.0
    clock_offset: float = 0.0
    """Seconds that the server's clock is ahead of this host's: in `Date` and in judging `x-acs-date`."""
    users: Mapping[str, User] = field(default_factory=lambda: {DEFAULT_KEY: DEFAULT_USER})
    """Access key id → user."""
    deny: frozenset[str] = frozenset()
    """Actions answered with `Forbidden.RAM`."""

    def __post_init__(self) -> None:
        if self.certificates < 0 or self.rate < 0 or self.qps < 0 or self.latency < 0 or self.jitter < 0:
            raise ValueError("certificates, rate, qps, latency and jitter are not negative")
        if self.speed <= 0 or not self.lifetimes or min(self.lifetimes) <= 0:
            raise ValueError("speed and lifetimes are positive")
        if self.max_page_size < 1 or not self.resource_groups:
            raise ValueError("a page holds at least one row, and there is at least one resource group")
        if self.order not in get_args(Order):
            raise ValueError(f"unknown order {self.order!r}: one of {', '.join(get_args(Order))}")

    def public(self) -> dict[str, object]:
        """The options for the truth log, without secrets."""
        shown: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        shown["users"] = {key: user[1] for key, user in self.users.items()}
        shown["deny"] = sorted(self.deny)
        shown["faults"] = dict(self.faults)
        return shown
