"""Whose key it is: STS `GetCallerIdentity` (version 2015-04-01), which needs no permission and takes no slot."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from certstream.core.answers import Garbled, failure, quoted
from certstream.source.exchange import Reply

ACTION: Final = "GetCallerIdentity"
VERSION: Final = "2015-04-01"


def account_id(reply: Reply, secrets: tuple[str, ...]) -> str:
    """The UID in an answer. Raises as `core.answers.decode` does."""
    try:
        fields: Any = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = None
    found = fields.get("AccountId") if isinstance(fields, dict) and 200 <= reply.status < 300 else None
    if isinstance(found, str | int) and not isinstance(found, bool) and str(found).isascii() and str(found).isdigit():
        return str(found)
    error = failure(reply.status, reply.headers, reply.body, reply.received_at, secrets)
    if 200 <= reply.status < 300 and type(error) is Garbled:
        error = Garbled(f"STS answered without an AccountId: {quoted(reply.body, secrets)}")
    raise error
