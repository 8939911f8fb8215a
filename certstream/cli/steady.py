"""A call that `check` makes: tried again where that may help, and told with what to do where it does not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from certstream.core.answers import Garbled
from certstream.core.errors import CertstreamError, Throttled, Transient

T = TypeVar("T")

TRIES: Final = 3
PAUSE: Final = 0.5
"""Seconds before the second try; twice as long before the third."""

_NETWORK: Final = "this host's network, firewall and proxy (key `proxy`, or HTTPS_PROXY)"
_RULES: Final = (
    (r"\[SSL: |SSLError", "what answers there does not speak TLS as it should: {look} and `proxy`"),
    (r"name or service not known|name resolution|nodename|no address|getaddrinfo", "{look} and this host's DNS"),
    (r"connect call failed|cannot connect|refused|unreachable", "nothing answers there: {look} and " + _NETWORK),
    (r"disconnected|reset|broken pipe|closed", "something on the way hangs up: {look} and " + _NETWORK),
    (r"deadline|time-?out|timed out", "too slow, or not let through: look at " + _NETWORK),
    (r"HTTP 5\d\d|ServiceUnavailable|InternalError", "the service is in trouble: try again later; if it lasts, {look}"),
)
"""What an error says, and what to do; the first that fits."""


async def steady(ask: Callable[[], Awaitable[T]], *, key: str = "", url: str = "") -> T:
    """The first good answer of TRIES. Raises what cannot get better at once, and Transient, with what to do about it,
    for what did not. `key` of the configuration named `url`; both empty where no address is asked."""
    for failed in range(1, TRIES + 1):
        try:
            return await ask()
        except Transient as error:
            if failed == TRIES:
                raise Transient(f"{error} (tried {TRIES} times); {remedy(error, key=key, url=url)}") from error
        await asyncio.sleep(PAUSE * failed)
    raise AssertionError("the last try returns or raises")


def remedy(error: CertstreamError, *, key: str, url: str) -> str:
    """What a person can do about an error that lasts."""
    if isinstance(error, Throttled):
        return "somebody else spends this user's ten calls a second: stop it, or lower `qps` on both sides"
    usual = "https://sts.aliyuncs.com" if key == "sts_endpoint" else "https://cas.aliyuncs.com"
    look = f"look at `{key}` ({url}; Alibaba's is {usual}, or that of your region)" if key else "look at the address"
    if isinstance(error, Garbled):
        return f"what answers there is not this API: {look} and `proxy`"
    for pattern, what in _RULES:
        if re.search(pattern, str(error), re.IGNORECASE):
            return what.format(look=look)
    return f"{look} and {_NETWORK}"
