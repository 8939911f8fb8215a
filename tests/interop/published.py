"""A real broker holding what the product published, and a transaction whose producer was killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.real.kafka import Broker
from tests.real.ports import free_port
from tests.verify.processes import Broken, Setup, configure, run_once, start_simulator

TOPIC = "certstream.events"
CERTIFICATES = 1000
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]


def publish(broker: Broker, directory: Path) -> None:
    """A sweep of a simulated account of 1,000 certificates by `certstream once`. Raises Broken."""
    port = free_port()
    setup = Setup(journal="kafka", duration=60, certificates=CERTIFICATES, rate=0, seed=8, thresholds=("30d", "7d"))
    simulator = start_simulator(directory, setup, port)
    try:
        file = configure(directory, setup, port, f"kafka://{broker.bootstrap}")
        run_once(directory, "topics", "topics", "apply", "--config", str(file))
        run_once(directory, "once", "once", "--config", str(file))
    finally:
        simulator.kill()
        simulator.wait()


def left_behind(broker: Broker, directory: Path, example: Message) -> None:
    """Events with the next sequence numbers, in a transaction whose producer is killed in the middle of it (`kill -9`).

    The broker aborts it by itself when its time is over, and this waits for that. Raises Broken.
    """
    value, partition = example.value(), example.partition()
    assert value is not None
    assert partition is not None
    (directory / "example").write_bytes(value)
    given = [broker.bootstrap, TOPIC, str(partition), str(directory / "example")]
    words = [sys.executable, "-m", "tests.interop.killed", *given]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as producer:
        assert producer.stdout is not None
        said = producer.stdout.readline()
        producer.kill()
    if said != b"delivered\n":
        raise Broken("the producer that was to be killed did not get as far")
    admin, place = AdminClient({"bootstrap.servers": broker.bootstrap}), TopicPartition(TOPIC, partition)

    def end(isolation: IsolationLevel) -> int:
        asked = admin.list_offsets({place: LATEST}, isolation_level=isolation)
        return int(asked[place].result(30).offset)

    if end(IsolationLevel.READ_COMMITTED) >= end(IsolationLevel.READ_UNCOMMITTED):
        raise Broken("the transaction of the killed producer is not open")
    deadline = time.monotonic() + 60
    while end(IsolationLevel.READ_COMMITTED) < end(IsolationLevel.READ_UNCOMMITTED):
        if time.monotonic() > deadline:
            raise Broken("the broker did not abort the transaction of the killed producer within 60 s")
        time.sleep(0.2)


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
