"""The pages of `docs/events/` and `docs/topics/` are what the contract makes of them."""

from __future__ import annotations

import json
import re

import pytest

from tests.schemas import pages
from tests.schemas.test_asyncapi import CHANNELS
from tests.schemas.test_files import ALL, EVENTS, fields


def test_every_page_is_current() -> None:
    assert pages.stale() == [], "run: python -m tests.schemas.pages"


@pytest.mark.parametrize("name", EVENTS)
def test_the_page_of_an_event_has_its_example_and_every_field(name: str) -> None:
    text = (pages.DOCS / "events" / f"{name}.md").read_text("utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", text, re.S)
    assert json.loads(block) == ALL[name]["examples"][0]
    shown = set(re.findall(r"^\| `([^`]+)` \|", text, re.M))
    named = {place.rsplit(".", 1)[-1] for place, field in fields(ALL[name], ALL[name]) if place.count(".") == 1}
    assert named <= shown
    assert {f"data.{member}" for member in ALL[name]["$defs"]["data"]["properties"]} <= shown
    for word in ("**Key**", "isolation.level=read_committed", "for ever", f"certstream.{name}.v1"):
        assert word in text


@pytest.mark.parametrize("name", CHANNELS)
def test_every_topic_has_a_page_that_says_how_long_it_is_kept(name: str) -> None:
    text = (pages.DOCS / "topics" / f"{name}.md").read_text("utf-8")
    for word in ("**Kept**", "isolation.level=read_committed", "cleanup.policy"):
        assert word in text


def test_the_links_between_pages_lead_somewhere() -> None:
    for path, text in pages.pages().items():
        for link in re.findall(r"\]\(([^)#]+)", text):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
