"""Read a Pub/Sub subscription: pull messages, renew their leases, acknowledge them."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from google.api_core.exceptions import DeadlineExceeded, FailedPrecondition, GoogleAPIError, NotFound, PermissionDenied
from google.auth.exceptions import GoogleAuthError

from rawless.errors import RawlessError, UserError
from rawless.events.messages import decode_message
from rawless.events.pubsub import ACK_SECONDS, retry, unavailable
from rawless.events.sources.pubsub import Subscription
from rawless.privacy.logs import withheld
from rawless.worker.reader import MAX_MESSAGES, Bundle, MessageReader

PULL_SECONDS = 5.0
RETRY_SECONDS = 60.0
"""For how long a pull is retried while Pub/Sub is unavailable."""
_MAX_IDS = 1_000
"""Messages that one request acknowledges or renews."""
_FAILURES = (GoogleAPIError, GoogleAuthError)


class PubSubReader(MessageReader):
    """Reads one subscription by synchronous pulls, of which each thread has its own."""

    def __init__(self, source: Subscription) -> None:
        self._source = source
        self._client = source.pubsub.subscriber()
        self._lock = threading.Lock()
        self._leased: set[str] = set()
        self._renewed_at = time.monotonic()

    def read(self) -> Bundle | None:
        """See `MessageReader.read`."""
        received = self._requested(self._pull)
        if not received:
            return None
        ack_ids = [message.ack_id for message in received]
        with self._lock:
            self._leased.update(ack_ids)
        messages = (each.message for each in received)
        deliveries = [decode_message(each.message_id, each.data, each.attributes) for each in messages]
        return Bundle(deliveries, ack_ids)

    def is_reading(self) -> bool:
        """See `MessageReader.is_reading`."""
        return True

    def acknowledge(self, bundle: Bundle) -> None:
        """See `MessageReader.acknowledge`."""
        try:
            self._requested(lambda: self._acknowledge(bundle.receipt))
        finally:
            self._forget(bundle.receipt)

    def give_back(self, bundle: Bundle) -> None:
        """See `MessageReader.give_back`. If that fails, they are delivered again after their deadline."""
        self._forget(bundle.receipt)
        with suppress(*_FAILURES):
            self._set_deadline(bundle.receipt, 0, retry=None, timeout=PULL_SECONDS)

    def renew(self) -> None:
        """See `MessageReader.renew`."""
        if time.monotonic() - self._renewed_at < ACK_SECONDS / 3:
            return
        self._renewed_at = time.monotonic()
        with self._lock:
            leased = list(self._leased)
        with suppress(*_FAILURES):
            self._set_deadline(leased, ACK_SECONDS, retry=None, timeout=PULL_SECONDS)

    def close(self) -> None:
        """See `MessageReader.close`."""
        with self._lock:
            left = list(self._leased)
        self.give_back(Bundle((), left))
        self._client.transport.close()

    def _pull(self) -> list[Any]:
        request = {"subscription": self._source.name, "max_messages": MAX_MESSAGES}
        try:
            with withheld():  # at debug level the client logs what it receives
                response = self._client.pull(request=request, retry=retry(RETRY_SECONDS), timeout=PULL_SECONDS)
                received = list(response.received_messages)
        except DeadlineExceeded:  # Google's answer when there are no messages
            return []
        self._set_deadline([message.ack_id for message in received], ACK_SECONDS)
        return received

    def _acknowledge(self, ack_ids: Sequence[str]) -> None:
        for part in _parts(ack_ids):
            request = {"subscription": self._source.name, "ack_ids": part}
            self._client.acknowledge(request=request, retry=retry(RETRY_SECONDS))

    def _set_deadline(self, ack_ids: Sequence[str], seconds: int, **call: Any) -> None:
        for part in _parts(ack_ids):
            request = {"subscription": self._source.name, "ack_ids": part, "ack_deadline_seconds": seconds}
            self._client.modify_ack_deadline(request=request, **call)

    def _forget(self, ack_ids: Sequence[str]) -> None:
        with self._lock:
            self._leased.difference_update(ack_ids)

    def _requested(self, request: Any) -> Any:
        try:
            return request()
        except (NotFound, PermissionDenied, FailedPrecondition) as error:
            failure: RawlessError = UserError(
                f"The subscription {self._source.name} cannot be read ({type(error).__name__}): check that it exists, "
                "that it is a pull subscription, and that this account may read it."
            )
        except _FAILURES as error:
            failure = unavailable(error)
        raise failure  # outside of the handler: the library's exception may contain messages


def _parts(ack_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ack_ids), _MAX_IDS):
        yield ack_ids[start : start + _MAX_IDS]
