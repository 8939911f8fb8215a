"""Typed models of what certstream publishes, for those who read it in Python.

`decode(value)` turns the value of a record of any topic of events into one of the classes below: `isinstance` or
`match` picks the kind. `decode_record(value, InventoryRow)` does the same for the other topics. The models say what
`schemas/` says, a test compares the two in both directions; this package imports nothing else of certstream.

    event = decode(message.value())
    if isinstance(event, CertificateRevoked):
        revoke(event.data.certificate.serial_number)

Unknown members are ignored, an unknown type is an `UnknownEvent`: what a later version adds breaks no reader.
Read with `isolation.level=read_committed`; a consumer that does not sees events that were given up.
"""

from certstream.events.certificate import Certificate, Change, Finding, Lifecycle, Observed, Part, San
from certstream.events.decoding import CLASSES, Event, NotAnEvent, UnknownEvent, decode, decode_record
from certstream.events.kinds import (
    AccountBaselined,
    AccountDigest,
    AccountEvent,
    AccountForgotten,
    AccountPaused,
    AccountReleased,
    AccountResumed,
    AccountSuspect,
    AccountSweepRequested,
    CertificateChanged,
    CertificateDeleted,
    CertificateDiscovered,
    CertificateEvent,
    CertificateExpired,
    CertificateExpiring,
    CertificateNew,
    CertificateRevoked,
)
from certstream.events.records import AccountHealth, InventoryRow, QuarantinedRecord

__all__ = [
    "CLASSES",
    "AccountBaselined",
    "AccountDigest",
    "AccountEvent",
    "AccountForgotten",
    "AccountHealth",
    "AccountPaused",
    "AccountReleased",
    "AccountResumed",
    "AccountSuspect",
    "AccountSweepRequested",
    "Certificate",
    "CertificateChanged",
    "CertificateDeleted",
    "CertificateDiscovered",
    "CertificateEvent",
    "CertificateExpired",
    "CertificateExpiring",
    "CertificateNew",
    "CertificateRevoked",
    "Change",
    "Event",
    "Finding",
    "InventoryRow",
    "Lifecycle",
    "NotAnEvent",
    "Observed",
    "Part",
    "QuarantinedRecord",
    "San",
    "UnknownEvent",
    "decode",
    "decode_record",
]
