"""The AsyncAPI document: its references lead somewhere, and topics, messages and keys are those of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.schemas.reading import SCHEMAS
from tests.schemas.test_files import ALL, EVENTS, KINDS

DOCUMENT: dict[str, Any] = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text("utf-8"))
CHANNELS: dict[str, Any] = DOCUMENT["channels"]
DAY = 24 * 60 * 60 * 1000
CERTIFICATE_TOPICS = [f"certificate.{kind}" for kind in KINDS]
COMPACTED = ["inventory", "pem", "accounts", "state"]


def places(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every `$ref` of the document and where it stands."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield place, item
            yield from places(item, f"{place} {key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, f"{place} {number}")


def find(reference: str) -> Any:
    name, _, pointer = reference.partition("#")
    value: Any = DOCUMENT
    if name:
        assert name.startswith("./"), f"{reference}: relative to this file"
        assert (SCHEMAS / name).is_file(), reference
        value = ALL[name.removeprefix("./").removesuffix(".json")]
    for key in pointer.split("/")[1:]:
        while "$ref" in value:
            value = find(value["$ref"])
        value = value[key]
    return value


def resolved(value: Any) -> Any:
    while isinstance(value, dict) and "$ref" in value:
        value = find(value["$ref"])
    return value


def kafka(channel: str) -> dict[str, Any]:
    binding: dict[str, Any] = resolved(CHANNELS[channel]["bindings"])["kafka"]
    return binding


def messages(channel: str) -> set[str]:
    return set(CHANNELS[channel].get("messages", {}))


@pytest.mark.parametrize(("place", "reference"), list(places(DOCUMENT)))
def test_every_reference_leads_somewhere(place: str, reference: str) -> None:
    assert find(reference) is not None, place


def test_every_topic_of_the_contract_is_there_and_no_other() -> None:
    assert list(CHANNELS) == ["events", *CERTIFICATE_TOPICS, "inventory", "pem", "accounts", "quarantine", "state"]


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_address_is_the_prefix_and_the_name(channel: str) -> None:
    assert CHANNELS[channel]["address"] == "{prefix}" + channel
    assert resolved(CHANNELS[channel]["parameters"]["prefix"])["default"] == "certstream."


@pytest.mark.parametrize("channel", CHANNELS)
def test_readers_are_told_to_read_committed(channel: str) -> None:
    assert "isolation.level=read_committed" in CHANNELS[channel]["description"]
    assert "isolation.level=read_committed" in DOCUMENT["info"]["description"]


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_topic_has_the_same_number_of_partitions(channel: str) -> None:
    assert kafka(channel)["partitions"] == 12


@pytest.mark.parametrize(
    ("channel", "days"), [("events", None), *((name, 400) for name in CERTIFICATE_TOPICS), ("quarantine", 90)]
)
def test_what_is_not_compacted_is_kept_as_long_as_the_contract_says(channel: str, days: int | None) -> None:
    config = kafka(channel)["topicConfiguration"]
    assert config["cleanup.policy"] == ["delete"]
    assert config["retention.ms"] == (-1 if days is None else days * DAY)
    assert config["retention.bytes"] == -1, "a broker's log.retention.bytes would delete sooner"


@pytest.mark.parametrize("channel", COMPACTED)
def test_what_is_compacted_keeps_tombstones_for_seven_days(channel: str) -> None:
    config = kafka(channel)["topicConfiguration"]
    assert config["cleanup.policy"] == ["compact"]
    assert config["delete.retention.ms"] == 7 * DAY
    assert 0 < config["segment.ms"] <= config["max.compaction.lag.ms"] <= DAY


def test_every_event_is_in_the_log_of_record_and_each_kind_in_its_own_topic() -> None:
    assert messages("events") == set(EVENTS)
    for name in CERTIFICATE_TOPICS:
        assert messages(name) == {name}
    for name in ("inventory", "pem", "accounts", "quarantine"):
        assert messages(name) == {name}
    assert messages("state") == set(), "private: no contract"


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_names_a_message_as_the_components_do(channel: str) -> None:
    for name, message in CHANNELS[channel].get("messages", {}).items():
        assert message == {"$ref": f"#/components/messages/{name}"}


@pytest.mark.parametrize("name", [*EVENTS, "inventory", "accounts", "quarantine"])
def test_a_message_carries_its_own_schema(name: str) -> None:
    assert DOCUMENT["components"]["messages"][name]["payload"] == {"$ref": f"./{name}.json"}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_named_by_its_type_and_carries_the_headers(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    assert message["name"] == ALL[name]["properties"]["type"]["const"]
    (trait,) = map(resolved, message["traits"])
    assert trait["contentType"] == "application/cloudevents+json; charset=UTF-8"
    headers = resolved(trait["headers"])
    assert headers["required"] == ["content-type", "ce_type", "ce_id", "ce_subject"]
    assert headers["properties"]["content-type"]["const"] == trait["contentType"]


@pytest.mark.parametrize("name", DOCUMENT["components"]["messages"])
def test_a_message_is_keyed_by_certificate_or_account(name: str) -> None:
    key = resolved(DOCUMENT["components"]["messages"][name]["bindings"])["kafka"]["key"]
    check = jsonschema_rs.Draft202012Validator(key)
    about_certificate = name.startswith("certificate.") or name in ("inventory", "pem", "quarantine")
    about_account = name.startswith("account") or name == "quarantine"
    assert check.is_valid("prod/d3b95700998e47afc4d95f88657960ab") == about_certificate
    assert check.is_valid("prod") == about_account
    assert not check.is_valid("prod/a/b")
    assert not check.is_valid("Prod/a")


def test_keys_are_built_of_the_shared_definitions() -> None:
    bindings = DOCUMENT["components"]["messageBindings"]
    common = ALL["common"]["$defs"]
    assert bindings["account"]["kafka"]["key"]["pattern"] == common["account"]["pattern"]
    assert bindings["certificate"]["kafka"]["key"]["pattern"] == common["certificateKey"]["pattern"]


def test_certstream_sends_to_every_channel_that_has_messages_and_receives_nothing() -> None:
    operations = DOCUMENT["operations"].values()
    assert {operation["action"] for operation in operations} == {"send"}
    sent = {operation["channel"]["$ref"].removeprefix("#/channels/"): operation for operation in operations}
    assert set(sent) == {channel for channel in CHANNELS if messages(channel)}
    for channel, operation in sent.items():
        expected = {f"#/channels/{channel}/messages/{name}" for name in messages(channel)}
        assert {message["$ref"] for message in operation["messages"]} == expected


def test_only_what_the_kafka_binding_knows_is_in_it() -> None:
    for channel in CHANNELS:
        assert kafka(channel).keys() == {"bindingVersion", "partitions", "topicConfiguration"}
        assert kafka(channel)["bindingVersion"] == "0.5.0"
