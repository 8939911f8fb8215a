"""Bytes in, typed event out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import Struct

from certstream.events import kinds
from certstream.events.records import AccountHealth, InventoryRow, QuarantinedRecord

KnownEvent: TypeAlias = (
    kinds.CertificateDiscovered
    | kinds.CertificateNew
    | kinds.CertificateRevoked
    | kinds.CertificateExpiring
    | kinds.CertificateExpired
    | kinds.CertificateChanged
    | kinds.CertificateDeleted
    | kinds.AccountBaselined
    | kinds.AccountDigest
    | kinds.AccountSuspect
    | kinds.AccountReleased
    | kinds.AccountPaused
    | kinds.AccountResumed
    | kinds.AccountSweepRequested
    | kinds.AccountForgotten
)


class UnknownEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A CloudEvent of a type that this version does not know, from a later certstream. Pass over it."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None
    data: Any = None


Event: TypeAlias = KnownEvent | UnknownEvent


class NotAnEvent(ValueError):
    """The bytes are no record of the expected kind; the text says where and why."""


class _Typed(Struct):
    type: str


def _type(event: type[Struct]) -> str:
    (named,) = (field.type for field in msgspec.structs.fields(event) if field.name == "type")
    (value,) = get_args(named)
    return str(value)


CLASSES: Mapping[str, type[KnownEvent]] = MappingProxyType({_type(event): event for event in get_args(KnownEvent)})
"""Every type of event that this version knows, and its class."""

_TYPE = msgspec.json.Decoder(_Typed)
_UNKNOWN = msgspec.json.Decoder(UnknownEvent)
_DECODERS: Mapping[str, msgspec.json.Decoder[KnownEvent]] = {
    name: msgspec.json.Decoder(event) for name, event in CLASSES.items()
}


def decode(value: bytes) -> Event:
    """The event in the value of a record of `events` or of a topic of one kind. Raises NotAnEvent."""
    try:
        return _DECODERS.get(_TYPE.decode(value).type, _UNKNOWN).decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnEvent(str(error)) from error


Record = TypeVar("Record", InventoryRow, AccountHealth, QuarantinedRecord)


def decode_record(value: bytes, kind: type[Record]) -> Record:
    """The value of a record of `inventory`, `accounts` or `quarantine`. Raises NotAnEvent."""
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnEvent(str(error)) from error
