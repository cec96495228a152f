"""A Kafka cluster in this process, which speaks the real protocol: librdkafka's own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

PARTITIONS = 4
"""Of a topic of that cluster."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    address: str

    def source(self, topic: str) -> str:
        """Return the source that names a topic, and a group like it."""
        return f"kafka:{self.address}/{topic}?group={topic}"

    def create(self, topic: str) -> None:
        """Create a topic."""
        Producer({"bootstrap.servers": self.address}).list_topics(topic, timeout=10)

    def send(self, topic: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Send events: headers are fields, `text` is the value; `headers`, `key` and `value` replace what they name."""
        producer = Producer({"bootstrap.servers": self.address, "linger.ms": 1})
        for number, event in enumerate(events):
            fields = dict(event)
            text, key = fields.pop("text", ""), fields.pop("key", None)
            message = {
                "value": text.encode() if isinstance(text, str) else text,
                "headers": [*fields.pop("headers", []), *((name, str(value)) for name, value in fields.items())],
            }
            producer.produce(topic, key=key, partition=number % PARTITIONS, **message)
        producer.flush(10)

    def committed(self, topic: str, group: str) -> list[int]:
        """Return the committed offset of each partition, negative where there is none."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group})
        try:
            partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            return [each.offset for each in consumer.committed(partitions, timeout=10)]
        finally:
            consumer.close()


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a cluster within the block."""
    owner = Producer({"bootstrap.servers": "unused:1", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = owner.list_topics(timeout=10).brokers.values()
    yield Cluster(f"{broker.host}:{broker.port}")
    del owner
