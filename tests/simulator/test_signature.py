"""Signature V3 as a server judges it: the published vectors, and everything that must be refused."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, SimulatorConfig, User
from certstream.simulator.signature import Claim, Nonces, Received, Refused, read_claim, string_to_sign, verify
from tests.simulator.caller import calling

NOW = 1761811200.0
"""2025-10-30T08:00:00Z."""

USER = User("testSecret0000000000000000000", "1")
VECTOR = "486a0746c7eb20b4c292c63f8e7cbd8574972df21b5763dbaefeb50344b2ff56"
VECTOR_WITH_TOKEN = "e380ebaf9c2407b8f8afb84c0a02e41593b81b639f24442acd0ea1818ebc7180"
HEADERS = {
    "host": "cas.aliyuncs.com",
    "x-acs-action": "ListClientCertificate",
    "x-acs-content-sha256": sha256(b"").hexdigest(),
    "x-acs-date": "2025-10-30T08:00:00Z",
    "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
    "x-acs-version": "2020-06-30",
}
TOKEN_HEADERS = {
    **HEADERS,
    "x-acs-accesskey-id": "LTAItestAccessKeyId0000",
    "x-acs-security-token": "STStok/==+",
}


def judge(
    signature: str = VECTOR, headers: dict[str, str] = HEADERS, user: User = USER, now: float = NOW, **changes: Any
) -> None:
    parts: dict[str, Any] = {
        "method": "POST",
        "path": "/",
        "query": "CurrentPage=1&ShowSize=20",
        "body": b"",
        **changes,
    }
    signed = parts.pop("signed", tuple(sorted(headers)))
    expired = parts.pop("expired", ())
    claim = Claim("LTAItestAccessKeyId0000", signed, signature)
    verify(Received(headers=headers, **parts), claim, user, now=now, nonces=Nonces(), expired=expired)


def test_the_published_vectors_are_accepted() -> None:
    judge()
    judge(VECTOR_WITH_TOKEN, TOKEN_HEADERS)


def test_the_canonical_request_hashes_to_the_published_value() -> None:
    received = Received("POST", "/", "ShowSize=20&CurrentPage=1", HEADERS, b"")
    expected = "ACS3-HMAC-SHA256\n194e33065742f24ff7cbd6489dc669ed0619af786657059296e155142e235445"
    assert string_to_sign(received, tuple(sorted(HEADERS))) == expected


def test_two_encodings_of_one_query_are_one_query() -> None:
    plain = Received("POST", "/", "Identifier=a+b*~/", HEADERS, b"")
    encoded = Received("POST", "/", "Identifier=a%20b%2A%7E%2F", HEADERS, b"")
    other = Received("POST", "/", "Identifier=a%2Bb%2A%7E%2F", HEADERS, b"")
    signed = tuple(HEADERS)
    assert string_to_sign(plain, signed) == string_to_sign(encoded, signed) != string_to_sign(other, signed)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signature": "0" * 64}, "SignatureDoesNotMatch"),
        ({"user": User("another", "1")}, "SignatureDoesNotMatch"),
        ({"query": "CurrentPage=2&ShowSize=20"}, "SignatureDoesNotMatch"),
        ({"method": "GET"}, "SignatureDoesNotMatch"),
        ({"path": "/x"}, "SignatureDoesNotMatch"),
        ({"body": b"x"}, "SignatureDoesNotMatch"),
        ({"headers": {**HEADERS, "x-acs-action": "ListRevokeCertificate"}}, "SignatureDoesNotMatch"),
        ({"headers": {**HEADERS, "host": "cas.example.com"}}, "SignatureDoesNotMatch"),
        ({"headers": {**HEADERS, "x-acs-content-sha256": "0" * 64}}, "SignatureDoesNotMatch"),
        ({"signed": tuple(sorted(set(HEADERS) - {"host"}))}, "IncompleteSignature"),
        ({"signed": tuple(sorted({*HEADERS, "x-acs-absent"}))}, "IncompleteSignature"),
        ({"now": NOW + 901}, "InvalidTimeStamp.Expired"),
        ({"now": NOW - 901}, "InvalidTimeStamp.Expired"),
        ({"headers": {**HEADERS, "x-acs-date": "yesterday"}}, "InvalidTimeStamp.Format"),
        ({"user": User(USER.secret, "1", "needed")}, "MissingSecurityToken"),
    ],
)
def test_anything_but_the_signed_request_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as caught:
        judge(**changes)
    assert caught.value.code == code


def test_a_date_within_a_quarter_of_an_hour_is_accepted() -> None:
    judge(now=NOW + 899)
    judge(now=NOW - 899)


def test_an_unsigned_security_token_is_refused() -> None:
    with pytest.raises(Refused, match="security-token") as caught:
        judge(headers={**HEADERS, "x-acs-security-token": "t"}, signed=tuple(sorted(HEADERS)))
    assert caught.value.code == "IncompleteSignature"


def test_an_expired_security_token_is_told_as_such() -> None:
    with pytest.raises(Refused) as caught:
        judge(VECTOR_WITH_TOKEN, TOKEN_HEADERS, expired={"STStok/==+"})
    assert caught.value.code == "InvalidSecurityToken.Expired"


@pytest.mark.parametrize("text", ["", "Basic abc", "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=b,Signature=zz"])
def test_a_malformed_authorization_is_incomplete(text: str) -> None:
    with pytest.raises(Refused) as caught:
        read_claim({"authorization": text})
    assert caught.value.code == "IncompleteSignature"


def test_a_nonce_is_forgotten_when_its_date_would_be_stale() -> None:
    nonces = Nonces()
    assert nonces.use("k", "n", NOW)
    assert not nonces.use("k", "n", NOW + 1800)
    assert nonces.use("other", "n", NOW + 1800)
    assert nonces.use("k", "n", NOW + 1801)


async def test_the_server_refuses_a_wrong_secret_and_an_unknown_key() -> None:
    async with calling(SimulatorConfig(certificates=1)) as caller:
        assert (await caller.call()).status == 200
        caller.secret = "wrong"
        reply = await caller.call()
        assert (reply.status, reply.code) == (400, "SignatureDoesNotMatch")
        assert set(reply.body) == {"RequestId", "HostId", "Code", "Message", "Recommend"}
        caller.key = "LTAInobody"
        reply = await caller.call()
        assert (reply.status, reply.code) == (404, "InvalidAccessKeyId.NotFound")


async def test_the_server_refuses_a_replayed_nonce() -> None:
    async with calling() as caller:
        caller.headers = {"x-acs-signature-nonce": "once"}
        assert (await caller.call()).status == 200
        assert (await caller.call()).code == "SignatureNonceUsed"


async def test_a_header_changed_after_signing_is_refused_but_an_unsigned_one_is_free() -> None:
    async with calling() as caller:
        caller.after = {"content-type": "text/plain"}
        assert (await caller.call()).status == 200
        caller.after = {"x-acs-version": "2015-04-01"}
        assert (await caller.call()).code == "SignatureDoesNotMatch"


async def test_a_server_whose_clock_is_off_says_so_in_its_date() -> None:
    async with calling(SimulatorConfig(clock_offset=3600)) as caller:
        reply = await caller.call()
        assert reply.code == "InvalidTimeStamp.Expired"
        assert "Date" in reply.headers


async def test_credentials_can_be_changed_while_it_runs() -> None:
    async with calling() as caller:
        caller.simulator.users[DEFAULT_KEY] = User("new", DEFAULT_USER.uid)
        assert (await caller.call()).code == "SignatureDoesNotMatch"
        caller.secret = "new"
        assert (await caller.call()).status == 200
        caller.headers = {"x-acs-security-token": "old"}
        caller.simulator.expired_tokens.add("old")
        assert (await caller.call()).code == "InvalidSecurityToken.Expired"


@pytest.mark.parametrize(
    ("action", "version", "code"),
    [
        ("ListNothing", "2020-06-30", "InvalidAction.NotFound"),
        ("ListClientCertificate", "2019-01-01", "InvalidVersion"),
    ],
)
async def test_what_does_not_exist_is_refused_by_name(action: str, version: str, code: str) -> None:
    async with calling() as caller:
        caller.headers = {"x-acs-version": version}
        assert (await caller.call(action)).code == code
