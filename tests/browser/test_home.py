"""`/`: drawn by a real Chromium, styled, and its policy broken by nothing."""

from __future__ import annotations

from pathlib import Path

from tests.cli.test_web import HEALTHY, serving
from tests.real.chromium import look

PICTURE = Path(__file__).resolve().parents[2] / ".cache" / "home.png"
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


async def test_the_page_is_drawn_and_what_a_reason_says_stays_text() -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    accounts = {**HEALTHY["accounts"], "test": {"state": "denied", "reason": HOSTILE, "certificates": 12}}
    async with serving({**HEALTHY, "accounts": accounts}) as (_, url):
        page = await look(f"{url}/", picture=PICTURE)
    assert page.console == []
    assert "<title>certstream</title>" in page.dom
    assert "<img" not in page.dom
    assert "&lt;script&gt;" in page.dom
    assert PICTURE.stat().st_size > 5_000, "a picture to look at"
