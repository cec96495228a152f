"""Fixtures that run a worker in this process, and a Kafka cluster."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from encoders.spec import EncoderSpec
from rawless.events.sources.kafka import Topic
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.job import Job
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from rawless.worker.kafka import KafkaReader
from rawless.worker.launch import PreparedWorker
from rawless.worker.pubsub import PubSubReader
from rawless.worker.run import Limits
from tests.kafka import Cluster, running_cluster
from tests.messages import publish

LIMITS = Limits(threads=3, until_idle=0.3)
EVER = "TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01'"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Kafka cluster."""
    with running_cluster() as cluster:
        yield cluster


@dataclass(frozen=True)
class Setting:
    """What workers of a test read and write."""

    job: Job
    source: Subscription | Topic
    limits: Limits = LIMITS
    changes: dict[str, Any] = field(default_factory=dict)

    def reader(self) -> PubSubReader | KafkaReader:
        return KafkaReader(self.source) if isinstance(self.source, Topic) else PubSubReader(self.source)

    def run(self, **limits: Any) -> dict[str, Any]:
        """Run a worker until it ends, and return its summary."""
        return PreparedWorker(self.job, self.reader, replace(self.limits, **limits), "cpu").run()

    def on(self, source: Subscription | Topic) -> "Setting":
        """Return the same with another source."""
        return replace(self, source=source)

    def into(self, warehouse: Warehouse) -> "Setting":
        """Return the same with another warehouse."""
        return replace(self, job=replace(self.job, warehouse=warehouse))


@pytest.fixture
def setting(
    stream: Stream, warehouse: Warehouse, key: KeySource, subscription: Subscription, tiny_sealed: EncoderSpec
) -> Setting:
    """Workers with the tiny encoder that read a subscription of their own."""
    return Setting(Job(stream, (tiny_sealed,), key, warehouse), subscription)


@pytest.fixture
def send(subscription: Subscription) -> Callable[..., None]:
    """Publishes events; see `publish`."""
    return partial(publish, subscription)


@pytest.fixture
def logged(warehouse: Warehouse) -> Callable[[], list[str]]:
    """The ids of the events that a reader of embedding events sees, in order."""

    def read() -> list[str]:
        rows = warehouse.query(f"SELECT event_id FROM {warehouse.config.events}.embedding_event({EVER}) ORDER BY 1")
        return [row["event_id"] for row in rows]

    return read


@pytest.fixture
def rejected(warehouse: Warehouse) -> Callable[[], dict[str, str]]:
    """The reasons of the rejections, by the id of the message."""

    def read() -> dict[str, str]:
        rows = warehouse.query(f"SELECT message_id, reason FROM {warehouse.config.events}.rejection({EVER})")
        return {row["message_id"]: row["reason"] for row in rows}

    return read
