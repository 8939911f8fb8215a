"""`/docs`: everything that the page needs is served here, and its policy lets it reach nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import aiohttp
import pytest

from tests.cli.test_web import serving
from tests.schemas.test_files import ALL, EVENTS


class Loaded(HTMLParser):
    """What a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


async def page(session: aiohttp.ClientSession, url: str) -> tuple[str, Any]:
    async with session.get(url) as answer:
        assert answer.status == 200, url
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        return await answer.text(), answer.headers


async def test_the_page_loads_only_what_is_served_beside_it() -> None:
    async with serving() as (session, url):
        text, _ = await page(session, f"{url}/docs")
        parser = Loaded()
        parser.feed(text)
        loaded = [name for name in parser.found if name != "data:,"]
        assert len(loaded) == 4
        for name in loaded:
            assert name.startswith("docs/")
            await page(session, f"{url}/{name}")


async def test_the_page_may_connect_to_nothing_and_has_no_origin() -> None:
    async with serving() as (session, url):
        _, headers = await page(session, f"{url}/docs")
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["sandbox"] == "allow-scripts"  # not allow-same-origin: what is in the page cannot ask this service
    assert policy.keys() & {"connect-src", "frame-src"} == set()
    assert all("http" not in value and "*" not in value for value in policy.values())


async def test_the_document_is_that_of_the_schemas_with_every_reference_followed() -> None:
    async with serving() as (session, url):
        text, _ = await page(session, f"{url}/docs/document.js")
    document = json.loads(text.removeprefix("const schema = ").rstrip().removesuffix(";"))
    assert '"$ref"' not in text
    sent = document["operations"]["sendEvents"]["messages"]
    messages = document["channels"]["events"]["messages"]
    assert set(messages) == {message["x-parser-unique-object-id"] for message in sent} == set(EVENTS)
    for message in (*messages.values(), *sent):
        assert message["payload"]["examples"] == ALL[message["x-parser-unique-object-id"]]["examples"]
        assert message["contentType"] == "application/cloudevents+json; charset=UTF-8"
        assert "ce_type" in message["headers"]["properties"]


@pytest.mark.parametrize("name", ["server.py", "README.md", "..%2Fserver.py", "%2e%2e/server.py", ""])
async def test_no_other_file_is_served(name: str) -> None:
    async with serving() as (session, url), session.get(f"{url}/docs/{name}") as answer:
        assert answer.status == 404


async def test_the_documentation_needs_no_token_but_no_other_path_is_freed_by_that() -> None:
    async with serving(token="right") as (session, url):
        await page(session, f"{url}/docs")
        for path in ("/metrics", "/docs/../metrics", "/docsx", "/docs/%2e%2e/metrics"):
            async with session.get(f"{url}{path}") as answer:
                assert answer.status == 401, path


def test_the_vendored_files_are_those_of_the_release_that_is_named() -> None:
    folder = files("certstream.web") / "static"
    sums = re.findall(r"^\| (\S+) \| ([0-9a-f]{64}) \|$", (folder / "README.md").read_text("utf-8"), re.M)
    assert len(sums) == 2
    for name, expected in sums:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name
