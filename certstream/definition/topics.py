"""The topics, as the AsyncAPI document's channels define them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from certstream.core.errors import Fatal
from certstream.definition.files import ASYNCAPI, MEND, asyncapi, line_of, parse_yaml, places, schema_names

PREFIX = "{prefix}"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `name` is without the prefix; `config` holds Kafka's topic configuration as the broker spells it."""

    name: str
    partitions: int
    config: Mapping[str, str]
    compacted: bool
    description: str


@cache
def topics() -> tuple[Topic, ...]:
    """Every topic, in the order of the document. Raises Fatal for a broken or contradictory document."""
    return parse_topics(asyncapi())


def parse_topics(text: bytes, name: str = ASYNCAPI, schemas: Collection[str] | None = None) -> tuple[Topic, ...]:
    """The topics of an AsyncAPI document. `schemas`: the messages whose JSON Schemas lie beside it, certstream's own
    where they are not given. Raises Fatal that names the file and the place; also for a `$ref`, wherever it stands,
    that leads nowhere, and for a message that lacks what readers go by."""
    document = _Document(parse_yaml(text, name), name, text)
    found = tuple(_topic(document, channel) for channel in document.mapping("channels"))
    if not found:
        raise document.wrong("channels", "there is none")
    counts = {topic.partitions for topic in found}
    if len(counts) > 1:
        # Shard n writes partition n of every topic: with different counts some would have no such partition.
        said = ", ".join(f"{topic.name} {topic.partitions}" for topic in found)
        raise document.wrong("channels", f"every topic has the same number of partitions, but: {said}")
    _check_references(document, schema_names() if schemas is None else schemas)
    for topic in found:
        for message in document.get(f"channels {topic.name} messages", {}):
            _check_message(document, f"channels {topic.name} messages {message}")
    return found


@dataclass(frozen=True, slots=True)
class _Document:
    root: dict[str, Any]
    name: str
    text: bytes

    def wrong(self, place: str, problem: str) -> Fatal:
        line = line_of(self.text, place.split(" "))
        return Fatal(f"schemas/{self.name} line {line}, {place}: {problem}: {MEND}")

    def get(self, place: str, default: Any = None) -> Any:
        """The value at a path of keys joined by spaces (channel names have dots); local `$ref`s are followed."""
        value: Any = self.root
        for key in place.split(" "):
            if not isinstance(value, dict):
                return default
            value = self.follow(value.get(key, default), place)
        return value

    def follow(self, value: Any, place: str) -> Any:
        for _ in range(8):
            if not isinstance(value, dict) or "$ref" not in value:
                return value
            reference = value["$ref"]
            if not isinstance(reference, str) or not reference.startswith("#/"):
                raise self.wrong(place, f"$ref {reference!r} does not point into this file")
            value = self.root
            for part in reference[2:].split("/"):
                value = value.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(value, dict) else None
            if value is None:
                raise self.wrong(place, f"$ref {reference!r} points at nothing")
        raise self.wrong(place, "the $refs go round in a circle")

    def mapping(self, place: str) -> dict[str, Any]:
        value = self.get(place)
        if not isinstance(value, dict):
            raise self.wrong(place, "a mapping is missing here")
        return value


def _topic(document: _Document, channel: str) -> Topic:
    place = f"channels {channel}"
    address = document.get(f"{place} address")
    if address != PREFIX + channel:
        raise document.wrong(f"{place} address", f"expected {PREFIX + channel!r}, not {address!r}")
    binding = f"{place} bindings kafka"
    partitions = document.get(f"{binding} partitions")
    if type(partitions) is not int or partitions < 1:
        raise document.wrong(f"{binding} partitions", f"expected a whole number from 1, not {partitions!r}")
    configuration = document.mapping(f"{binding} topicConfiguration")
    config = {
        key: _text(document, f"{binding} topicConfiguration {key}", value) for key, value in configuration.items()
    }
    description = document.get(f"{place} description")
    if not isinstance(description, str):
        raise document.wrong(f"{place} description", "a text is missing here")
    compacted = _compacted(document, f"{binding} topicConfiguration", config)
    return Topic(channel, partitions, MappingProxyType(config), compacted, description.strip())


def _check_references(document: _Document, schemas: Collection[str]) -> None:
    for path, part in places(document.root):
        if "$ref" not in part:
            continue
        place, reference = " ".join(map(str, (*path, "$ref"))), part["$ref"]
        if isinstance(reference, str) and reference.startswith("./"):
            if reference.removeprefix("./").removesuffix(".json") not in schemas or not reference.endswith(".json"):
                raise document.wrong(place, f"$ref {reference!r} is no file of schemas/")
        else:
            document.follow({"$ref": reference}, place)


def _check_message(document: _Document, place: str) -> None:
    for name in ("name", "summary"):
        if not isinstance(document.get(f"{place} {name}"), str):
            raise document.wrong(f"{place} {name}", "a text is missing here")
    document.mapping(f"{place} bindings kafka key")
    # The files are followed elsewhere; within this one there is something.
    payload = document.mapping(place).get("payload")
    if not isinstance(payload, dict):
        raise document.wrong(f"{place} payload", "a mapping is missing here")


_COMPACTION = ("segment.ms", "max.compaction.lag.ms", "delete.retention.ms")


def _compacted(document: _Document, place: str, config: Mapping[str, str]) -> bool:
    policy = config.get("cleanup.policy")
    if policy not in ("compact", "delete"):
        raise document.wrong(f"{place} cleanup.policy", f"expected [compact] or [delete], not {policy!r}")
    compacted = policy == "compact"
    needed = _COMPACTION if compacted else ("retention.ms", "retention.bytes")
    missing = [key for key in needed if key not in config]
    if missing:
        # What is not said here would be the broker's default, which on some clusters deletes after a week.
        raise document.wrong(place, f"{', '.join(missing)} must be given with cleanup.policy [{policy}]")
    if compacted and (extra := [key for key in ("retention.ms", "retention.bytes") if key in config]):
        raise document.wrong(place, f"{', '.join(extra)} means nothing with cleanup.policy [compact]")
    return compacted


def _text(document: _Document, place: str, value: Any) -> str:
    """As Kafka spells it: numbers in decimal, booleans in lower case, lists joined by commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    raise document.wrong(place, f"expected a text, a whole number, a boolean or a list of texts, not {value!r}")
