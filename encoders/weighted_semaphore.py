"""So much at a time, over all threads of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class Allowance:
    """A total that is lent in parts, in the order of arrival. Who asks for more than all of it gets all of it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._left = total
        self._changed = Condition()
        self._turn = Lock()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Waits until so much is left, and holds it inside the block."""
        amount = min(amount, self._total)
        with self._turn, self._changed:  # while one waits its turn, nobody who asks for less goes before it
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify()
