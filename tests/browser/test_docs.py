"""`/docs`: AsyncAPI's component draws the whole document, under the policy that the page has."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

from tests.cli.test_web import serving
from tests.real.chromium import look
from tests.schemas.test_files import ALL, EVENTS

PICTURE = Path(__file__).resolve().parents[2] / ".cache" / "docs.png"


async def test_the_document_is_drawn_whole_and_the_page_complains_of_nothing() -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    async with serving() as (_, url):
        page = await look(f"{url}/docs", picture=PICTURE)
    assert page.console == []
    seen = unescape(re.sub(r"<[^>]+>", "", page.dom))
    for message in EVENTS:
        assert message in seen
        assert ALL[message]["examples"][0]["id"] in seen, f"the example of {message}"
    for topic in ("events", "certificate.deleted", "inventory", "pem", "accounts", "quarantine"):
        assert f"{{prefix}}{topic}" in seen
    assert "isolation.level=read_committed" in seen
    assert PICTURE.stat().st_size > 50_000, "a picture to look at"
