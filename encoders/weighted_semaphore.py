"""A semaphore whose holders acquire different amounts of one total."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class WeightedSemaphore:
    """A first-in, first-out semaphore over a total. A request for more than the total acquires the total."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._available = total
        self._changed = Condition()
        self._queue = Lock()

    def take(self, amount: int) -> "Share":
        """Wait until `amount` is available, and return it as a share, which whoever holds it gives back."""
        amount = min(amount, self._total)
        with self._queue, self._changed:  # while one thread waits, no later thread with a smaller amount overtakes it
            self._changed.wait_for(lambda: self._available >= amount)
            self._available -= amount
        return Share(self, amount)

    @contextmanager
    def acquire(self, amount: int) -> Iterator[None]:
        """Wait until `amount` is available, and hold it inside the block."""
        share = self.take(amount)
        try:
            yield
        finally:
            share.keep(0)

    def _give_back(self, amount: int) -> None:
        with self._changed:
            self._available += amount
            self._changed.notify()


class Share:
    """A part of a semaphore's total. It is given back at the latest when nothing refers to it any more."""

    __slots__ = ("_amount", "_semaphore")

    def __init__(self, semaphore: WeightedSemaphore, amount: int) -> None:
        self._semaphore = semaphore
        self._amount = amount

    def keep(self, amount: int) -> None:
        """Give back all but `amount`. To be called by one thread at a time."""
        rest, self._amount = self._amount - amount, amount
        if rest > 0:
            self._semaphore._give_back(rest)
        else:
            self._amount += rest  # no more than it was

    def __del__(self) -> None:
        self.keep(0)
