"""Follows certstream's events with confluent-kafka alone: plain.py BOOTSTRAP [TOPIC [default]]"""

import hashlib
import json
import sys
import uuid

from confluent_kafka import Consumer

if len(sys.argv) < 2:
    sys.exit(__doc__)
settings = {
    "bootstrap.servers": sys.argv[1],
    "group.id": f"example-{uuid.uuid4()}",  # yours has a name, and keeps its place
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
}
if len(sys.argv) > 3:
    del settings["isolation.level"]  # to see what the client's default shows
consumer = Consumer(settings)
consumer.subscribe(sys.argv[2:3] or ["certstream.events"])
while True:
    message = consumer.poll(1.0)
    if message is None:
        continue
    if message.error():
        print(message.error(), file=sys.stderr)
        continue
    value = message.value()
    event = json.loads(value)
    digest = hashlib.sha256(value).hexdigest()
    columns = (event[name] for name in ("id", "type", "subject", "time", "sequence", "prevhash"))
    print(*columns, digest, sep="\t", flush=True)
