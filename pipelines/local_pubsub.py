"""Read a subscription on one machine with Beam's DirectRunner, without losing messages.

The runner is Beam's `BundleBasedDirectRunner`. The behaviour that is patched here is that of Beam 2.77; tests pin it.

Beam's own reader acknowledges messages before any step has seen them. The runner requests more messages only when the
previous ones have passed all steps, so this reader acknowledges them then, and the messages of a killed job are
delivered again.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.pvalue import PBegin
from apache_beam.runners.direct.direct_runner import _DirectReadFromPubSub
from apache_beam.runners.direct.executor import TransformExecutor
from apache_beam.runners.direct.transform_evaluator import TransformEvaluatorRegistry, _PubSubReadEvaluator
from apache_beam.runners.direct.util import TransformResult
from apache_beam.runners.worker.statesampler import StateSampler, set_current_tracker
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.counters import CounterFactory
from apache_beam.utils.timestamp import Timestamp
from google.api_core.exceptions import DeadlineExceeded, FailedPrecondition, GoogleAPIError, NotFound, PermissionDenied
from google.auth.exceptions import GoogleAuthError

from rawless.errors import Unavailable, UserError
from rawless.events.pubsub import ACK_SECONDS, retry, unavailable
from rawless.events.sources.pubsub import Subscription
from rawless.privacy.logs import withheld
from rawless.steps import stop_signal

MAX_MESSAGES = 1_000
"""Messages of one pull. Pub/Sub returns at most 10 MB in any case.

The encoder idles while the last ones of a pull are encoded: with 250, MiniLM lost a tenth of its speed.
"""
PULL_SECONDS = 5.0
RETRY_SECONDS = 60.0
"""For how long a pull is retried while Pub/Sub is unavailable."""


class SubscriptionReader:
    """Pulls the messages of one subscription for one job, and acknowledges those that are done."""

    def __init__(self, source: Subscription) -> None:
        self._source = source
        self._client = source.pubsub.subscriber()
        self._unacknowledged: list[str] = []
        self._closed = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="pubsub leases", daemon=True)
        self._renewer.start()
        self._idle_since: float | None = None
        self.idle_seconds = 0.0
        """For how long, in total, there was nothing to read."""

    def next_messages(self) -> list[Any] | None:
        """Acknowledge the messages of the last call and return more, or None if there is nothing more to read.

        Raises UserError if the subscription cannot be read, Unavailable if Pub/Sub does not answer.
        """
        try:
            self._acknowledge()
            if self._is_finished():
                return None
            received = self._pull()
            ack_ids = [message.ack_id for message in received]
            self._set_deadline(ack_ids, ACK_SECONDS)
            self._unacknowledged = ack_ids  # last: if anything fails before, these must not be acknowledged
        except (NotFound, PermissionDenied, FailedPrecondition) as error:
            failure: UserError | Unavailable = UserError(
                f"The subscription {self._source.name} cannot be read ({type(error).__name__}): check that it exists, "
                "that it is a pull subscription, and that this account may read it."
            )
        except (GoogleAPIError, GoogleAuthError) as error:
            failure = unavailable(error)
        else:
            return [message.message for message in received]
        raise failure  # outside of the handler: the library's exception may contain messages

    def give_back(self) -> None:
        """Have the messages of the last call delivered again: immediately, or after their deadline if that fails."""
        ack_ids, self._unacknowledged = self._unacknowledged, []
        with suppress(GoogleAPIError):
            self._set_deadline(ack_ids, 0, retry=None, timeout=PULL_SECONDS)

    def close(self) -> None:
        """Stop reading, and give back the messages that are not done."""
        self._closed.set()
        self._renewer.join()
        self.give_back()
        self._client.transport.close()

    def _renew(self) -> None:
        """Extend the deadline of the messages in progress for as long as that takes."""
        while not self._closed.wait(ACK_SECONDS / 3):
            with suppress(GoogleAPIError):
                self._set_deadline(self._unacknowledged, ACK_SECONDS, retry=None, timeout=PULL_SECONDS)

    def _is_finished(self) -> bool:
        if stop_signal.is_stop_requested():
            return True
        limit, since = self._source.until_idle, self._idle_since
        return limit is not None and since is not None and time.monotonic() - since >= limit

    def _pull(self) -> list[Any]:
        started = time.monotonic()
        request = {"subscription": self._source.name, "max_messages": MAX_MESSAGES}
        try:
            with withheld():  # at debug level the client logs what it receives
                response = self._client.pull(request=request, retry=retry(RETRY_SECONDS), timeout=PULL_SECONDS)
                received = list(response.received_messages)
        except DeadlineExceeded:  # Google's answer when there are no messages
            received = []
        if received:
            self._idle_since = None
        else:
            self._idle_since = self._idle_since or started
            self.idle_seconds += time.monotonic() - started
        return received

    def _set_deadline(self, ack_ids: list[str], seconds: int, **call: Any) -> None:
        if ack_ids:
            request = {"subscription": self._source.name, "ack_ids": ack_ids, "ack_deadline_seconds": seconds}
            self._client.modify_ack_deadline(request=request, **call)

    def _acknowledge(self) -> None:
        if self._unacknowledged:
            self._client.acknowledge(request={"subscription": self._source.name, "ack_ids": self._unacknowledged})
            self._unacknowledged = []


_readers: dict[str, SubscriptionReader] = {}
_lock = threading.Lock()
_failed: WeakSet[Any] = WeakSet()
"""The evaluation contexts of failed jobs; each job has one."""


@contextmanager
def read_locally(source: Subscription) -> Iterator[SubscriptionReader]:
    """Within the block, jobs that Beam's DirectRunner runs in this process read the subscription by this module.

    Raises UserError if another job of this process reads it.
    """
    with _lock:
        if source.name in _readers:
            raise UserError(f"Another job of this process reads {source.name}: give each job its own subscription.")
        _readers[source.name] = reader = SubscriptionReader(source)
    try:
        yield reader
    finally:
        del _readers[source.name]
        reader.close()


class _ReadEvaluator(_PubSubReadEvaluator):
    def finish_bundle(self) -> TransformResult:
        reader = _readers.get(self._sub_name)
        # A failed job requests messages again before it ends; those that it failed on must not be acknowledged.
        messages = reader.next_messages() if reader and self._evaluation_context not in _failed else None
        if reader is None or messages is None:
            return TransformResult(self, [], [], None, {None: None})  # no watermark hold: the source has ended
        try:
            return self._result(messages)
        except BaseException:
            reader.give_back()
            raise

    def _result(self, messages: list[Any]) -> TransformResult:
        bundle = self._evaluation_context.create_bundle(next(iter(self._outputs)))
        for message in messages:
            published = Timestamp.from_utc_datetime(message.publish_time)
            element = PubsubMessage._from_message(message)
            bundle.output(GlobalWindows.windowed_value(element, timestamp=published))
        unprocessed = self._evaluation_context.create_bundle(PBegin(self._applied_ptransform.transform.pipeline))
        unprocessed.output(GlobalWindows.windowed_value(b""))  # an empty bundle would be kept for ever
        return TransformResult(self, [bundle], [unprocessed], None, {None: Timestamp.of(time.time())})


def _patch_executor() -> None:
    """Record which jobs failed, and make the metrics of every bundle of a step count.

    Beam's runner counts only those of the first bundle, because a sampler keeps the place where it counted first; here
    each bundle has its own sampler.
    """
    call = TransformExecutor.call

    def patched(self: Any, _: StateSampler) -> None:
        sampler = StateSampler("", CounterFactory())
        set_current_tracker(sampler)
        self._max_retries_per_bundle = 1  # the steps have already retried what may succeed
        call(self, sampler)
        if self._retry_count == self._max_retries_per_bundle:
            _failed.add(self._evaluation_context)

    TransformExecutor.call = patched


_patch_executor()
TransformEvaluatorRegistry._test_evaluators_overrides[_DirectReadFromPubSub] = _ReadEvaluator
