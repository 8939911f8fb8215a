"""Loads `schemas/`: the AsyncAPI document and the JSON Schemas, the only definition of topics and messages."""

from __future__ import annotations

from certstream.definition.files import asyncapi, check_schemas, schema, schema_names
from certstream.definition.topics import Topic, parse_topics, topics

__all__ = ["Topic", "asyncapi", "check_schemas", "parse_topics", "schema", "schema_names", "topics"]
