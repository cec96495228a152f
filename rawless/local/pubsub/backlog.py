"""What one subscription has yet to hand out, has handed out, and keeps for a seek. Knows no threads and no clock."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rawless.local.pubsub.filters import parse

ACK_DEADLINE = 10
RETENTION = 7 * 24 * 3600
RESPONSE_BYTES = 10_000_000
"""Messages of one answer, together."""


@dataclass(frozen=True, slots=True)
class Message:
    """A published message: the protocol's own, when it was published (seconds since 1970), its place in that order."""

    proto: Any
    published: float
    order: int
    size: int


@dataclass(slots=True)
class Lease:
    """A message that was handed out, and until when it need not be handed out again."""

    ack_id: str
    message: Message
    until: float
    holder: object


@dataclass(frozen=True)
class Demand:
    """What a client asks for: so many messages, and what it may hold unacknowledged at once (0: any)."""

    count: int
    holder: object = None
    max_held: int = 0
    max_held_bytes: int = 0
    seconds: int = 0
    """For how long it wants each message; 0: as the subscription has it."""


class Backlog:
    """The messages of one subscription. Each is waiting, leased or, where the subscription keeps them, acknowledged."""

    def __init__(self, config: Any) -> None:
        """`config` is the protocol's Subscription. Raises Fault for a filter that cannot be read."""
        self.config = config
        self.bytes = 0
        self._takes = parse(config.filter)
        self._retention = config.message_retention_duration.seconds or RETENTION
        self._waiting: deque[Message] = deque()
        self._leases: dict[str, Lease] = {}
        self._acknowledged: deque[Message] = deque()
        self._handed_out = 0

    def offer(self, message: Message) -> None:
        """A message was published to the topic."""
        if self._takes(message.proto.attributes):
            self._waiting.append(message)
            self.bytes += message.size

    def take(self, demand: Demand, now: float) -> list[Lease]:
        """Hand out messages, oldest first, those that came back last."""
        self._expire(now)
        held = [lease.message.size for lease in self._leases.values() if lease.holder is demand.holder]
        count = min(demand.count, demand.max_held - len(held)) if demand.max_held else demand.count
        room = demand.max_held_bytes - sum(held)
        found: list[Lease] = []
        size = 0
        while self._waiting and len(found) < count:
            message = self._waiting[0]
            size += message.size
            # One that is larger than all the room there is goes alone.
            if (found and size > RESPONSE_BYTES) or (demand.max_held_bytes and size > room and (found or held)):
                break
            found.append(self._lease(self._waiting.popleft(), demand, now))
        return found

    def acknowledge(self, ack_ids: Iterable[str], now: float) -> None:
        """These are done. An id whose lease has ended is ignored: its message comes again."""
        self._expire(now)
        for ack_id in ack_ids:
            if lease := self._leases.pop(ack_id, None):
                self._keep(lease.message)

    def extend(self, ack_ids: Iterable[str], seconds: int, now: float) -> None:
        """Hold these for `seconds` from now; none gives them back."""
        self._expire(now)
        for lease in [self._leases[each] for each in ack_ids if each in self._leases]:
            lease.until = now + seconds
        self._expire(now)

    def seek(self, moment: float) -> None:
        """What was published from `moment` on is waiting again, as far as it is kept; all before is acknowledged."""
        leased = [lease.message for lease in self._leases.values()]
        known = sorted([*self._waiting, *leased, *self._acknowledged], key=lambda message: message.order)
        self._waiting = deque(message for message in known if message.published >= moment)
        self._leases = {}
        self._acknowledged = deque()
        for message in known:
            if message.published < moment:
                self._keep(message)

    def next_expiry(self) -> float | None:
        """When the first lease ends."""
        return min((lease.until for lease in self._leases.values()), default=None)

    def _lease(self, message: Message, demand: Demand, now: float) -> Lease:
        self._handed_out += 1
        seconds = demand.seconds or self.config.ack_deadline_seconds or ACK_DEADLINE
        lease = Lease(f"{message.order}-{self._handed_out}", message, now + seconds, demand.holder)
        self._leases[lease.ack_id] = lease
        return lease

    def _expire(self, now: float) -> None:
        for ack_id in [each for each, lease in self._leases.items() if lease.until <= now]:
            self._waiting.append(self._leases.pop(ack_id).message)
        for kept in (self._waiting, self._acknowledged):
            while kept and kept[0].published < now - self._retention:
                self.bytes -= kept.popleft().size

    def _keep(self, message: Message) -> None:
        if self.config.retain_acked_messages:
            self._acknowledged.append(message)
        else:
            self.bytes -= message.size
