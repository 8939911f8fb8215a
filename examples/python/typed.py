"""Follows certstream's events as typed Python values: typed.py BOOTSTRAP [TOPIC]"""

import hashlib
import sys
import uuid

from confluent_kafka import Consumer

from certstream.events import CertificateRevoked, UnknownEvent, decode

if len(sys.argv) < 2:
    sys.exit(__doc__)
consumer = Consumer(
    {
        "bootstrap.servers": sys.argv[1],
        "group.id": f"example-{uuid.uuid4()}",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
)
consumer.subscribe(sys.argv[2:3] or ["certstream.events"])
while True:
    message = consumer.poll(1.0)
    if message is None:
        continue
    if message.error():
        print(message.error(), file=sys.stderr)
        continue
    event = decode(message.value())
    if isinstance(event, UnknownEvent):
        continue  # of a later version
    if isinstance(event, CertificateRevoked):
        print("revoked:", event.data.certificate.serial_number, file=sys.stderr)
    digest = hashlib.sha256(message.value()).hexdigest()
    when = event.time.isoformat()
    print(event.id, event.type, event.subject, when, event.sequence, event.prevhash, digest, sep="\t", flush=True)
