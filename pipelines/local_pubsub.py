"""Reading a subscription on one machine: Beam's DirectRunner, with a reader of Pub/Sub that loses nothing and ends.

The runner is Beam's `BundleBasedDirectRunner`. What is mended here is found in Beam 2.77, and pinned by tests.

Beam's own reader acknowledges messages before a step has seen them. That runner asks for more only when all that it
asked for before went through all steps; so this reader acknowledges then, and a killed job's messages come again.
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

from pipelines import stop_signal
from rawless.errors import Unavailable, UserError
from rawless.events.sources.pubsub import ACK_SECONDS, Subscription, retry, unanswered
from rawless.privacy.logs import withheld

MAX_MESSAGES = 250
"""Taken at once; Pub/Sub gives at most 10 MB, whatever is asked for."""
PULL_SECONDS = 5.0
RETRY_SECONDS = 60.0
"""For how long a Pub/Sub that is away is asked again."""


class Reading:
    """One job's reading of one subscription."""

    def __init__(self, source: Subscription) -> None:
        self._source = source
        self._client = source.pubsub.subscriber()
        self._held: list[str] = []
        self._closed = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="pubsub leases", daemon=True)
        self._renewer.start()
        self._idle_since: float | None = None
        self.idle_seconds = 0.0
        """For how long, in all, there was nothing to read."""

    def take(self) -> list[Any] | None:
        """More messages, after those of the last call are done; None when there is nothing more to read."""
        try:
            self._acknowledge()
            if self._ended():
                return None
            answer = self._pull()
            ack_ids = [each.ack_id for each in answer]
            self._hold(ack_ids, ACK_SECONDS)
            self._held = ack_ids  # last: whatever fails before, these were not done
        except (NotFound, PermissionDenied, FailedPrecondition) as refused:
            error: UserError | Unavailable = UserError(
                f"The subscription {self._source.name} cannot be read ({type(refused).__name__}): check that it "
                "exists, is one to pull from, and that this account may."
            )
        except (GoogleAPIError, GoogleAuthError) as away:
            error = unanswered(away)
        else:
            return [each.message for each in answer]
        raise error

    def give_back(self) -> None:
        """What was taken last was not done: it comes again at once, or when its time is over."""
        held, self._held = self._held, []
        with suppress(GoogleAPIError):
            self._hold(held, 0, retry=None, timeout=PULL_SECONDS)

    def close(self) -> None:
        """The end; gives back what was not done."""
        self._closed.set()
        self._renewer.join()
        self.give_back()
        self._client.transport.close()

    def _renew(self) -> None:
        """Hold what is being worked on for as long as that takes."""
        while not self._closed.wait(ACK_SECONDS / 3):
            with suppress(GoogleAPIError):
                self._hold(self._held, ACK_SECONDS, retry=None, timeout=PULL_SECONDS)

    def _ended(self) -> bool:
        if stop_signal.asked():
            return True
        limit, since = self._source.until_idle, self._idle_since
        return limit is not None and since is not None and time.monotonic() - since >= limit

    def _pull(self) -> list[Any]:
        asked = time.monotonic()
        request = {"subscription": self._source.name, "max_messages": MAX_MESSAGES}
        try:
            with withheld():  # at debug level the client logs what it receives
                answer = self._client.pull(request=request, retry=retry(RETRY_SECONDS), timeout=PULL_SECONDS)
                found = list(answer.received_messages)
        except DeadlineExceeded:  # how Google says that there is nothing
            found = []
        if found:
            self._idle_since = None
        else:
            self._idle_since = self._idle_since or asked
            self.idle_seconds += time.monotonic() - asked
        return found

    def _hold(self, ack_ids: list[str], seconds: int, **call: Any) -> None:
        if ack_ids:
            request = {"subscription": self._source.name, "ack_ids": ack_ids, "ack_deadline_seconds": seconds}
            self._client.modify_ack_deadline(request=request, **call)

    def _acknowledge(self) -> None:
        if self._held:
            self._client.acknowledge(request={"subscription": self._source.name, "ack_ids": self._held})
            self._held = []


_readings: dict[str, Reading] = {}
_lock = threading.Lock()
_failed: WeakSet[Any] = WeakSet()
"""Evaluation contexts, one a job."""


@contextmanager
def reading(source: object) -> Iterator[Reading | None]:
    """Inside, jobs of this process that Beam's DirectRunner runs read this source as this module says."""
    if not isinstance(source, Subscription):
        yield None
        return
    with _lock:
        if source.name in _readings:
            raise UserError(f"Another job of this process reads {source.name}: give each a subscription of its own.")
        _readings[source.name] = opened = Reading(source)
    try:
        yield opened
    finally:
        del _readings[source.name]
        opened.close()


class _Reader(_PubSubReadEvaluator):
    def finish_bundle(self) -> TransformResult:
        opened = _readings.get(self._sub_name)
        # A failed job asks once more before it ends, which must not count as done what it failed on.
        messages = opened.take() if opened and self._evaluation_context not in _failed else None
        if opened is None or messages is None:
            return TransformResult(self, [], [], None, {None: None})  # no hold on time: the source has ended
        try:
            return self._result(messages)
        except BaseException:
            opened.give_back()
            raise

    def _result(self, messages: list[Any]) -> TransformResult:
        bundle = self._evaluation_context.create_bundle(next(iter(self._outputs)))
        for message in messages:
            published = Timestamp.from_utc_datetime(message.publish_time)
            element = PubsubMessage._from_message(message)
            bundle.output(GlobalWindows.windowed_value(element, timestamp=published))
        again = self._evaluation_context.create_bundle(PBegin(self._applied_ptransform.transform.pipeline))
        again.output(GlobalWindows.windowed_value(b""))  # an empty one would be kept for ever
        return TransformResult(self, [bundle], [again], None, {None: Timestamp.of(time.time())})


def _mend_executor() -> None:
    """Note which jobs failed; and count every bundle of a step.

    Beam's runner counts only the first, since a sampler remembers where it counted first: each gets one of its own.
    """
    call = TransformExecutor.call

    def mended(self: Any, _: StateSampler) -> None:
        sampler = StateSampler("", CounterFactory())
        set_current_tracker(sampler)
        self._max_retries_per_bundle = 1  # each step has tried again for itself what may succeed
        call(self, sampler)
        if self._retry_count == self._max_retries_per_bundle:
            _failed.add(self._evaluation_context)

    TransformExecutor.call = mended


_mend_executor()
TransformEvaluatorRegistry._test_evaluators_overrides[_DirectReadFromPubSub] = _Reader
