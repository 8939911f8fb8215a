"""What readers rely on beside the payloads, as `asyncapi.yaml` says it: topics, partitions, keys, types, time kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.schemas.differences import differences

PRIVATE = "state"
"""No contract: only certstream reads it. Its partitions are those of all topics nonetheless."""
_KEPT = ("retention.ms", "retention.bytes", "delete.retention.ms")


def lost(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What one AsyncAPI document breaks of another: a sentence each, beginning with the topic."""
    found: list[str] = []
    for name in before["channels"]:
        if name not in now["channels"]:
            found.append(f"topic {name}: it is gone, and its readers wait for it")
            continue
        found += [f"topic {name}: {one}" for one in _topic(before, now, name)]
    return found


def _topic(before: dict[str, Any], now: dict[str, Any], name: str) -> Iterator[str]:
    old, new = before["channels"][name], now["channels"][name]
    if old["address"] != new["address"]:
        yield f"its name is {new['address']!r}, and was {old['address']!r}"
    yield from _settings(_deep(before, old["bindings"])["kafka"], _deep(now, new["bindings"])["kafka"])
    messages = _deep(before, old.get("messages", {})), _deep(now, new.get("messages", {}))
    for message in messages[0] if name != PRIVATE else ():
        if message not in messages[1]:
            yield f"the message {message} is no longer in it"
        else:
            yield from (f"{message}: {one}" for one in _message(messages[0][message], messages[1][message]))


def _settings(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    if old["partitions"] != new["partitions"]:
        yield (
            f"it has {new['partitions']} partitions, and had {old['partitions']}; another count moves accounts "
            "between partitions and breaks their order"
        )
    was, is_ = old["topicConfiguration"], new["topicConfiguration"]
    if was["cleanup.policy"] != is_["cleanup.policy"]:
        yield f"its cleanup.policy is {is_['cleanup.policy']}, and was {was['cleanup.policy']}"
        return
    for key in _KEPT:
        if key in was and _time(is_.get(key, 0)) < _time(was[key]):
            yield f"its {key} is {is_.get(key)}, and was {was[key]}: what readers count on is deleted sooner"


def _time(value: int) -> float:
    """Kafka's -1 means without a limit."""
    return float("inf") if value == -1 else value


def _message(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    if old["name"] != new["name"]:
        yield f"its type is {new['name']}, and was {old['name']}"
    if _content(old) != _content(new):
        yield f"its content type is {_content(new)}, and was {_content(old)}"
    yield from (f"its key: {one}" for one in differences(_key(old), _key(new)))
    yield from (f"its headers: {one}" for one in differences(_headers(old), _headers(new)))
    if "$ref" not in old["payload"]:
        yield from (f"its payload: {one}" for one in differences(old["payload"], new["payload"]))
    elif old["payload"] != new["payload"]:
        yield f"its payload is {new['payload']}, and was {old['payload']}"


def _content(message: dict[str, Any]) -> str:
    found: str = _traits(message).get("contentType", "")
    return found


def _headers(message: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _traits(message).get("headers", {})
    return found


def _traits(message: dict[str, Any]) -> dict[str, Any]:
    """The message with what its traits give; its own words win."""
    given: dict[str, Any] = {}
    for trait in message.get("traits", []):
        given |= trait
    return given | message


def _key(message: dict[str, Any]) -> dict[str, Any]:
    key: dict[str, Any] = message["bindings"]["kafka"]["key"]
    return key


def _deep(document: dict[str, Any], value: Any) -> Any:
    """With every reference into the document replaced by what it points at; those to other files stay."""
    if isinstance(value, list):
        return [_deep(document, item) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref", "")
    if reference.startswith("#/"):
        target: Any = document
        for part in reference[2:].split("/"):
            target = target[part]
        return _deep(document, target)
    return {key: _deep(document, item) for key, item in value.items()}
