"""So much at a time: nobody holds more than there is, and who asks for much gets a turn."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.weighted_semaphore import WeightedSemaphore

LIMIT = 30.0


class Held:
    """What is held now, and the most that ever was."""

    def __init__(self) -> None:
        self.now, self.most = 0, 0
        self._lock = threading.Lock()

    def add(self, amount: int) -> None:
        with self._lock:
            self.now += amount
            self.most = max(self.most, self.now)


@settings(max_examples=30, deadline=None)
@given(amounts=st.lists(st.integers(1, 100), min_size=1, max_size=12))
def test_threads_together_hold_no_more_than_the_total(amounts: list[int]) -> None:
    allowance, held, together = WeightedSemaphore(60), Held(), threading.Event()

    def work(amount: int) -> None:
        with allowance.acquire(amount):
            held.add(min(amount, 60))
            together.wait(0.002)  # long enough that others would come in, if they could
            held.add(-min(amount, 60))

    threads = [threading.Thread(target=work, args=(amount,)) for amount in amounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert held.now == 0
    assert max(min(amount, 60) for amount in amounts) <= held.most <= 60
    with allowance.acquire(60):  # all of it came back
        pass


def test_who_asks_for_much_goes_before_those_who_came_later_and_ask_for_less() -> None:
    allowance, order = WeightedSemaphore(10), []
    asked = threading.Event()

    def large() -> None:
        asked.set()
        with allowance.acquire(10):
            order.append("large")

    def small() -> None:
        with allowance.acquire(1):
            order.append("small")

    with allowance.acquire(5):
        first, second = threading.Thread(target=large), threading.Thread(target=small)
        first.start()
        assert asked.wait(LIMIT)
        first.join(0.05)  # by now it waits
        second.start()
        second.join(0.05)
        assert order == []
    first.join(LIMIT)
    second.join(LIMIT)
    assert order == ["large", "small"]


def test_what_fails_inside_gives_back_what_it_held() -> None:
    allowance = WeightedSemaphore(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"), allowance.acquire(1):
            raise ValueError("broken")
