"""Loads `schemas/`: the AsyncAPI document and the JSON Schemas, the only definition of topics and messages."""

from __future__ import annotations

from certstream.definition.files import asyncapi, check_schemas, schema, schema_names
from certstream.definition.resolved import asyncapi_document, resolved
from certstream.definition.topics import Topic, parse_topics, topics

__all__ = [
    "Topic",
    "asyncapi",
    "asyncapi_document",
    "check_schemas",
    "parse_topics",
    "resolved",
    "schema",
    "schema_names",
    "topics",
]
