"""The fetch step: reads the objects that events name, while other events are encoded."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from queue import Empty, SimpleQueue
from threading import Lock
from typing import ClassVar, NamedTuple
from weakref import ref

from encoders.weighted_semaphore import Share, WeightedSemaphore
from rawless.errors import Unavailable
from rawless.events.claim_checks import read_event
from rawless.events.event import Event, Rejection, UnreadEvent
from rawless.events.objects import ReadObject
from rawless.events.stored_objects import read_object
from rawless.metering import table as metrics
from rawless.metering.metric import age_of_oldest
from rawless.privacy import Stage
from rawless.steps.elements import CheckedEvent, ParsedEvent
from rawless.steps.meter import FETCH, FETCHED_BYTES, Meter
from rawless.steps.rejections import counter, rejection_row
from rawless.steps.step import Step
from rawless.warehouse.rows import RejectionRow

THREADS = 64
"""Objects that a process reads at a time. At 50 ms each, that is 1,280 a second."""
MAX_BYTES = 640_000_000
"""Bytes that a process may read or have read for events that are not handed on: the default limit of 64 images."""
MAX_PENDING = 2 * THREADS
"""Events of a bundle that may wait for their objects, so that no thread waits for the bundle to go on."""
WAIT_SECONDS = 600.0
"""How long a bundle waits for its next object: longer than a request with its retries, after those before it."""
_making = Lock()


class _Fetched(NamedTuple):
    message_id: str
    size: int
    """Size of the whole message in bytes."""
    outcome: Event | Rejection | Unavailable
    seconds: float
    share: Share
    """The bytes of the event, while it waits here."""


Done = SimpleQueue[_Fetched]
"""What was read for a bundle. A bundle that is given up drops its queue, and with it the bytes."""


class Fetcher:
    """Reads objects for all bundles of a process: `threads` at a time, and `max_bytes` at most."""

    # The size of an object is known when it has arrived. Until then, it takes as many bytes as the event's limit.

    def __init__(self, read: ReadObject, threads: int = THREADS, max_bytes: int = MAX_BYTES) -> None:
        self._read_object = read
        self._threads = ThreadPoolExecutor(threads, "fetch")
        self._bytes = WeightedSemaphore(max_bytes)
        self._unread: deque[float] = deque()
        """When each event was submitted that waits for a thread or for bytes."""
        metrics.QUEUE_ITEMS.watch(self, _unread, "", "fetch")
        metrics.QUEUE_OLDEST.watch(self, _oldest_unread, "", "fetch")

    def submit(self, unread: UnreadEvent, message_id: str, size: int, done: Done) -> None:
        """Read the objects of an event in another thread, which puts it into the queue."""
        self._unread.append(time.monotonic())
        self._threads.submit(self._fetch, unread, message_id, size, ref(done))

    def _fetch(self, unread: UnreadEvent, message_id: str, size: int, bundle: "ref[Done]") -> None:
        if bundle() is None:
            self._unread.popleft()
            return
        # A thread that waits here delays no bundle that holds bytes: each hands on what was read, in any order.
        share = self._bytes.take(unread.max_bytes)
        self._unread.popleft()
        started = time.monotonic()
        outcome = self._read(unread)
        share.keep(outcome.size if isinstance(outcome, Event) else 0)
        if (done := bundle()) is not None:
            done.put(_Fetched(message_id, size, outcome, time.monotonic() - started, share))

    def _read(self, unread: UnreadEvent) -> Event | Rejection | Unavailable:
        try:
            return read_event(unread, self._read_object)
        except Unavailable as error:
            return Unavailable(str(error))
        except BaseException:  # noqa: BLE001 - it may contain content, and the bundle must get an outcome
            return Unavailable("An object could not be read, for an unexpected reason; run again.")


def _unread(fetcher: Fetcher) -> int:
    return len(fetcher._unread)


def _oldest_unread(fetcher: Fetcher) -> float:
    return age_of_oldest(list(fetcher._unread))


def fetcher() -> Fetcher:
    """Return the fetcher of this process."""
    with _making:  # two would read twice as many objects and bytes
        return _fetcher()


@lru_cache(maxsize=1)
def _fetcher() -> Fetcher:
    return Fetcher(read_object)


class Fetch(Step[CheckedEvent, ParsedEvent]):
    """Reads the objects that events name. Other events pass at once; the outputs are in no order."""

    # Like `Encode`, it keeps events in this object until the end of the bundle, never in Beam's state.

    output: ClassVar[type[ParsedEvent]] = ParsedEvent

    def __init__(self, stream: str) -> None:
        self._stream = stream

    def setup(self, meter: Meter) -> None:
        """See `Step.setup`."""
        self._meter = meter
        self._fetcher = fetcher()

    def start(self) -> None:
        """See `Step.start`."""
        self._done: Done = SimpleQueue()
        self._pending = 0

    def process(self, element: CheckedEvent) -> Iterator[ParsedEvent | RejectionRow]:
        """See `Step.process`."""
        if isinstance(element.event, Event):
            yield ParsedEvent(element.event, element.message_id)
        else:
            self._fetcher.submit(element.event, element.message_id, element.size, self._done)
            self._pending += 1
        while self._pending >= MAX_PENDING or not self._done.empty():
            yield from self._next()

    def finish(self) -> Iterator[ParsedEvent | RejectionRow]:
        """See `Step.finish`."""
        while self._pending:
            yield from self._next()

    def _next(self) -> Iterator[ParsedEvent | RejectionRow]:
        """Wait for an event whose objects were read, and yield it or its rejection."""
        fetched = self._wait()
        self._meter.observe(FETCH, fetched.seconds)
        outcome = fetched.outcome
        if isinstance(outcome, Event):
            self._meter.observe(FETCHED_BYTES, outcome.size)
            yield ParsedEvent(outcome, fetched.message_id)
            fetched.share.keep(0)  # the next step, which has its own limit, has taken it
        elif isinstance(outcome, Rejection):
            yield self._rejection_row(outcome, fetched)
        else:
            self._give_up()
            raise Unavailable(str(outcome))  # not one that a frame names, which would keep the bundle in memory

    def _wait(self) -> _Fetched:
        try:
            fetched = self._done.get(timeout=WAIT_SECONDS)
        except Empty:
            self._give_up()
        else:
            self._pending -= 1
            return fetched
        raise Unavailable(f"No object could be read for {WAIT_SECONDS:.0f} seconds; run again when the store answers.")

    def _give_up(self) -> None:
        """Drop what is read for this bundle, whose events are delivered again."""
        self.start()

    def _rejection_row(self, rejection: Rejection, fetched: _Fetched) -> RejectionRow:
        self._meter.count(counter(Stage.FETCH, rejection.reason))
        return rejection_row(
            self._stream,
            rejection,
            Stage.FETCH,
            message_id=fetched.message_id,
            size=fetched.size,
            now=datetime.now(UTC),
        )
