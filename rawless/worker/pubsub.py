"""Read a Pub/Sub subscription by synchronous pulls, of which each thread has its own."""

from rawless.events.leases import Leases
from rawless.events.messages import decode_message
from rawless.events.sources.pubsub import Subscription
from rawless.worker.reader import MAX_MESSAGES, Bundle, MessageReader


class PubSubReader(MessageReader):
    """Reads one subscription."""

    def __init__(self, source: Subscription) -> None:
        self._leases = Leases(source)

    def read(self) -> Bundle | None:
        """See `MessageReader.read`."""
        received = self._leases.pull(MAX_MESSAGES)
        if not received:
            return None
        messages = (each.message for each in received)
        deliveries = [decode_message(each.message_id, each.data, each.attributes) for each in messages]
        return Bundle(deliveries, [each.ack_id for each in received])

    def is_reading(self) -> bool:
        """See `MessageReader.is_reading`."""
        return True

    def acknowledge(self, bundle: Bundle) -> None:
        """See `MessageReader.acknowledge`."""
        self._leases.acknowledge(bundle.receipt)

    def give_back(self, bundle: Bundle) -> None:
        """See `MessageReader.give_back`."""
        self._leases.give_back(bundle.receipt)

    def renew(self) -> None:
        """See `MessageReader.renew`."""
        self._leases.renew()

    def close(self) -> None:
        """See `MessageReader.close`."""
        self._leases.close()
