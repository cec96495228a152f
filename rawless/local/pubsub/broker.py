"""Topics and subscriptions, shared by the threads of the server."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import grpc

from rawless.local.pubsub import checks
from rawless.local.pubsub.backlog import ACK_DEADLINE, RETENTION, Backlog, Demand, Lease, Message
from rawless.local.pubsub.errors import PubSubError, exists, not_found

MAX_BYTES = 4_000_000_000
"""Memory for all messages. When it is full, publishing fails until messages are acknowledged."""
OVERHEAD_BYTES = 1000
"""Memory that a message takes in addition to its content."""
_DELETED = "_deleted-topic_"


def size_of(proto: Any) -> int:
    """Return the approximate number of bytes of memory that a message takes."""
    return int(proto.ByteSize()) + OVERHEAD_BYTES


class Broker:
    """The topics and subscriptions of the server. Every method is thread-safe; most raise PubSubError."""

    def __init__(self, clock: Callable[[], float] = time.time, max_bytes: int = MAX_BYTES) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._topics: dict[str, Any] = {}
        self._subscriptions: dict[str, Backlog] = {}
        self._published = int(clock() * 1e6)  # message ids are unique among all servers that a home ever had

    def create_topic(self, config: Any) -> Any:
        """Create the topic that the protocol's Topic describes."""
        checks.check_topic(config)
        with self._changed:
            if config.name in self._topics:
                raise exists(config.name)
            self._topics[config.name] = config
            return config

    def topic(self, name: str) -> Any:
        """Return a topic."""
        with self._changed:
            if name not in self._topics:
                raise not_found(name)
            return self._topics[name]

    def topics(self, project: str) -> list[Any]:
        """Return the topics of a project (projects/P), sorted by name."""
        with self._changed:
            return [config for name, config in sorted(self._topics.items()) if name.startswith(f"{project}/")]

    def delete_topic(self, name: str) -> None:
        """Delete a topic. Its subscriptions and their messages are kept."""
        self.topic(name)
        with self._changed:
            del self._topics[name]
            for backlog in self._attached(name):
                backlog.config.topic = _DELETED

    def publish(self, topic: str, messages: Sequence[Any]) -> list[str]:
        """Publish messages and return their ids. Sets the id and time of each message."""
        self.topic(topic)
        checks.check_messages(messages)
        with self._changed:
            now = self._clock()
            subscriptions = self._attached(topic)
            size = sum(size_of(message) for message in messages) * len(subscriptions)
            if size + sum(backlog.bytes for backlog in self._subscriptions.values()) > self._max_bytes:
                raise PubSubError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, "too many messages are unacknowledged; publish again later"
                )
            for proto in messages:
                self._published += 1
                proto.message_id = str(self._published)
                proto.publish_time.FromNanoseconds(int(now * 1e9))
                message = Message(proto, now, self._published, size_of(proto))
                for backlog in subscriptions:
                    backlog.add(message)
            self._changed.notify_all()
            return [proto.message_id for proto in messages]

    def create_subscription(self, config: Any) -> Any:
        """Create the subscription that the protocol's Subscription describes. It receives later messages only."""
        checks.check_subscription(config)
        self.topic(config.topic)
        with self._changed:
            if config.name in self._subscriptions:
                raise exists(config.name)
            config.ack_deadline_seconds = config.ack_deadline_seconds or ACK_DEADLINE
            config.message_retention_duration.seconds = config.message_retention_duration.seconds or RETENTION
            self._subscriptions[config.name] = Backlog(config)
            return config

    def subscription(self, name: str) -> Any:
        """Return a subscription."""
        with self._changed:
            return self._backlog(name).config

    def subscriptions(self, parent: str) -> list[Any]:
        """Return the subscriptions of a project (projects/P) or of a topic, sorted by name."""
        with self._changed:
            configs = [self._subscriptions[name].config for name in sorted(self._subscriptions)]
            return [config for config in configs if config.topic == parent or config.name.startswith(f"{parent}/")]

    def delete_subscription(self, name: str) -> None:
        """Delete a subscription with its messages."""
        with self._changed:
            self._backlog(name)
            del self._subscriptions[name]
            self._changed.notify_all()

    def take(self, name: str, demand: Demand, wait: float, is_active: Callable[[], bool] = lambda: True) -> list[Lease]:
        """Lease messages as soon as there are some; none after `wait` seconds or when `is_active` returns False."""
        end = time.monotonic() + wait
        with self._changed:
            while True:
                backlog = self._backlog(name)
                if not is_active():
                    return []
                leases = backlog.take(demand, self._clock())
                left = end - time.monotonic()
                if leases or left <= 0:
                    return leases
                self._changed.wait(min(left, self._until_expiry(backlog)))

    def acknowledge(self, name: str, ack_ids: Iterable[str]) -> None:
        """Acknowledge messages."""
        with self._changed:
            self._backlog(name).acknowledge(ack_ids, self._clock())
            self._changed.notify_all()

    def extend(self, name: str, ack_ids: Iterable[str], seconds: int) -> None:
        """Extend leases to `seconds` from now; 0 returns the messages immediately."""
        checks.check_deadline(seconds)
        with self._changed:
            self._backlog(name).extend(ack_ids, seconds, self._clock())
            self._changed.notify_all()

    def seek(self, name: str, moment: float) -> None:
        """Deliver retained messages again that were published from `moment` (seconds since 1970) on."""
        with self._changed:
            self._backlog(name).seek(moment)
            self._changed.notify_all()

    def wake(self) -> None:
        """Make every waiting call of `take` check `is_active` again."""
        with self._changed:
            self._changed.notify_all()

    def _backlog(self, name: str) -> Backlog:
        if name not in self._subscriptions:
            raise not_found(name)
        return self._subscriptions[name]

    def _attached(self, topic: str) -> list[Backlog]:
        return [backlog for backlog in self._subscriptions.values() if backlog.config.topic == topic]

    def _until_expiry(self, backlog: Backlog) -> float:
        """Return the seconds until the first lease expires, at least a few milliseconds to avoid a busy wait."""
        expiry = backlog.next_expiry()
        return threading.TIMEOUT_MAX if expiry is None else max(0.01, expiry - self._clock())
