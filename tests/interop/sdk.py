"""What the Python SDK makes of our records where it detects the mode itself."""

from __future__ import annotations

from typing import cast

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Message


def misread_by_mode_detection(message: Message) -> bool:
    """Whether `from_kafka` takes the record for binary mode, as it does with any that has a `ce_` header."""
    headers = dict(cast("list[tuple[str, bytes]]", message.headers()))
    record = KafkaMessage(headers=headers, key=message.key(), value=message.value() or b"")
    try:
        event = from_kafka(record, JSONFormat())
    except CloudEventValidationError:
        return True  # attributes that only the value has are missing
    return event.get_extension("sequence") is None
