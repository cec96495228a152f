"""The messages of one subscription: waiting, leased or acknowledged. Knows neither threads nor a clock."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rawless.local.pubsub.filters import parse

ACK_DEADLINE = 10
RETENTION = 7 * 24 * 3600
RESPONSE_BYTES = 10_000_000
"""Maximum total size of the messages in one response."""


@dataclass(frozen=True, slots=True)
class Message:
    """A published message."""

    proto: Any
    """The protocol's PubsubMessage."""
    published: float
    """Time of publication, in seconds since 1970."""
    order: int
    """Position in the order of publication."""
    size: int
    """Bytes of memory that it takes."""


@dataclass(slots=True)
class Lease:
    """A message that was delivered, and the time until which it is not delivered again."""

    ack_id: str
    message: Message
    until: float
    holder: object


@dataclass(frozen=True)
class Demand:
    """A client's request for up to `count` messages."""

    count: int
    holder: object = None
    """The client, whose unacknowledged messages count against the limits."""
    max_outstanding: int = 0
    """Maximum number of unacknowledged messages; 0 means no limit."""
    max_outstanding_bytes: int = 0
    """Maximum size of the unacknowledged messages; 0 means no limit."""
    seconds: int = 0
    """Length of each lease; 0 means the subscription's acknowledgement deadline."""


class Backlog:
    """The messages of one subscription. Each is waiting, leased or, if the subscription retains it, acknowledged."""

    def __init__(self, config: Any) -> None:
        """`config` is the protocol's Subscription. Raises PubSubError for a filter that is not supported."""
        self.config = config
        self.bytes = 0
        self._matches = parse(config.filter)
        self._retention = config.message_retention_duration.seconds or RETENTION
        self._waiting: deque[Message] = deque()
        self._leases: dict[str, Lease] = {}
        self._acknowledged: deque[Message] = deque()
        self._deliveries = 0

    def add(self, message: Message) -> None:
        """Add a message that was published to the topic, if the filter selects it."""
        if self._matches(message.proto.attributes):
            self._waiting.append(message)
            self.bytes += message.size

    def take(self, demand: Demand, now: float) -> list[Lease]:
        """Lease messages: the oldest first, those whose lease expired last."""
        self._expire(now)
        outstanding = [lease.message.size for lease in self._leases.values() if lease.holder is demand.holder]
        count = min(demand.count, demand.max_outstanding - len(outstanding)) if demand.max_outstanding else demand.count
        room = demand.max_outstanding_bytes - sum(outstanding)
        leases: list[Lease] = []
        size = 0
        while self._waiting and len(leases) < count:
            message = self._waiting[0]
            size += message.size
            # A message that is larger than the limit is delivered alone.
            too_many = demand.max_outstanding_bytes and size > room and (leases or outstanding)
            if too_many or (leases and size > RESPONSE_BYTES):
                break
            leases.append(self._lease(self._waiting.popleft(), demand, now))
        return leases

    def acknowledge(self, ack_ids: Iterable[str], now: float) -> None:
        """End leases whose messages were processed. An expired lease is ignored: its message is delivered again."""
        self._expire(now)
        for ack_id in ack_ids:
            if lease := self._leases.pop(ack_id, None):
                self._retain(lease.message)

    def extend(self, ack_ids: Iterable[str], seconds: int, now: float) -> None:
        """Extend leases to `seconds` from now; 0 returns the messages immediately."""
        self._expire(now)
        for lease in [self._leases[ack_id] for ack_id in ack_ids if ack_id in self._leases]:
            lease.until = now + seconds
        self._expire(now)

    def seek(self, moment: float) -> None:
        """Deliver retained messages that were published from `moment` on again; acknowledge all earlier ones."""
        leased = [lease.message for lease in self._leases.values()]
        known = sorted([*self._waiting, *leased, *self._acknowledged], key=lambda message: message.order)
        self._waiting = deque(message for message in known if message.published >= moment)
        self._leases = {}
        self._acknowledged = deque()
        for message in known:
            if message.published < moment:
                self._retain(message)

    def next_expiry(self) -> float | None:
        """Return the time at which the first lease expires, or None without a lease."""
        return min((lease.until for lease in self._leases.values()), default=None)

    def _lease(self, message: Message, demand: Demand, now: float) -> Lease:
        self._deliveries += 1
        seconds = demand.seconds or self.config.ack_deadline_seconds or ACK_DEADLINE
        lease = Lease(f"{message.order}-{self._deliveries}", message, now + seconds, demand.holder)
        self._leases[lease.ack_id] = lease
        return lease

    def _expire(self, now: float) -> None:
        for ack_id in [ack_id for ack_id, lease in self._leases.items() if lease.until <= now]:
            self._waiting.append(self._leases.pop(ack_id).message)
        for queue in (self._waiting, self._acknowledged):
            while queue and queue[0].published < now - self._retention:
                self.bytes -= queue.popleft().size

    def _retain(self, message: Message) -> None:
        if self.config.retain_acked_messages:
            self._acknowledged.append(message)
        else:
            self.bytes -= message.size
