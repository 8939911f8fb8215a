"""`python -m tests.schemas.pages` writes `docs/events/` and `docs/topics/` from the contract, a page each.

With `--check` it writes nothing, and exit code 1 names the pages that are not current. Everything on a page comes from
`schemas/`: when (description), key, example, fields, how long it is kept.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.schemas.reading import SCHEMAS, document, told
from tests.schemas.share import files

DOCS = SCHEMAS.parent / "docs"
GENERATED = "<!-- made by python -m tests.schemas.pages from schemas/: edit those -->\n\n"
ISOLATION = (
    "Read with `isolation.level=read_committed`: [most clients do not by default](../contracts.md#read-committed)."
)
DAY = 24 * 60 * 60 * 1000


class Contract:
    """The AsyncAPI document and the schemas."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = document(SCHEMAS)
        self.schemas = files()
        self.channels: dict[str, Any] = self.document["channels"]
        self.messages: dict[str, Any] = self.document["components"]["messages"]
        self.prefix: str = self.document["components"]["parameters"]["prefix"]["default"]

    def follow(self, value: Any) -> Any:
        """What a reference into the document leads to."""
        while isinstance(value, dict) and str(value.get("$ref", "")).startswith("#/"):
            reference, value = value["$ref"], self.document
            for part in reference[2:].split("/"):
                value = value[part]
        return value

    def kafka(self, part: dict[str, Any]) -> dict[str, Any]:
        """Its Kafka binding."""
        binding: dict[str, Any] = self.follow(part["bindings"])["kafka"]
        return binding

    def topics(self, message: str) -> list[str]:
        """The channels that carry a message."""
        return [name for name, channel in self.channels.items() if message in channel.get("messages", {})]

    def schema(self, message: str) -> dict[str, Any]:
        """A message's payload."""
        payload: dict[str, Any] = self.messages[message]["payload"]
        return self.schemas[message] if "$ref" in payload else payload

    def events(self) -> list[str]:
        """The messages that are events."""
        return list(self.channels["events"]["messages"])


def kept(config: dict[str, Any]) -> str:
    """How long a topic keeps its records, in words."""
    if config["cleanup.policy"] == ["compact"]:
        tombstones = config["delete.retention.ms"] // DAY
        return f"compacted: the last record of each key for ever, tombstones for {tombstones} days"
    return "for ever" if config["retention.ms"] == -1 else f"{config['retention.ms'] // DAY} days"


def resolved(root: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of a schema with what its references give; its own words win."""
    for one in part.get("allOf", []):
        part = {**resolved(root, one), **part}
    if "$ref" in part:
        part = {**resolved(root, root["$defs"][part["$ref"].removeprefix("#/$defs/")]), **part}
    return part


def kind(part: dict[str, Any]) -> str:
    """What a value may be, in few words."""
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return " \\| ".join(f"`{word}`" for word in part["enum"])
    if part.get("format") == "date-time":
        return "instant"
    kinds = part.get("type", "object" if "properties" in part else "any")
    return kinds if isinstance(kinds, str) else " \\| ".join(kinds)


def rows(root: dict[str, Any], part: dict[str, Any], place: str = "") -> Iterator[str]:
    """A table row for each member, those within it after it."""
    part = resolved(root, part)
    for name, member in part.get("properties", {}).items():
        field = resolved(root, member)
        if not field.get("description"):  # it only demands something of what is defined elsewhere
            continue
        needed = "yes" if name in part.get("required", ()) else ""
        yield f"| `{place}{name}` | {kind(field)} | {needed} | {cell(field['description'])} |\n"
        yield from rows(root, field, f"{place}{name}.")
        for inner, mark in (("items", "[]."), ("additionalProperties", ".*.")):
            if isinstance(field.get(inner), dict):
                yield from rows(root, field[inner], f"{place}{name}{mark}")


def cell(text: str) -> str:
    """Text as it may stand in a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def fields(schema: dict[str, Any]) -> str:
    """The table of a message's fields."""
    head = "| field | is | always there | |\n|---|---|---|---|\n"
    return "## Fields\n\nIgnore members that are not listed here.\n\n" + head + "".join(rows(schema, schema))


def example(schema: dict[str, Any]) -> str:
    """Its first example; as a record it is one line, in canonical JSON."""
    value = schema["examples"][0]
    if isinstance(value, str):
        return f"## Example\n\n```\n{value.strip()}\n```\n"
    return f"## Example\n\n```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```\n"


def key(contract: Contract, message: str) -> str:
    """The record's key, with an example."""
    said = contract.kafka(contract.messages[message])["key"]
    return f"{cell(said['description']).rstrip('.')}; for example `{said['examples'][0]}`"


def event_page(contract: Contract, name: str) -> str:
    """The page of one event."""
    message, schema = contract.messages[name], contract.schema(name)
    links = []
    for topic in contract.topics(name):
        config = contract.kafka(contract.channels[topic])["topicConfiguration"]
        links.append(f"[`{contract.prefix}{topic}`](../topics/{topic}.md) ({kept(config)})")
    return (
        f"# {message['title']}\n\n{GENERATED}{schema['$defs']['data']['description']}\n\n"
        f"- **Type** `{message['name']}`\n- **Topics** {', '.join(links)}\n- **Key** {key(contract, name)}\n"
        f"- **Isolation** {ISOLATION}\n- **Schema** [schemas/{name}.json](../../schemas/{name}.json)\n\n"
        f"{example(schema)}\n{fields(schema)}"
    )


def topic_page(contract: Contract, name: str) -> str:
    """The page of one topic."""
    channel = contract.channels[name]
    binding = contract.kafka(channel)
    config = {item: words(value) for item, value in binding["topicConfiguration"].items()}
    table = "".join(f"| `{item}` | `{value}` |\n" for item, value in config.items())
    carried = list(channel.get("messages", {}))
    text = (
        f"# {contract.prefix}{name}\n\n{GENERATED}{channel['title']}. {cell(channel['description'])}\n\n"
        f"- **Kept** {kept(binding['topicConfiguration'])}\n- **Partitions** {binding['partitions']}\n"
    )
    keys = dict.fromkeys(key(contract, message) for message in carried)
    text += "".join(f"- **Key** {one}\n" for one in keys)
    text += f"- **Isolation** {ISOLATION}\n"
    events = [message for message in carried if message in contract.events()]
    if events:
        listed = (f"- [`{contract.messages[one]['name']}`](../events/{one}.md)\n" for one in events)
        text += f"\n## Events\n\n{''.join(listed)}"
    elif carried:
        (message,) = carried
        text += f"\n{contract.messages[message]['summary']}\n\n{example(contract.schema(message))}"
        if "properties" in contract.schema(message):
            text += f"\n{fields(contract.schema(message))}"
    return f"{text}\n## Configuration\n\n| | |\n|---|---|\n{table}"


def words(value: Any) -> str:
    """A setting as Kafka spells it."""
    return ",".join(value) if isinstance(value, list) else str(value)


def index(contract: Contract) -> str:
    """The list of all pages."""
    events = "".join(
        f"| [`{contract.messages[name]['name']}`]({name}.md) | {cell(contract.messages[name]['summary'])} |\n"
        for name in contract.events()
    )
    topics = "".join(
        f"| [`{contract.prefix}{name}`](../topics/{name}.md) | {channel['title']} | "
        f"{kept(contract.kafka(channel)['topicConfiguration'])} |\n"
        for name, channel in contract.channels.items()
    )
    return (
        f"# Events and topics\n\n{GENERATED}What a schema cannot say: [docs/contracts.md](../contracts.md). The same, "
        "rendered: `/docs` of a running service.\n\n"
        f"| event | when |\n|---|---|\n{events}\n| topic | holds | kept |\n|---|---|---|\n{topics}"
    )


def pages() -> dict[Path, str]:
    """Every page by its file."""
    contract = Contract()
    found = {DOCS / "events" / "README.md": index(contract)}
    found |= {DOCS / "events" / f"{name}.md": event_page(contract, name) for name in contract.events()}
    return found | {DOCS / "topics" / f"{name}.md": topic_page(contract, name) for name in contract.channels}


def stale() -> list[str]:
    """The files that are not what the contract makes of them, also those that it makes no more."""
    wanted = pages()
    there = {path for folder in ("events", "topics") for path in (DOCS / folder).glob("*.md")}
    wrong = {path for path, text in wanted.items() if path not in there or path.read_text("utf-8") != text}
    return sorted(path.relative_to(DOCS.parent).as_posix() for path in wrong | (there - wanted.keys()))


def main() -> int:
    """Write, or with `--check` say what would be written."""
    wrong = stale()
    if "--check" in sys.argv[1:]:
        for name in wrong:
            print(f"{name} is not what schemas/ say; run: python -m tests.schemas.pages", file=sys.stderr)
        return 1 if wrong else 0
    wanted = {path.relative_to(DOCS.parent).as_posix(): (path, text) for path, text in pages().items()}
    for name in wrong:
        if name in wanted:
            path, text = wanted[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        else:
            (DOCS.parent / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(told(main))
