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

    @contextmanager
    def acquire(self, amount: int) -> Iterator[None]:
        """Wait until `amount` is available, and hold it inside the block."""
        amount = min(amount, self._total)
        with self._queue, self._changed:  # while one thread waits, no later thread with a smaller amount overtakes it
            self._changed.wait_for(lambda: self._available >= amount)
            self._available -= amount
        try:
            yield
        finally:
            with self._changed:
                self._available += amount
                self._changed.notify()
