"""A real broker holding what the product published, and a transaction that was given up."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import confluent_kafka
import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition

from tests.real.kafka import Broker, free_port
from tests.verify.processes import Setup, configure, run_once, start_simulator

TOPIC = "certstream.events"
CERTIFICATES = 1000
GIVEN_UP = 7


def publish(broker: Broker, directory: Path) -> None:
    """A sweep of a simulated account of 1,000 certificates by `certstream once`. Raises Broken."""
    port = free_port()
    setup = Setup("kafka", 60, CERTIFICATES, 0, 0, 8, "newest", 0, 1, 0, ("30d", "7d"), 0)
    simulator = start_simulator(directory, setup, port)
    try:
        file = configure(directory, setup, port, f"kafka://{broker.bootstrap}")
        run_once(directory, "topics", "topics", "apply", "--config", str(file))
        run_once(directory, "once", "once", "--config", str(file))
    finally:
        simulator.kill()
        simulator.wait()


def give_up(broker: Broker, example: Message) -> None:
    """Events with the next sequence numbers, in a transaction that is aborted: what a failed commit leaves behind."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "gives-up", "linger.ms": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    value = example.value()
    assert value is not None
    event = orjson.loads(value)
    for number in range(1, GIVEN_UP + 1):
        event |= {
            "id": str(uuid.uuid4()),
            "sequence": f"{int(event['sequence']) + 1:020}",
            "prevhash": f"{number:064x}",
        }
        given_up = orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
        producer.produce(TOPIC, given_up, example.key(), example.partition() or 0, headers=example.headers())
    producer.flush(30)
    producer.abort_transaction(30)


def records(broker: Broker, isolation: str) -> list[Message]:
    """Every record of the topic, by librdkafka, partition by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "here",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    partitions = consumer.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions
    consumer.assign([TopicPartition(TOPIC, number, OFFSET_BEGINNING) for number in partitions])
    found: list[Message] = []
    ended = 0
    deadline = time.monotonic() + 60
    while ended < len(partitions) and time.monotonic() < deadline:
        for message in consumer.consume(500, timeout=0.5):  # it waits that long for all 500
            if (error := message.error()) is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended += 1
            else:
                raise confluent_kafka.KafkaException(error)
    consumer.close()
    return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))
