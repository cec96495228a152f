"""`run`: read, process and acknowledge bundles in several threads, until the source is idle or a stop is requested."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rawless.errors import RawlessError, Unavailable, UserError
from rawless.events import leases
from rawless.steps import progress, stop_signal
from rawless.steps.chain import Chain
from rawless.steps.meter import READ, Meter
from rawless.worker.idleness import Idleness
from rawless.worker.reader import MessageReader

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""How long a thread waits after a failure, which doubles until a bundle succeeds."""
_MOST_FAILURES = 10
"""After which that is the longest delay."""
_INTERNAL = "The worker failed with an internal error; nothing was dropped: run the same command again."


class OutOfTime(Unavailable):
    """A worker that was to stop did not finish what it had read. Threads of it still run."""


@dataclass(frozen=True)
class Limits:
    """When a worker ends, and how much it does at a time."""

    threads: int = 8
    """Bundles in progress at a time."""
    until_idle: float | None = None
    """Seconds without a message after which it ends; None means never."""
    patience: float = 0.0
    """For how many seconds it goes on while nothing succeeds."""
    grace: float | None = None
    """Seconds within which it finishes what it has read when a stop is requested; None means as long as that takes."""


def run(stream: str, reader: MessageReader, make_chain: Callable[[], Chain], meter: Meter, limits: Limits) -> Idleness:
    """Process messages until the worker ends, and return for how long it was idle. Closes the reader.

    Raises UserError or Unavailable if it cannot go on, KeyboardInterrupt if it is aborted. Messages whose rows may not
    be written are delivered again in any case.
    """
    return _Run(stream, reader, make_chain, meter, limits).run()


class _Run:
    def __init__(
        self, stream: str, reader: MessageReader, make_chain: Callable[[], Chain], meter: Meter, limits: Limits
    ) -> None:
        self._stream, self._reader, self._make_chain = stream, reader, make_chain
        self._meter, self._limits = meter, limits
        self._idleness = Idleness()
        self._lock = threading.Lock()
        self._is_done = threading.Event()
        self._failure: RawlessError | None = None
        self._reading, self._writing = _Patience(limits.patience), _Patience(limits.patience)

    def run(self) -> Idleness:
        """See `run`."""
        threads = [
            threading.Thread(target=self._work, name=f"bundles {number}", daemon=True)
            for number in range(self._limits.threads)
        ]
        renewing_ends = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(renewing_ends,), name="leases", daemon=True)
        try:
            for thread in (renewer, *threads):
                thread.start()
            self._wait(threads)
        finally:
            self._is_done.set()
            renewing_ends.set()
            renewer.join()
            self._reader.close()
        if self._failure is not None:
            raise self._failure
        return self._idleness

    def _wait(self, threads: list[threading.Thread]) -> None:
        """Wait until all threads have ended, after a request to stop for `grace` seconds. Raises Unavailable then."""
        stops_at: float | None = None
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(0.1 if thread.is_alive() else 0.0)
            if stops_at is None and self._limits.grace is not None and self._is_stopping():
                stops_at = time.monotonic() + self._limits.grace
            if stops_at is not None and time.monotonic() > stops_at:
                raise OutOfTime(
                    f"What was read was not done {self._limits.grace:.0f} seconds after the request to stop: its "
                    "messages are delivered again. Give the worker more time (--grace) or fewer threads."
                )

    def _renew(self, ends: threading.Event) -> None:
        while not ends.wait(leases.RENEW_SECONDS):
            self._reader.renew()

    def _work(self) -> None:
        try:
            chain = self._make_chain()
            chain.setup(self._meter)
            failures = 0
            while not self._is_stopping():
                try:
                    failures = 0 if self._next(chain) else failures
                    continue
                except Unavailable:  # which `_next` has counted
                    failures = min(failures + 1, _MOST_FAILURES)
                # Outside of the handler, whose exception keeps the bundle in memory.
                self._pause(min(FIRST_DELAY * 2 ** (failures - 1), LONGEST_DELAY))
        except _OutOfPatience as error:
            self._fail(Unavailable(str(error)))
        except RawlessError as error:
            self._fail(type(error)(str(error)))
        except BaseException:  # noqa: BLE001 - its text may be content
            self._fail(Unavailable(_INTERNAL))

    def _next(self, chain: Chain) -> bool:
        """Process the next bundle, and return whether there was one."""
        if not (is_reading := self._reader.is_reading()):
            self._idleness.restart()
        with self._reading.attempted():
            bundle = self._reader.read()
        if bundle is None:
            limit = self._limits.until_idle
            if limit is not None and is_reading and self._idleness.current >= limit:
                self._is_done.set()
            return False
        with self._idleness.interrupted(), self._writing.attempted():
            self._meter.count(READ, len(bundle.deliveries))
            progress.add(self._stream, "read", len(bundle.deliveries))
            try:
                chain.run(bundle.deliveries)
            except BaseException:
                self._reader.give_back(bundle)
                raise
            self._reader.acknowledge(bundle)
        return True

    def _pause(self, seconds: float) -> None:
        """Wait, in each thread for another time, or until the worker stops."""
        until = time.monotonic() + seconds * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets
        while time.monotonic() < until and not self._is_stopping():
            self._is_done.wait(0.1)

    def _is_stopping(self) -> bool:
        return self._is_done.is_set() or stop_signal.is_stop_requested()

    def _fail(self, failure: RawlessError) -> None:
        with self._lock:
            if self._failure is None or isinstance(failure, UserError):
                self._failure = failure
        self._is_done.set()


class _OutOfPatience(RawlessError):
    """An attempt has failed for too long. Its text is that of the last failure."""


class _Patience:
    """How long attempts of one kind may fail, in any thread, without one that succeeds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._failing_since: float | None = None

    @contextmanager
    def attempted(self) -> Iterator[None]:
        """Attempt what is in the block. Raises _OutOfPatience instead of Unavailable if that has lasted too long."""
        try:
            yield
        except Unavailable as error:
            now = time.monotonic()
            self._failing_since = since = self._failing_since or now
            kind, text = _OutOfPatience if now - since >= self._seconds else Unavailable, str(error)
        else:
            self._failing_since = None
            return
        raise kind(text)  # which no frame names, since its traceback keeps the bundle in memory
