"""Batching the items of concurrent callers: one batcher for each encoder and process, shared by all threads.

    submit -> prepare, in several threads -> wait, sorted by cost -> run, in one thread, on a GPU in two

All items are in the memory of this process, and are released when their callers have their outcomes.
"""

import math
import os
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Lock, Semaphore
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from encoders.encoder import Encoded
from rawless.broken_process import give_up
from rawless.errors import Unavailable
from rawless.metering import table as metrics
from rawless.metering.metric import age_of_oldest
from rawless.privacy import Reason, guarded

P = TypeVar("P")
"""An item that is prepared for the network, such as tokens or pixels."""
Outcome: TypeAlias = Encoded | Reason
STUCK_SECONDS = 600.0
"""Without any outcome for so long, a batcher is stuck: a child that decodes an image is ended after five minutes, and
the slowest batch, of a large network on one core, takes one."""
CHECK_SECONDS = 5.0
"""How often a caller that waits looks whether the batcher is stuck."""
_PATIENCE = 3
"""How many times longer a batch waits for others while items wait for a thread that prepares them: then these threads
limit how many are encoded, and each batch takes time from them."""
PREPARING = 1 + (os.cpu_count() or 1)
"""Items that are prepared at a time: one more than there are cores, since each waits for its thread in between."""
_NO_THREAD = "The encoder cannot start a thread; run the command again."
_INTERRUPTED = "Encoding was interrupted; run the command again."


class Budget(NamedTuple):
    """The limits of a batch, and of the items that wait for one."""

    cost: int
    """The maximum cost of a batch: that of its most expensive item times its size. A larger item runs alone."""
    run_cost: int
    """The cost of a run itself, in the same units: more padding than this is avoided by another run."""
    capacity: int
    """Items in progress at a time, prepared or not; further callers wait."""
    wait_seconds: float
    """How long a prepared item waits for others when the batch is not full; three times as long while others wait to be
    prepared."""
    runs: int = 1
    """Batches that run at a time, each in a thread: on a GPU one is copied while another is computed."""


@dataclass(eq=False, slots=True)
class _Unprepared(Generic[P]):
    prepare: Callable[[], P | Reason] = field(repr=False)
    outcome: "Future[Outcome]" = field(repr=False)
    since: float


@dataclass(slots=True)
class _Waiting(Generic[P]):
    cost: int
    number: int
    since: float
    prepared: P = field(repr=False)
    outcome: "Future[Outcome]" = field(repr=False)

    @property
    def sort_key(self) -> tuple[int, int]:
        """The cost, then the order of arrival."""
        return self.cost, self.number


class Batcher(Generic[P]):
    """Merges the items of concurrent callers into batches of similar cost, within a budget.

    `run` takes a batch and returns for each item, in order, its outcome, or the `Unavailable` that its caller gets.
    `cost` returns the cost of an item in a batch.
    """

    def __init__(
        self, run: Callable[[Sequence[P]], list[Outcome | Unavailable]], cost: Callable[[P], int], budget: Budget
    ) -> None:
        self.budget = budget
        self._run = run
        self._cost = cost
        self._capacity = Semaphore(budget.capacity)
        self._counting = Lock()
        self._in_progress = 0
        self._last_outcome = time.monotonic()
        self._waiting: list[_Waiting[P]] = []
        self._changed = Condition()
        self._submitted = 0
        self._active = 0
        self._ref: str | None = None
        self._unprepared: deque[_Unprepared[P]] = deque()
        self._preparers = 0
        """Threads that prepare items, each until none waits."""
        # The threads start with the first items, and end when the batcher is garbage collected.
        self._preparing = ThreadPoolExecutor(PREPARING, "prepare")
        self._running = ThreadPoolExecutor(budget.runs, "encode")

    def submit(self, prepare: Callable[[], P | Reason], *, is_quick: bool = False) -> "Future[Outcome]":
        """Return the future outcome of one item; blocks while the capacity is used up. Raises as `check_progress` does.

        `prepare` is called in another thread, or in this one if it `is_quick`, since handing it over would take longer.
        It returns the prepared item or a reason, or raises Unavailable, which the future then raises.
        """
        while not self._capacity.acquire(timeout=CHECK_SECONDS):
            self.check_progress()
        outcome: Future[Outcome] = Future()
        outcome.set_running_or_notify_cancel()  # a future that is running cannot be cancelled before it is resolved
        now = time.monotonic()
        with self._counting:
            if self._in_progress == 0:
                self._last_outcome = now
            self._in_progress += 1
            if not is_quick:
                self._unprepared.append(_Unprepared(prepare, outcome, now))
            needs_preparer = not is_quick and self._preparers < PREPARING
        if is_quick:
            self._prepare(prepare, outcome)
        elif needs_preparer:
            try:
                self._preparing.submit(self._prepare_waiting)
            except RuntimeError:  # no thread can be started, or the interpreter is shutting down
                self._settle([(outcome, Unavailable(_NO_THREAD))])
                self._drop(outcome)
        return outcome

    def measure(self, ref: str) -> None:
        """Record metrics of all further items, under the reference of an encoder."""
        self._ref = ref
        for queue, size, oldest in (
            ("prepare", _unprepared, _oldest_unprepared),
            ("batch", _prepared, _oldest_prepared),
        ):
            metrics.QUEUE_ITEMS.watch(self, size, ref, queue)
            metrics.QUEUE_OLDEST.watch(self, oldest, ref, queue)

    def check_progress(self) -> None:
        """Raise Unavailable if items wait and none had an outcome for `STUCK_SECONDS`; see `give_up`."""
        with self._counting:
            is_stuck = self._in_progress > 0 and time.monotonic() - self._last_outcome > STUCK_SECONDS
        if is_stuck:
            raise give_up(
                f"The encoder has produced nothing for {STUCK_SECONDS / 60:.0f} minutes although items wait: a thread "
                "hangs; restart the worker."
            )

    def _settle(self, outcomes: "Iterable[tuple[Future[Outcome], Outcome | Unavailable]]") -> None:
        """Give each future that has no outcome yet its own, and then the places of these to other items."""
        settled = 0
        try:
            for future, outcome in outcomes:
                settled += _resolve(future, outcome)
        finally:
            if settled:
                with self._counting:
                    self._in_progress -= settled
                    self._last_outcome = time.monotonic()
                self._capacity.release(settled)

    def _drop(self, outcome: "Future[Outcome]") -> None:
        with self._counting, suppress(StopIteration):  # another thread may have taken it meanwhile
            self._unprepared.remove(next(item for item in self._unprepared if item.outcome is outcome))

    def _prepare_waiting(self) -> None:
        with self._counting:
            self._preparers += 1
        try:
            while (item := self._next_unprepared()) is not None:
                self._prepare(item.prepare, item.outcome)
                del item  # it must not stay in memory while this thread waits
        except BaseException:
            with self._counting:
                self._preparers -= 1
            raise

    def _next_unprepared(self) -> "_Unprepared[P] | None":
        """Return the item that has waited longest, or None if none waits, and the thread ends."""
        with self._counting:
            if self._unprepared:
                return self._unprepared.popleft()
            self._preparers -= 1
            return None

    def _prepare(self, prepare: Callable[[], P | Reason], outcome: "Future[Outcome]") -> None:
        started = time.monotonic()
        failure: Reason | Unavailable
        try:
            prepared = prepare()
            if self._ref is not None:
                metrics.PREPARE.observe(time.monotonic() - started, self._ref)
            if not isinstance(prepared, Reason):
                self._enqueue(prepared, outcome)
                return
            failure = prepared
        except Unavailable as error:
            failure = Unavailable(str(error))
        except KeyboardInterrupt:  # of the main thread, if the item is quick
            self._settle([(outcome, Unavailable(_INTERRUPTED))])
            raise
        except BaseException:  # noqa: BLE001 - it may contain content, and the caller must get an outcome
            failure = _broken()
        self._settle([(outcome, failure)])

    def _enqueue(self, prepared: P, outcome: "Future[Outcome]") -> None:
        cost = self._cost(prepared)
        with self._changed:
            if self._active < self.budget.runs:
                self._start_running()
            self._submitted += 1
            item = _Waiting(cost, self._submitted, time.monotonic(), prepared, outcome)
            insort(self._waiting, item, key=lambda waiting: waiting.sort_key)
            if not self._surely_joins():
                self._changed.notify()

    def _surely_joins(self) -> bool:
        """Return whether all items that wait are one batch, and others may join it, without looking at each of them.

        A thread that waits for such a batch then has nothing to decide; each time it wakes up, all others wait for it.
        """
        size, lowest, highest = len(self._waiting), self._waiting[0].cost, self._waiting[-1].cost
        has_room = size < self.budget.capacity and highest * (size + 1) <= self.budget.cost
        return has_room and (highest - lowest) * size <= self.budget.run_cost

    def _start_running(self) -> None:
        """Run the items that wait in another thread, once the caller releases the lock."""
        try:
            self._running.submit(self._run_waiting)
        except RuntimeError:
            raise Unavailable(_NO_THREAD) from None
        self._active += 1

    def _run_waiting(self) -> None:
        batch: list[_Waiting[P]] = []
        try:
            while batch := self._take():
                started = time.monotonic()
                outcomes = self._outcomes(batch)
                self._record(batch, outcomes, time.monotonic() - started)  # before a bundle ends that waits for it
                self._settle(zip((item.outcome for item in batch), outcomes, strict=True))
        except BaseException:  # noqa: BLE001 - it may contain content, and every caller must get an outcome
            with self._changed:
                batch, self._waiting = batch + self._waiting, []
                self._active -= 1
            broken = _broken()
            self._settle((item.outcome, broken) for item in batch)

    def _outcomes(self, batch: list[_Waiting[P]]) -> list[Outcome | Unavailable]:
        """Return an outcome for each item, whatever happens: a caller without one would wait for ever."""
        try:
            outcomes = guarded(self._run, [item.prepared for item in batch])
        except Unavailable as error:
            return [Unavailable(str(error)) for _ in batch]
        if isinstance(outcomes, Reason):
            return [_broken() for _ in batch]
        return outcomes

    def _record(self, batch: list[_Waiting[P]], outcomes: list[Outcome | Unavailable], seconds: float) -> None:
        if self._ref is None:
            return
        padded = max(1, batch[-1].cost) * len(batch)  # the last is the most expensive
        metrics.BATCH_ITEMS.observe(len(batch), self._ref)
        metrics.BATCH_FILL.observe(min(1.0, padded / self.budget.cost), self._ref)
        metrics.BATCH_PADDING.observe(1 - sum(item.cost for item in batch) / padded, self._ref)
        metrics.ENCODE.observe(seconds, self._ref)
        if failed := sum(isinstance(outcome, Unavailable) for outcome in outcomes):
            metrics.UNAVAILABLE.add(failed, self._ref)

    def _take(self) -> list[_Waiting[P]]:
        """Return the oldest item and items of similar cost, once they fill a batch or it has waited long enough.

        Returns nothing when no item waits; the next item then starts the thread again.
        """
        with self._changed:
            while self._waiting:
                oldest = min(range(len(self._waiting)), key=lambda position: self._waiting[position].number)
                chosen = batch_around([item.cost for item in self._waiting], oldest, self.budget)
                patience = self.budget.wait_seconds * (_PATIENCE if self._unprepared else 1)
                left = self._waiting[oldest].since + patience - time.monotonic()
                if left <= 0 or len(chosen) < len(self._waiting) or self._is_full(chosen):
                    batch = self._waiting[chosen.start : chosen.stop]
                    del self._waiting[chosen.start : chosen.stop]
                    return batch
                self._changed.wait(left)
            self._active -= 1
        return []

    def _is_full(self, chosen: range) -> bool:
        """Return whether no later item could join the batch."""
        highest = self._waiting[chosen[-1]].cost
        return len(chosen) == self.budget.capacity or highest * (len(chosen) + 1) > self.budget.cost


def batch_around(costs: Sequence[int], position: int, budget: Budget) -> range:
    """Return the positions of a batch within the budget: one item, and its nearest neighbours in the sorted costs.

    Every item of a batch is padded to the most expensive one. A neighbour joins only if the padding that it adds costs
    less than another run.
    """
    first, last = position, position
    while True:
        size = last - first + 1
        below = costs[last] - costs[first - 1] if first > 0 and costs[last] * (size + 1) <= budget.cost else math.inf
        fits_above = last + 1 < len(costs) and costs[last + 1] * (size + 1) <= budget.cost
        above = (costs[last + 1] - costs[last]) * size if fits_above else math.inf
        if min(below, above) > budget.run_cost:
            return range(first, last + 1)
        if below <= above:
            first -= 1
        else:
            last += 1


def _unprepared(batcher: Batcher[Any]) -> int:
    return len(batcher._unprepared)


def _oldest_unprepared(batcher: Batcher[Any]) -> float:
    return age_of_oldest([item.since for item in list(batcher._unprepared)])


def _prepared(batcher: Batcher[Any]) -> int:
    return len(batcher._waiting)


def _oldest_prepared(batcher: Batcher[Any]) -> float:
    with batcher._changed:
        return age_of_oldest([item.since for item in batcher._waiting])


def _broken() -> Unavailable:
    return give_up("The encoder failed outside of its model; restart the worker.")


def _resolve(future: "Future[Outcome]", outcome: Outcome | Unavailable) -> bool:
    """Give a future its outcome, and return whether it had none yet."""
    try:
        if isinstance(outcome, Unavailable):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
    except InvalidStateError:
        return False
    return True
