"""`python -m tests.interop.killed BOOTSTRAP TOPIC PARTITION FILE`: begins a transaction, delivers events that follow
the one in FILE, and waits to be killed: what a service leaves that dies between its first record and its commit."""

from __future__ import annotations

import signal
import sys
import uuid
from pathlib import Path

import orjson
from confluent_kafka import Producer

GIVEN_UP = 7
TIME = 3000
"""Milliseconds after which the broker gives the transaction up."""


def main(bootstrap: str, topic: str, partition: int, like: Path) -> None:
    """Says `delivered` when the broker has them all."""
    event = orjson.loads(like.read_bytes())
    settings = {"transactional.id": "killed", "transaction.timeout.ms": TIME, "linger.ms": 0}
    producer = Producer({"bootstrap.servers": bootstrap, **settings})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(1, GIVEN_UP + 1):
        following = {"sequence": f"{int(event['sequence']) + 1:020}", "prevhash": f"{number:064x}"}
        event |= {"id": str(uuid.uuid4()), **following}
        headers = {
            "content-type": "application/cloudevents+json; charset=UTF-8",
            "ce_type": event["type"],
            "ce_id": event["id"],
            "ce_subject": event["subject"],
        }
        value = orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
        producer.produce(topic, value, event["partitionkey"], partition, headers=[*headers.items()])
    if producer.flush(30) == 0:
        print("delivered", flush=True)
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
