"""Decoding: the error table of `api-facts` row by row, fields present and missing, and hostile bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certstream.core import slices
from certstream.core.answers import Denied, Garbled, Page, Refused, decode, server_date
from certstream.core.errors import CertstreamError, Fatal, StaleCredentials, Throttled, Transient
from certstream.core.slices import Parts, split, split_tolerantly

DATE = "Thu, 30 Oct 2025 08:00:00 GMT"
DATE_MS = 1761811200000


def body(**fields: Any) -> bytes:
    return json.dumps({"CertificateList": [], **fields}).encode()


def refused(code: str, *, message: str = "because", **fields: Any) -> bytes:
    return json.dumps(
        {"RequestId": "R-1", "HostId": "cas.aliyuncs.com", "Code": code, "Message": message, "Recommend": "", **fields}
    ).encode()


def records(page: Page) -> list[bytes]:
    return [bytes(record) for record in page.records]


def failing(
    status: int, content: bytes, headers: dict[str, str] | None = None, *, secrets: tuple[str, ...] = ()
) -> CertstreamError:
    with pytest.raises(CertstreamError) as caught:
        decode(status, headers or {}, content, page=1, now_ms=DATE_MS + 90_000, secrets=secrets)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_page_keeps_each_record_as_it_came() -> None:
    page = decode(
        200,
        {},
        b'{"CertificateList":[ {"b" : 1, "a":2} , {"Identifier":"\xe9"}],"CurrentPage":3,"ShowSize":20,"TotalCount":42,'
        b'"PageCount":3,"MaxResults":20,"RequestId":"15C66C7B"}',
        page=3,
    )
    assert records(page) == [b'{"b" : 1, "a":2}', b'{"Identifier":"\xe9"}']
    assert (page.total, page.number, page.size, page.request_id) == (42, 3, 20, "15C66C7B")


def test_an_empty_list_is_an_empty_page_and_missing_counts_are_none() -> None:
    assert decode(200, {}, body(), page=1) == Page(records=[], total=None, number=None, size=None, request_id=None)


@pytest.mark.parametrize("field", ["TotalCount", "ShowSize", "CurrentPage"])
@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("7", 7),
        ('"7"', 7),
        ("0", 0),
        ("-1", None),
        ('"-1"', None),
        ('"seven"', None),
        ('"٧"', None),
        ('""', None),
        ("7.0", None),
        ("true", None),
        ("null", None),
        ("[7]", None),
        ("NaN", None),
        ("9223372036854775808", None),
        ("1" * 5000, None),
        ('"' + "1" * 5000 + '"', None),
    ],
)
def test_a_count_is_a_natural_number_or_none(field: str, sent: str, read: int | None) -> None:
    page = decode(200, {}, b'{"CertificateList":[{}],"%s":%s}' % (field.encode(), sent.encode()), page=None)
    assert {"TotalCount": page.total, "ShowSize": page.size, "CurrentPage": page.number}[field] == read
    assert records(page) == [b"{}"]


@pytest.mark.parametrize("request_id", ["5", '""', '"a b"', '"\\u001b[2J"', '"' + "x" * 200 + '"', "null"])
def test_a_request_id_that_is_none_is_none(request_id: str) -> None:
    assert decode(200, {}, b'{"CertificateList":[],"RequestId":%s}' % request_id.encode(), page=1).request_id is None


def test_the_answer_for_another_page_is_garbled() -> None:
    with pytest.raises(Garbled, match="asked for page 2, answered with page 1"):
        decode(200, {}, body(CurrentPage=1), page=2)
    with pytest.raises(Garbled, match="asked for page 2, answered with page 1"):
        decode(200, {}, body(CurrentPage="1"), page=2)
    assert decode(200, {}, body(CurrentPage=1), page=None).number == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"CertificateList"',
        b'{"CertificateList":null}',
        b'{"CertificateList":{}}',
        b'{"CertificateList":"[]"}',
        b'{"CertificateLists":[]}',
        b'{"CertificateList":[{}]',
        b'{"CertificateList":[{}',
        b'{"CertificateList":[{}]} {}',
        b'{"CertificateList":[{}],}',
        b'{"CertificateList":[,{}]}',
        b'{"CertificateList":[{},]}',
        b'{"CertificateList":[{"a":"unfinished}]}',
        b'{"CertificateList":[{"a":[}]]}',
        b'{"CertificateList":[]]}',
        b"<html><body>It works!</body></html>",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_success_without_a_list_is_garbled_and_not_an_empty_account(content: bytes) -> None:
    assert type(failing(200, content)) is Garbled


SICK = {
    "raw control character": b'{"a":"x\x01\ny"}',
    "NaN": b'{"a":NaN,"b":-Infinity}',
    "number with a leading zero": b'{"a":007}',
    "lone surrogate": b'{"a":"\\ud800"}',
    "unknown escape": b'{"a":"\\q\\"]}"}',
    "bytes that are no UTF-8, and NaN": b'{"a":"\xff\xfe","b":NaN}',
    "missing colon": b'{"a" 1}',
    "nested too deep": b"[" * 50_000 + b"]" * 50_000,
}


@pytest.mark.parametrize("sick", SICK.values(), ids=SICK.keys())
def test_a_sick_record_does_not_cost_the_others(sick: bytes) -> None:
    before, after = b'{"Identifier":"a","Sans":"[{\\"Type\\":2},]"}', b'{"Identifier":"z\\\\"}'
    content = b' {"TotalCount": 3 ,"CertificateList" : [%s , %s,\n%s ] ,"CurrentPage":1,"RequestId":"r"} '
    page = decode(200, {}, content % (before, sick, after), page=1)
    assert records(page) == [before, sick, after]
    assert (page.total, page.number, page.request_id) == (3, 1, "r")


def test_a_sick_member_beside_the_list_does_not_cost_the_page() -> None:
    page = decode(
        200, {}, b'{"Debug":NaN,"RequestId":"\xff","CertificateList":[{}],"Certificate\\u004cist":[1]}', page=1
    )
    assert records(page) == [b"1"]
    assert page.request_id is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.lists(JSON, max_size=6), st.dictionaries(st.text(), JSON, max_size=3), st.booleans(), st.sampled_from([None, 1])
)
def test_on_good_pages_the_tolerant_split_is_the_fast_one(
    found: list[Any], others: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    content = json.dumps(
        {**others, "CertificateList": found, "TotalCount": 3, "RequestId": "x"}, ensure_ascii=ascii_only, indent=indent
    ).encode("utf-8", "surrogatepass")
    fast, tolerant = msgspec.json.decode(content, type=Parts), split_tolerantly(content)
    assert tolerant is not None
    assert [bytes(part) for part in tolerant.CertificateList] == [bytes(part) for part in fast.CertificateList]
    for name in ("TotalCount", "CurrentPage", "ShowSize", "RequestId"):
        assert bytes(getattr(tolerant, name)) == bytes(getattr(fast, name))


PIECES = st.sampled_from(
    [b'{"CertificateList":', b"[", b"]", b"{", b"}", b'"', b"\\", b",", b":", b" ", b"\xff", b"1", b"\x00", b"NaN"]
)


@given(
    st.sampled_from([200, 204, 302, 400, 403, 404, 429, 500, 503]),
    st.dictionaries(st.sampled_from(["Date", "x-acs-retry-after", "Location"]), st.text()),
    st.binary() | st.lists(PIECES, max_size=30).map(b"".join) | st.text().map(lambda code: refused(code)),
)
@example(200, {}, b'{"CertificateList":' * 40_000)
@example(400, {}, b'{"Code":' + b"[" * 100_000)
@example(400, {"x-acs-retry-after": "9" * 5000}, refused("Throttling"))
@example(400, {"Date": "Mon, 99 Feb 2025 99:99:99 GMT"}, refused("InvalidTimeStamp.Expired"))
def test_whatever_comes_is_a_page_or_one_of_our_errors(status: int, headers: dict[str, str], content: bytes) -> None:
    try:
        page = decode(status, headers, content, page=1, now_ms=0)
    except CertstreamError as error:
        told, found = str(error), None
    else:
        told, found = "", page.records
    assert told.isprintable()
    assert len(told) < 1500
    assert found is None or (status in (200, 204) and all(bytes(record) in content for record in found))


@pytest.mark.parametrize("code", ["Throttling", "Throttling.User", "Throttling.Api"])
@pytest.mark.parametrize("status", [400, 429, 503, 200])
def test_throttling_freezes_for_as_long_as_the_server_says(code: str, status: int) -> None:
    error = failing(status, refused(code), {"X-Acs-Retry-After": "1500"})
    assert isinstance(error, Throttled)
    assert error.retry_after == 1.5
    assert code in str(error)
    assert "R-1" in str(error)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("60000", 60.0),
        ("60001", 60.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        ("99999999999999", 60.0),
    ],
)
def test_a_freeze_that_makes_no_sense_is_none_and_one_for_ever_is_cut(said: str, seconds: float | None) -> None:
    error = failing(400, refused("Throttling.User"), {"x-acs-retry-after": said})
    assert isinstance(error, Throttled)
    assert error.retry_after == seconds
    followed = said in ("0", "60000")
    assert ("s of silence, 60 s are kept" in str(error) or "no number of milliseconds" in str(error)) is not followed


def test_a_429_of_something_before_the_api_freezes_too() -> None:
    assert isinstance(failing(429, b"<html>slow down</html>"), Throttled)


@pytest.mark.parametrize("code", ["ServiceUnavailable", "InternalError", "InternalError.Db", "SignatureNonceUsed"])
@pytest.mark.parametrize("status", [400, 500, 503])
def test_what_may_work_the_next_time_is_transient(code: str, status: int) -> None:
    assert type(failing(status, refused(code))) is Transient


@pytest.mark.parametrize("code", ["InvalidSecurityToken.Expired", "InvalidSecurityToken.Malformed"])
@pytest.mark.parametrize("status", [400, 403])
def test_an_expired_token_is_stale(code: str, status: int) -> None:
    assert type(failing(status, refused(code))) is StaleCredentials


@pytest.mark.parametrize("code", ["InvalidAccessKeyId.NotFound", "InvalidAccessKeyId.Inactive"])
@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_key_that_is_not_there_is_denied(code: str, status: int) -> None:
    error = failing(status, refused(code))
    assert isinstance(error, Denied)
    assert "give the account another one" in str(error)


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "IncompleteSignature"])
def test_a_wrong_secret_is_denied_without_the_text_that_was_signed(code: str) -> None:
    error = failing(400, refused(code, message="server string to sign is:x-acs-security-token:STS.abc"))
    assert isinstance(error, Denied)
    assert "STS.abc" not in str(error)
    assert "the secret does not belong to the access key" in str(error)


@pytest.mark.parametrize("code", ["Forbidden.RAM", "Forbidden", "NoPermission"])
def test_a_missing_permission_is_denied_and_names_the_action_and_who_lacks_it(code: str) -> None:
    detail = {
        "AuthAction": "yundun-cert:ListClientCertificate",
        "AuthPrincipalDisplayName": "worker@1234",
        "NoPermissionType": "ImplicitDeny",
        "PolicyType": "AccountLevelIdentityBasedPolicy",
        "EncodedDiagnosticMessage": "AQ==",
    }
    error = failing(403, refused(code, AccessDeniedDetail=detail))
    assert isinstance(error, Denied)
    assert "allow yundun-cert:ListClientCertificate in a RAM policy" in str(error)
    assert "AuthPrincipalDisplayName=worker@1234, NoPermissionType=ImplicitDeny" in str(error)
    assert "PolicyType=AccountLevelIdentityBasedPolicy" in str(error)
    assert "allow yundun-cert:ListClientCertificate" in str(failing(403, refused(code, AccessDeniedDetail="x")))


def test_clock_skew_is_fatal_and_measured() -> None:
    error = failing(400, refused("InvalidTimeStamp.Expired"), {"date": DATE})
    assert type(error) is Fatal
    assert "this host's clock is 90 s ahead" in str(error)
    with pytest.raises(Fatal, match="this host's clock is 60 s behind"):
        decode(400, {"Date": DATE}, refused("InvalidTimeStamp.Expired"), page=1, now_ms=DATE_MS - 60_000)
    assert "by how much the answer does not say" in str(failing(400, refused("InvalidTimeStamp.Expired")))


@pytest.mark.parametrize(
    "code",
    [
        "MissingParameter",
        "Missing.X",
        "InvalidParameter",
        "InvalidParameter.X",
        "InvalidVersion",
        "InvalidAction.NotFound",
    ],
)
@pytest.mark.parametrize("status", [400, 404])
def test_a_call_that_is_wrong_is_fatal(code: str, status: int) -> None:
    assert type(failing(status, refused(code))) is (Refused if code.startswith("InvalidParameter") else Fatal)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (400, refused("SomethingNew.Happened"), Transient),
        (500, refused("SomethingNew.Happened"), Transient),
        (502, b"<html>Bad Gateway</html>", Transient),
        (404, b"<html>nginx</html>", Garbled),
        (403, b"", Garbled),
        (400, b'{"Code":5}', Garbled),
        (400, b"[]", Garbled),
        (200, refused("OK"), Garbled),
        (500, body(), Transient),
    ],
)
def test_what_nobody_knows_is_tried_again(status: int, content: bytes, kind: type[CertstreamError]) -> None:
    assert type(failing(status, content)) is kind


def test_a_code_is_matched_by_its_whole_first_part() -> None:
    assert type(failing(400, refused("ThrottlingX.User"))) is Transient
    assert type(failing(403, refused("User.Throttling"))) is Transient


def test_a_redirect_is_garbled_and_names_where_to() -> None:
    error = failing(302, b"", {"location": "https://login.example/\x1b[2J"})
    assert type(error) is Garbled
    assert "redirects to https://login.example/\\x1b[2J" in str(error)


def test_foreign_text_is_cut_escaped_and_free_of_secrets() -> None:
    token = "STS/tok+=="
    content = ("<h1>\x1b[31m\u202e" + token + " STS%2Ftok%2B%3D%3D STS\\/tok+==" + "y" * 1000).encode() + b"\xff"
    error = str(failing(404, content, secrets=(token, "")))
    assert "tok" not in error
    assert "\\x1b[31m\\u202e*** *** ***" in error
    assert len(error) < 330
    assert error.endswith("…")


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (DATE, DATE_MS),
        ("Thu, 30 Oct 2025 08:00:60 GMT", None),
        ("Thu, 31 Feb 2025 08:00:00 GMT", None),
        ("Thu, 30 Okt 2025 08:00:00 GMT", None),
        ("Thursday, 30-Oct-25 08:00:00 GMT", None),
        ("Thu, 30 Oct 2025 08:00:00 +0200", None),
        ("2025-10-30T08:00:00Z", None),
        ("", None),
    ],
)
def test_only_an_imf_fixdate_is_a_date(said: str, read: int | None) -> None:
    assert server_date({"DATE": said}) == read
    assert server_date({}) is None


def test_the_fast_split_is_the_one_that_good_pages_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "split_tolerantly", lambda content: pytest.fail("took the slow way"))
    assert split(body(TotalCount=1)) is not None


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("sts:GetCallerIdentity", "allow sts:GetCallerIdentity in"),
        ("two words", "allow yundun-cert:ListClientCertificate in"),
        (5, "allow yundun-cert:ListClientCertificate in"),
    ],
)
def test_the_missing_right_is_the_one_that_ram_names(said: object, named: str) -> None:
    error = failing(403, refused("NoPermission", AccessDeniedDetail={"AuthAction": said}))
    assert named in str(error)
