"""The weighted semaphore: the total is never exceeded, and large requests are served in order."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.weighted_semaphore import WeightedSemaphore

LIMIT = 30.0


class Acquired:
    """The amount that is acquired now, and the largest amount so far."""

    def __init__(self) -> None:
        self.now, self.most = 0, 0
        self._lock = threading.Lock()

    def add(self, amount: int) -> None:
        with self._lock:
            self.now += amount
            self.most = max(self.most, self.now)


@settings(max_examples=30, deadline=None)
@given(amounts=st.lists(st.integers(1, 100), min_size=1, max_size=12))
def test_threads_together_acquire_no_more_than_the_total(amounts: list[int]) -> None:
    semaphore, acquired, together = WeightedSemaphore(60), Acquired(), threading.Event()

    def work(amount: int) -> None:
        with semaphore.acquire(amount):
            acquired.add(min(amount, 60))
            together.wait(0.002)  # long enough for others to enter, if they could
            acquired.add(-min(amount, 60))

    threads = [threading.Thread(target=work, args=(amount,)) for amount in amounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert acquired.now == 0
    assert max(min(amount, 60) for amount in amounts) <= acquired.most <= 60
    with semaphore.acquire(60):  # the whole total was released
        pass


def test_a_large_request_is_not_overtaken_by_later_smaller_ones() -> None:
    semaphore, order = WeightedSemaphore(10), []
    asked = threading.Event()

    def large() -> None:
        asked.set()
        with semaphore.acquire(10):
            order.append("large")

    def small() -> None:
        with semaphore.acquire(1):
            order.append("small")

    with semaphore.acquire(5):
        first, second = threading.Thread(target=large), threading.Thread(target=small)
        first.start()
        assert asked.wait(LIMIT)
        first.join(0.05)  # it waits by now
        second.start()
        second.join(0.05)
        assert order == []
    first.join(LIMIT)
    second.join(LIMIT)
    assert order == ["large", "small"]


def test_an_error_inside_the_block_releases_the_amount() -> None:
    semaphore = WeightedSemaphore(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"), semaphore.acquire(1):
            raise ValueError("broken")
