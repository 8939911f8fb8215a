"""Loads `schemas/`: the AsyncAPI document and the JSON Schemas, the only definition of topics and messages."""

from __future__ import annotations

from certstream.definition.files import asyncapi, schema, schema_names
from certstream.definition.resolved import resolved_asyncapi
from certstream.definition.topics import Topic, parse_topics, topics

__all__ = ["Topic", "asyncapi", "parse_topics", "resolved_asyncapi", "schema", "schema_names", "topics"]
