"""Read a subscription on one machine with Beam's DirectRunner, without losing messages.

The runner is Beam's `BundleBasedDirectRunner`. The behaviour that is patched here is that of Beam 2.77; tests pin it.

Beam's own reader acknowledges messages before any step has seen them. The runner requests more messages only when the
previous ones have passed all steps, so this reader acknowledges them then, and the messages of a killed job are
delivered again.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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

from rawless.errors import UserError
from rawless.events import leases
from rawless.events.sources.pubsub import Subscription
from rawless.steps import stop_signal

MAX_MESSAGES = 1_000
"""Messages of one pull. Pub/Sub returns at most 10 MB in any case.

The encoder idles while the last ones of a pull are encoded: with 250, MiniLM lost a tenth of its speed.
"""


class SubscriptionReader:
    """Pulls the messages of one subscription for one job, and acknowledges those that are done."""

    def __init__(self, source: Subscription) -> None:
        self._source = source
        self._leases = leases.Leases(source)
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
        done, self._unacknowledged = self._unacknowledged, []
        self._leases.acknowledge(done)
        if self._is_finished():
            return None
        started = time.monotonic()
        received = self._leases.pull(MAX_MESSAGES)
        if received:
            self._idle_since = None
        else:
            self._idle_since = self._idle_since or started
            self.idle_seconds += time.monotonic() - started
        self._unacknowledged = [message.ack_id for message in received]
        return [message.message for message in received]

    def give_back(self) -> None:
        """Have the messages of the last call delivered again."""
        ack_ids, self._unacknowledged = self._unacknowledged, []
        self._leases.give_back(ack_ids)

    def close(self) -> None:
        """Stop reading, and give back the messages that are not done."""
        self._closed.set()
        self._renewer.join()
        self._leases.close()

    def _renew(self) -> None:
        while not self._closed.wait(leases.RENEW_SECONDS):
            self._leases.renew()

    def _is_finished(self) -> bool:
        if stop_signal.is_stop_requested():
            return True
        limit, since = self._source.until_idle, self._idle_since
        return limit is not None and since is not None and time.monotonic() - since >= limit


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
