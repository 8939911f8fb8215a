"""Signature V3 against the vectors of the official SDK (`api-facts`)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certstream.core.signing import SignedRequest, canonical, canonical_request, sign, string_to_sign, timestamp

KEY_ID = "LTAItestAccessKeyId0000"
SECRET = "testSecret0000000000000000000"
NONCE = "3156853299f313e23d1673dc12e1703d"


def signed(
    *, token: str | None = None, extra_headers: dict[str, str] | None = None, query: dict[str, str] | None = None
) -> SignedRequest:
    return sign(
        host="cas.aliyuncs.com",
        action="ListClientCertificate",
        version="2020-06-30",
        query=query or {"ShowSize": "20", "CurrentPage": "1"},
        date="2025-10-30T08:00:00Z",
        nonce=NONCE,
        key_id=KEY_ID,
        secret=SECRET,
        token=token,
        extra_headers=extra_headers,
    )


def test_the_canonical_request_hashes_to_the_vector() -> None:
    request = signed()
    headers = {name: value for name, value in request.headers.items() if name != "Authorization"}
    text = canonical_request(request.query, headers)
    expected = "194e33065742f24ff7cbd6489dc669ed0619af786657059296e155142e235445"
    assert hashlib.sha256(text.encode()).hexdigest() == expected
    assert string_to_sign(text) == f"ACS3-HMAC-SHA256\n{expected}"


def test_a_key_signs_as_the_sdk_does() -> None:
    assert signed().headers["Authorization"] == (
        f"ACS3-HMAC-SHA256 Credential={KEY_ID},SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-signature-nonce;x-acs-version,"
        "Signature=486a0746c7eb20b4c292c63f8e7cbd8574972df21b5763dbaefeb50344b2ff56"
    )


def test_a_temporary_key_signs_its_id_and_token_too() -> None:
    headers = signed(token="STStok/==+").headers
    assert headers["x-acs-accesskey-id"] == KEY_ID
    assert headers["x-acs-security-token"] == "STStok/==+"
    assert headers["Authorization"].endswith(
        "Signature=e380ebaf9c2407b8f8afb84c0a02e41593b81b639f24442acd0ea1818ebc7180"
    )


def test_extra_headers_are_sent_trimmed_and_signed() -> None:
    request = signed(extra_headers={"Accept": " application/json "})
    assert request.headers["accept"] == "application/json"
    assert "SignedHeaders=accept;host;" in request.headers["Authorization"]
    assert request.headers["Authorization"].split("Signature=")[1] != signed().headers["Authorization"][-64:]


def test_the_query_is_sorted_and_encoded_as_rfc_3986_wants_it() -> None:
    assert canonical({"b": "a+b*~/ é", "B/": "", "a-_.~": "x"}) == "B%2F=&a-_.~=x&b=a%2Bb%2A~%2F%20%C3%A9"


@given(st.dictionaries(st.text(), st.text()))
def test_the_canonical_query_decodes_to_what_went_in(query: dict[str, str]) -> None:
    from urllib.parse import parse_qsl

    assert dict(parse_qsl(canonical(query), keep_blank_values=True, strict_parsing=bool(query))) == query


def test_a_repr_tells_no_token() -> None:
    assert "STStok" not in repr(signed(token="STStok/==+"))


@pytest.mark.parametrize("token", ["a\r\nx-evil: 1", "a\x00b"])
def test_a_token_cannot_smuggle_a_header_and_the_error_does_not_tell_it(token: str) -> None:
    with pytest.raises(ValueError, match="x-acs-security-token holds a control character") as caught:
        signed(token=token)
    assert "evil" not in str(caught.value)


def test_milliseconds_are_cut_from_the_date() -> None:
    assert timestamp(1761811200999) == "2025-10-30T08:00:00Z"
