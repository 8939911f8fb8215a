"""Follows certstream's events with the official CloudEvents SDK (cloudevents 2): sdk.py BOOTSTRAP [TOPIC]"""

import hashlib
import sys
import uuid

from cloudevents.core.bindings.kafka import KafkaMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer

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
    record = KafkaMessage(headers=dict(message.headers()), key=message.key(), value=message.value())
    event = from_structured(record, JSONFormat())  # not from_kafka: it takes the ce_ headers for binary mode
    digest = hashlib.sha256(message.value()).hexdigest()
    more = (event.get_extension("sequence"), event.get_extension("prevhash"), digest)
    print(
        event.get_id(), event.get_type(), event.get_subject(), event.get_time().isoformat(), *more, sep="\t", flush=True
    )
