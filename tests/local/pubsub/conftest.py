"""A broker with a clock that tests control, served to Google's own clients."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from google.cloud import pubsub_v1

from rawless.local.pubsub import service
from rawless.local.pubsub.broker import Broker

TOPIC = "projects/local-dev/topics/uploads"
SUBSCRIPTION = "projects/local-dev/subscriptions/uploads"


@dataclass
class Clock:
    """A clock that a test sets, in seconds since 1970."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(clock: Clock) -> Broker:
    return Broker(clock)


@pytest.fixture
def address(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address at which the broker is served, set for Google's clients."""
    monkeypatch.setattr(service, "HOLD_SECONDS", 0.05)  # so that empty pulls do not slow the tests
    server, address = service.start(broker)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", address)
    yield address
    server.stop(grace=None).wait()


@pytest.fixture
def publisher(address: str) -> Iterator[pubsub_v1.PublisherClient]:
    """Google's publisher, and a topic for it."""
    with pubsub_v1.PublisherClient() as client:
        client.create_topic(name=TOPIC)
        yield client


@pytest.fixture
def subscriber(publisher: pubsub_v1.PublisherClient) -> Iterator[pubsub_v1.SubscriberClient]:
    """Google's subscriber, and a subscription for it."""
    with pubsub_v1.SubscriberClient() as client:
        client.create_subscription(name=SUBSCRIPTION, topic=TOPIC)
        yield client
