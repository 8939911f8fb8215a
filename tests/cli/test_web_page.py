"""`/`: what it says to whom, escaped, under a policy that lets it run and load nothing."""

from __future__ import annotations

import re
from typing import Any

import aiohttp

from tests.cli.test_web import HEALTHY, serving

HOSTILE = '<script>alert("1")</script>&\N{RIGHT-TO-LEFT OVERRIDE}'


async def opened(session: aiohttp.ClientSession, url: str, **headers: str) -> tuple[str, Any]:
    async with session.get(f"{url}/", headers=headers) as answer:
        assert answer.status == 200
        return await answer.text(), answer.headers


async def test_it_says_what_this_is_how_it_is_and_where_to_go_on() -> None:
    async with serving() as (session, url):
        text, _ = await opened(session, url)
        assert "Alibaba Cloud" in text
        assert '<strong class="good">ready</strong>' in text
        assert "<td><bdi>prod</bdi></td><td><bdi>healthy</bdi></td>" in text
        links = re.findall(r'<a href="([^"]+)">', text)
        assert links == ["docs", "readyz", "livez", "metrics"]
        for link in links:
            async with session.get(f"{url}/{link}") as answer:
                assert answer.status == 200, link


async def test_what_is_not_ready_is_told_with_its_reason_and_escaped() -> None:
    status = {
        "accounts": {
            HOSTILE: {"state": "denied", "reason": HOSTILE, "certificates": 3, "observedthrough": 1_795_568_473_402}
        },
        "journal": {"state": "away", "reason": f"refused {HOSTILE}"},
        "configuration": {"state": "refused", "reasons": ["[http] needs a restart"]},
    }
    async with serving(status) as (session, url):
        text, _ = await opened(session, url)
    assert '<strong class="bad">not ready</strong>' in text
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;") == 3
    assert "[http] needs a restart" in text
    assert "<td><bdi>2026-11-25T01:01:13.402Z</bdi></td>" in text


async def test_it_starts_before_any_account_is_known() -> None:
    async with serving({}) as (session, url):
        text, _ = await opened(session, url)
    assert "not ready" in text


async def test_its_policy_lets_it_run_load_and_send_nothing() -> None:
    async with serving() as (session, url):
        text, headers = await opened(session, url)
        async with session.get(f"{url}/docs") as docs:
            same = ("X-Content-Type-Options", "Referrer-Policy")
            assert [headers[name] for name in same] == [docs.headers[name] for name in same]
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["sandbox"] == ""
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy["style-src"].startswith("'sha256-")
    assert policy.keys() & {"script-src", "connect-src", "frame-src"} == set()
    assert headers["Cache-Control"] == "no-store"
    assert "http://" not in text
    assert "https://" not in text


async def test_without_the_token_it_says_yes_or_no_and_nothing_else() -> None:
    away = {**HEALTHY, "journal": {"state": "away", "reason": "refused"}}
    async with serving(away, token="right") as (session, url):
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            text, _ = await opened(session, url, **headers)
            assert "not ready" in text
            assert "prod" not in text
            assert "refused" not in text
            assert "right" not in text
        text, _ = await opened(session, url, Authorization="Bearer right")
        assert "prod" in text
        assert "refused" in text
        assert "wants the token" in text


async def test_a_name_of_elsewhere_is_refused() -> None:
    async with serving() as (session, url), session.get(f"{url}/", headers={"Host": "evil.example"}) as answer:
        assert answer.status == 403
