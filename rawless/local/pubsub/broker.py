"""Topics and subscriptions, shared by the threads of the server."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import grpc

from rawless.local.pubsub import checks
from rawless.local.pubsub.backlog import ACK_DEADLINE, RETENTION, Backlog, Demand, Lease, Message
from rawless.local.pubsub.errors import Fault, exists, not_found

MAX_BYTES = 4_000_000_000
"""Of memory, for all messages that are kept. When there is no more room, publishers wait for acknowledgements."""
OVERHEAD_BYTES = 1000
"""Of memory, that a message takes beside its content."""
_DELETED = "_deleted-topic_"


def size_of(proto: Any) -> int:
    """Bytes of memory that a message takes, about."""
    return int(proto.ByteSize()) + OVERHEAD_BYTES


class Broker:
    """All that the server knows. Every method may be called from any thread; most raise Fault."""

    def __init__(self, clock: Callable[[], float] = time.time, max_bytes: int = MAX_BYTES) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._topics: dict[str, Any] = {}
        self._subscriptions: dict[str, Backlog] = {}
        self._published = int(clock() * 1e6)  # ids of their own for each server that a home ever had

    def create_topic(self, config: Any) -> Any:
        """A new topic, as the protocol's Topic describes it."""
        checks.check_topic(config)
        with self._changed:
            if config.name in self._topics:
                raise exists(config.name)
            self._topics[config.name] = config
            return config

    def topic(self, name: str) -> Any:
        """One topic."""
        with self._changed:
            if name not in self._topics:
                raise not_found(name)
            return self._topics[name]

    def topics(self, project: str) -> list[Any]:
        """The topics of a project (projects/P), by name."""
        with self._changed:
            return [config for name, config in sorted(self._topics.items()) if name.startswith(f"{project}/")]

    def delete_topic(self, name: str) -> None:
        """Its subscriptions stay, with what they hold."""
        self.topic(name)
        with self._changed:
            del self._topics[name]
            for backlog in self._of(name):
                backlog.config.topic = _DELETED

    def publish(self, topic: str, messages: Sequence[Any]) -> list[str]:
        """Publish messages; returns their ids. Gives them ids and times."""
        self.topic(topic)
        checks.check_messages(messages)
        with self._changed:
            now = self._clock()
            subscriptions = self._of(topic)
            size = sum(size_of(message) for message in messages) * len(subscriptions)
            if size + sum(backlog.bytes for backlog in self._subscriptions.values()) > self._max_bytes:
                raise Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many messages wait to be acknowledged")
            for proto in messages:
                self._published += 1
                proto.message_id = str(self._published)
                proto.publish_time.FromNanoseconds(int(now * 1e9))
                message = Message(proto, now, self._published, size_of(proto))
                for backlog in subscriptions:
                    backlog.offer(message)
            self._changed.notify_all()
            return [proto.message_id for proto in messages]

    def create_subscription(self, config: Any) -> Any:
        """A new subscription, as the protocol's Subscription describes it: it takes what is published from now on."""
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
        """One subscription."""
        with self._changed:
            return self._backlog(name).config

    def subscriptions(self, of: str) -> list[Any]:
        """The subscriptions of a project (projects/P) or of a topic, by name."""
        with self._changed:
            found = [self._subscriptions[name].config for name in sorted(self._subscriptions)]
            return [config for config in found if config.topic == of or config.name.startswith(f"{of}/")]

    def delete_subscription(self, name: str) -> None:
        """Gone, with what it holds."""
        with self._changed:
            self._backlog(name)
            del self._subscriptions[name]
            self._changed.notify_all()

    def take(self, name: str, demand: Demand, wait: float, wanted: Callable[[], bool] = lambda: True) -> list[Lease]:
        """Hand out messages as soon as there are some, or none after `wait` seconds or when no more `wanted`."""
        end = time.monotonic() + wait
        with self._changed:
            while True:
                backlog = self._backlog(name)
                if not wanted():
                    return []
                leases = backlog.take(demand, self._clock())
                left = end - time.monotonic()
                if leases or left <= 0:
                    return leases
                self._changed.wait(min(left, self._until_expiry(backlog)))

    def acknowledge(self, name: str, ack_ids: Iterable[str]) -> None:
        """These messages are done."""
        with self._changed:
            self._backlog(name).acknowledge(ack_ids, self._clock())
            self._changed.notify_all()

    def extend(self, name: str, ack_ids: Iterable[str], seconds: int) -> None:
        """Hold these messages for `seconds` from now; none gives them back."""
        checks.check_deadline(seconds)
        with self._changed:
            self._backlog(name).extend(ack_ids, seconds, self._clock())
            self._changed.notify_all()

    def seek(self, name: str, moment: float) -> None:
        """Hand out again what was published from `moment` (seconds since 1970) on, as far as it is kept."""
        with self._changed:
            self._backlog(name).seek(moment)
            self._changed.notify_all()

    def wake(self) -> None:
        """Have everybody who waits look whether he still wants to."""
        with self._changed:
            self._changed.notify_all()

    def _backlog(self, name: str) -> Backlog:
        if name not in self._subscriptions:
            raise not_found(name)
        return self._subscriptions[name]

    def _of(self, topic: str) -> list[Backlog]:
        return [backlog for backlog in self._subscriptions.values() if backlog.config.topic == topic]

    def _until_expiry(self, backlog: Backlog) -> float:
        """Seconds until a message that was handed out comes back; at least a little, lest the wait spins."""
        expiry = backlog.next_expiry()
        return threading.TIMEOUT_MAX if expiry is None else max(0.01, expiry - self._clock())
