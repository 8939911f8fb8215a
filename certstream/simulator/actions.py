"""The three actions: parameters in, the body of a good answer out, with what it showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import orjson

from certstream.simulator.config import User
from certstream.simulator.population import Population
from certstream.simulator.signature import Refused

CAS_VERSION = "2020-06-30"
STS_VERSION = "2015-04-01"

LIST = "ListClientCertificate"
LIST_REVOKED = "ListRevokeCertificate"
CALLER = "GetCallerIdentity"

VERSIONS = {LIST: CAS_VERSION, LIST_REVOKED: CAS_VERSION, CALLER: STS_VERSION}

DEFAULT_SIZE = 20
"""Rows of a page without `ShowSize`."""


@dataclass(frozen=True, slots=True)
class Good:
    """A good answer: its bytes, `TotalCount` (None where it has none), and the rows that it shows."""

    body: bytes
    total: int | None = None
    rows: list[tuple[str, int]] = field(default_factory=list)


def request_id() -> str:
    """As the API writes them: a UUID in capitals."""
    return str(uuid4()).upper()


def check_version(action: str | None, version: str | None) -> str:
    """The action's name. Raises Refused for one that does not exist, or not in this version."""
    if not action or action not in VERSIONS:
        raise Refused(404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
    if version != VERSIONS[action]:
        raise Refused(400, "InvalidVersion", "Specified parameter Version is not valid.")
    return action


def perform(action: str, params: Mapping[str, str], population: Population, user: User) -> Good:
    """The answer of this instant. Raises Refused (`InvalidParameter`)."""
    if action == CALLER:
        return _caller(user)
    number = _whole(params, "CurrentPage", 1)
    size = min(_whole(params, "ShowSize", DEFAULT_SIZE), population.config.max_page_size)
    start = (number - 1) * size
    if action == LIST_REVOKED:
        total = len(population.revoked)
        end = max(0, total - start)
        rows = population.revoked[max(0, end - size) : end][::-1]
        slices = [population.revocation(row) for row in rows]
    else:
        found = population.select(
            identifier=params.get("Identifier") or None, group=params.get("ResourceGroupId") or None
        )
        total = len(found)
        rows = list(population.window(found, start, size))
        slices = [population.encoded(row) for row in rows]
    tail = {
        "CurrentPage": number,
        "PageCount": -(-total // size),
        "ShowSize": size,
        "TotalCount": total,
        "RequestId": request_id(),
    }
    body = b'{"CertificateList":[' + b",".join(slices) + b"]," + orjson.dumps(tail)[1:]
    return Good(body, total, [(row.blueprint.identifier, row.version) for row in rows])


def error_body(refused: Refused, *, host: str) -> bytes:
    """`Recommend` is a link in the real thing; nothing reads it."""
    body: dict[str, object] = {
        "RequestId": request_id(),
        "HostId": host,
        "Code": refused.code,
        "Message": refused.message,
        "Recommend": f"https://api.aliyun.com/troubleshoot?q={refused.code}",
    }
    if refused.detail is not None:
        body["AccessDeniedDetail"] = refused.detail
    return orjson.dumps(body)


def forbidden(action: str, user: User) -> Refused:
    """What RAM says when a policy does not allow the action."""
    right = f"{'sts' if action == CALLER else 'yundun-cert'}:{action}"
    return Refused(
        403,
        "Forbidden.RAM",
        f"User not authorized to operate on the specified resource. Action: {right}",
        detail={
            "AuthAction": right,
            "AuthPrincipalType": "SubUser",
            "AuthPrincipalDisplayName": _ram_id(user),
            "AuthPrincipalOwnerId": user.uid,
            "NoPermissionType": "ImplicitDeny",
            "PolicyType": "AccountLevelIdentityBasedPolicy",
        },
    )


def _caller(user: User) -> Good:
    body = {
        "AccountId": user.uid,
        "Arn": f"acs:ram::{user.uid}:user/certstream",
        "IdentityType": "RAMUser",
        "PrincipalId": _ram_id(user),
        "UserId": _ram_id(user),
        "RequestId": request_id(),
    }
    return Good(orjson.dumps(body))


def _ram_id(user: User) -> str:
    return f"2{user.uid[1:]}"


def _whole(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        raise Refused(400, "InvalidParameter", f"The specified parameter {name} is not valid.")
    return int(text)
