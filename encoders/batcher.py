"""Full batches out of the items of many callers: one batcher an encoder and process, shared by all threads.

    submit -> a place in the queue -> prepared, in several threads -> waiting, sorted by cost -> run, in one thread

Everything is in this process's memory and goes when its callers have their outcomes.
"""

import math
import os
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Semaphore
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from encoders.encoder import BatchRun, Encoded
from rawless.errors import Unavailable
from rawless.privacy import Reason, guarded

P = TypeVar("P")
"""An item prepared for the model: tokens, or pixels."""
Outcome: TypeAlias = Encoded | Reason
_REMEMBERED = 10_000
"""Runs that nobody has asked for yet."""


class Budget(NamedTuple):
    """What a batch may cost, and how much may wait for it."""

    cost: int
    """Of a batch: that of its dearest item, times its count. An item that is dearer goes alone."""
    run_cost: int
    """Of a run as such, in the same units: how much padding an item may bring, rather than have a run of its own."""
    places: int
    """Items held at a time, prepared or not; who brings more waits."""
    wait_seconds: float
    """For how long a prepared item waits for company, when the batch is not full."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[P]):
    cost: int
    number: int
    since: float
    prepared: P = field(repr=False)
    outcome: "Future[Outcome]" = field(repr=False)

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts by cost."""
        return self.cost, self.number


class Batcher(Generic[P]):
    """Merges what concurrent callers submit into batches of like cost, within a budget.

    `run` takes a batch and gives for each item, in order, its outcome, or the `Unavailable` that its caller is to
    see. `cost` says what an item costs in a batch.
    """

    def __init__(
        self, run: Callable[[Sequence[P]], list[Outcome | Unavailable]], cost: Callable[[P], int], budget: Budget
    ) -> None:
        self.budget = budget
        self._run = run
        self._cost = cost
        self._places = Semaphore(budget.places)
        self._waiting: list[_Waiting[P]] = []
        self._changed = Condition()
        self._submitted = 0
        self._busy = False
        self._runs: deque[BatchRun] = deque(maxlen=_REMEMBERED)
        # Their threads start when they are needed, and end when the batcher is dropped.
        self._preparing = ThreadPoolExecutor(os.cpu_count(), "prepare")
        self._running = ThreadPoolExecutor(1, "encode")

    def submit(self, prepare: Callable[[], P | Reason]) -> "Future[Outcome]":
        """The future outcome of one item; blocks while all places are taken.

        `prepare` is called in another thread. It lets nothing out but a prepared item, a reason, and Unavailable,
        which the future raises.
        """
        self._places.acquire()
        outcome: Future[Outcome] = Future()
        outcome.set_running_or_notify_cancel()  # from here on nobody can cancel it, so it can always be resolved
        outcome.add_done_callback(lambda _: self._places.release())
        try:
            self._preparing.submit(self._prepare, prepare, outcome)
        except RuntimeError:  # no thread can be started, or the interpreter is ending
            _resolve(outcome, _stuck())
        return outcome

    def runs(self) -> list[BatchRun]:
        """What was run since this was last asked, by whomever."""
        found = []
        with suppress(IndexError):  # another thread asks at the same time
            while True:
                found.append(self._runs.popleft())
        return found

    def _prepare(self, prepare: Callable[[], P | Reason], outcome: "Future[Outcome]") -> None:
        try:
            prepared = prepare()
            if isinstance(prepared, Reason):
                _resolve(outcome, prepared)
            else:
                self._wait(prepared, outcome)
        except Unavailable as error:
            _resolve(outcome, Unavailable(str(error)))
        except BaseException:  # noqa: BLE001 - nothing of it may leave, and its caller must not wait for ever
            _resolve(outcome, _stuck())

    def _wait(self, prepared: P, outcome: "Future[Outcome]") -> None:
        cost = self._cost(prepared)
        with self._changed:
            self._submitted += 1
            item = _Waiting(cost, self._submitted, time.monotonic(), prepared, outcome)
            insort(self._waiting, item, key=lambda each: each.rank)
            self._changed.notify()
            if not self._busy:
                self._running.submit(self._run_waiting)
                self._busy = True

    def _run_waiting(self) -> None:
        batch: list[_Waiting[P]] = []
        try:
            while batch := self._take():
                started = time.monotonic()
                outcomes = self._outcomes(batch)
                self._runs.append(BatchRun(len(batch), time.monotonic() - started))
                for each, outcome in zip(batch, outcomes, strict=True):
                    _resolve(each.outcome, outcome)
        except BaseException:  # noqa: BLE001 - likewise, of whoever waits
            with self._changed:
                batch, self._waiting, self._busy = batch + self._waiting, [], False
            for each in batch:
                _resolve(each.outcome, _stuck())

    def _outcomes(self, batch: list[_Waiting[P]]) -> list[Outcome | Unavailable]:
        """One for each, whatever happens: a caller that got none would wait for ever."""
        try:
            found = guarded(self._run, [each.prepared for each in batch])
        except Unavailable as error:
            return [Unavailable(str(error)) for _ in batch]
        if isinstance(found, Reason):
            return [_stuck() for _ in batch]
        return found

    def _take(self) -> list[_Waiting[P]]:
        """The oldest item with those of like cost, as soon as they fill a batch or it has waited long enough.

        Nothing when nothing waits: then the next item starts the thread again.
        """
        with self._changed:
            while self._waiting:
                oldest = min(range(len(self._waiting)), key=lambda each: self._waiting[each].number)
                chosen = around([each.cost for each in self._waiting], oldest, self.budget)
                left = self._waiting[oldest].since + self.budget.wait_seconds - time.monotonic()
                if left <= 0 or len(chosen) < len(self._waiting) or self._full(chosen):
                    batch = self._waiting[chosen.start : chosen.stop]
                    del self._waiting[chosen.start : chosen.stop]
                    return batch
                self._changed.wait(left)
            self._busy = False
        return []

    def _full(self, chosen: range) -> bool:
        """Whether nothing that comes later could go with them."""
        dearest = self._waiting[chosen[-1]].cost
        return len(chosen) == self.budget.places or dearest * (len(chosen) + 1) > self.budget.cost


def around(costs: Sequence[int], position: int, budget: Budget) -> range:
    """Of sorted costs, the positions of a batch within the budget: one item, and its nearest neighbours in cost.

    Everything in a batch is padded to its dearest item. So a neighbour belongs to it only if the padding that it brings
    costs less than a run of its own.
    """
    first, last = position, position
    while True:
        size = last - first + 1
        below = costs[last] - costs[first - 1] if first > 0 and costs[last] * (size + 1) <= budget.cost else math.inf
        dearer = last + 1 < len(costs) and costs[last + 1] * (size + 1) <= budget.cost
        above = (costs[last + 1] - costs[last]) * size if dearer else math.inf
        if min(below, above) > budget.run_cost:
            return range(first, last + 1)
        if below <= above:
            first -= 1
        else:
            last += 1


def _stuck() -> Unavailable:
    return Unavailable("The encoder failed outside of its model; restart the worker.")


def _resolve(future: "Future[Outcome]", outcome: Outcome | Unavailable) -> None:
    if future.done():
        return
    if isinstance(outcome, Unavailable):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
