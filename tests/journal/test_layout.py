"""The journal's list of topics is the definition's."""

from __future__ import annotations

from certstream.definition import topics
from certstream.journal.layout import COMPACTED, TOPICS


def test_the_journals_topics_are_those_of_the_definition() -> None:
    assert set(TOPICS) == {topic.name for topic in topics()}
    assert set(COMPACTED) == {topic.name for topic in topics() if topic.compacted}
