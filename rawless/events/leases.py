"""`Leases`: pull the messages of a Pub/Sub subscription, keep them while they are in progress, acknowledge them."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from google.api_core.exceptions import DeadlineExceeded, FailedPrecondition, GoogleAPIError, NotFound, PermissionDenied
from google.auth.exceptions import GoogleAuthError

from rawless.errors import RawlessError, UserError
from rawless.events.pubsub import ACK_SECONDS, retry, unavailable
from rawless.events.sources.pubsub import Subscription
from rawless.privacy.logs import withheld

PULL_SECONDS = 5.0
RETRY_SECONDS = 60.0
"""For how long a request is retried while Pub/Sub is unavailable."""
RENEW_SECONDS = 1.0
"""How often `renew` is to be called."""
_MAX_IDS = 1_000
"""Messages that one request acknowledges or renews."""
_FAILURES = (GoogleAPIError, GoogleAuthError)
T = TypeVar("T")


class Leases:
    """The messages of one subscription that this process has pulled. Any number of threads may use it.

    Its methods raise UserError if the subscription cannot be read, Unavailable if Pub/Sub does not answer.
    """

    def __init__(self, source: Subscription) -> None:
        self._source = source
        self._client = source.pubsub.subscriber()
        self._lock = threading.Lock()
        self._leased: set[str] = set()
        self._renewed_at = time.monotonic()

    def pull(self, max_messages: int) -> list[Any]:
        """Return messages with their ids for acknowledging, as soon as there are some, or none after a while."""
        received = self._translated(lambda: self._pull(max_messages))
        with self._lock:
            self._leased.update(message.ack_id for message in received)
        return received

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Let messages not be delivered again."""
        try:
            self._translated(lambda: self._acknowledge(ack_ids))
        finally:
            self._forget(ack_ids)

    def give_back(self, ack_ids: Sequence[str]) -> None:
        """Have messages delivered again: immediately, or after their deadline if that fails."""
        self._forget(ack_ids)
        with suppress(*_FAILURES):
            self._set_deadline(ack_ids, 0, retry=None, timeout=PULL_SECONDS)

    def renew(self) -> None:
        """Extend the deadline of the messages in progress, if it is time to."""
        if time.monotonic() - self._renewed_at < ACK_SECONDS / 3:
            return
        self._renewed_at = time.monotonic()
        with self._lock:
            leased = list(self._leased)
        with suppress(*_FAILURES):
            self._set_deadline(leased, ACK_SECONDS, retry=None, timeout=PULL_SECONDS)

    def close(self) -> None:
        """Give back the messages in progress, and close the connection."""
        with self._lock:
            left = list(self._leased)
        self.give_back(left)
        self._client.transport.close()

    def _pull(self, max_messages: int) -> list[Any]:
        request = {"subscription": self._source.name, "max_messages": max_messages}
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

    def _translated(self, request: Callable[[], T]) -> T:
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
