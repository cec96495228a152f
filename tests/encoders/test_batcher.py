"""The batcher: concurrent callers share full batches, and each gets the outcomes of its own items."""

import gc
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders import batcher as batching
from encoders.batcher import PREPARING, Batcher, Budget, Outcome, batch_around
from encoders.encoder import Encoded
from rawless import broken_process
from rawless.errors import Unavailable
from rawless.metering.metric import keep_for_runner, take
from rawless.privacy import Reason
from tests.measured import measured

REF = "numbers@1.0.0"
LIMIT = 30.0
"""Seconds until a test that waits fails."""


def vector(number: int) -> Encoded:
    return Encoded(np.array([number], np.float32), truncated=False)


def number_of(outcome: Outcome) -> int:
    assert isinstance(outcome, Encoded)
    return int(outcome.vector[0])


class Model:
    """Returns each number as a vector, once its gate is open, and records the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def run(self, batch: Sequence[int]) -> list[Outcome | Unavailable]:
        self.batches.append(list(batch))
        self.started.set()
        assert self.gate.wait(LIMIT)
        return [vector(number) for number in batch]


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    yield model
    model.gate.set()


def batcher(model: Model, cost: int = 8, capacity: int = 1000, wait_seconds: float = 0.0) -> Batcher[int]:
    return Batcher(model.run, lambda number: 1, Budget(cost, 1, capacity, wait_seconds))


def submit(batcher: Batcher[int], *numbers: int) -> "list[Future[Outcome]]":
    def prepared(number: int) -> Callable[[], int]:
        return lambda: number

    return [batcher.submit(prepared(number)) for number in numbers]


costs = st.lists(st.integers(1, 600), min_size=1, max_size=80).map(sorted)


@settings(max_examples=200, deadline=None)
@given(costs=costs, cost=st.integers(1, 2048), run_cost=st.integers(0, 600), data=st.data())
def test_a_batch_contains_the_item_and_every_neighbour_within_cost_and_padding_limits(
    costs: list[int], cost: int, run_cost: int, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(costs) - 1))

    chosen = batch_around(costs, position, Budget(cost, run_cost, 100, 0.0))

    assert position in chosen
    dearest, size = costs[chosen[-1]], len(chosen)
    assert size == 1 or dearest * size <= cost
    if chosen.start > 0:
        assert dearest * (size + 1) > cost or dearest - costs[chosen.start - 1] > run_cost
    if chosen.stop < len(costs):
        dearer = costs[chosen.stop]
        assert dearer * (size + 1) > cost or (dearer - dearest) * size > run_cost


@pytest.mark.parametrize(
    ("costs", "position", "cost", "run_cost", "chosen"),
    [
        ([1, 5, 9, 10, 12, 40], 3, 36, 100, [2, 3, 4]),
        ([10] * 9, 4, 40, 0, [1, 2, 3, 4]),
        ([2, 900, 3000], 1, 100, 100, [1]),
        ([2, 900, 3000], 1, 10_000, 100, [1]),  # another run costs less than the padding
        ([10, 11, 30, 31], 0, 1_000, 5, [0, 1]),
    ],
)
def test_nearest_neighbours_join_first_and_only_if_padding_costs_less_than_a_run(
    costs: list[int], position: int, cost: int, run_cost: int, chosen: list[int]
) -> None:
    assert list(batch_around(costs, position, Budget(cost, run_cost, 100, 0.0))) == chosen


@settings(max_examples=50, deadline=None)
@given(
    callers=st.lists(st.lists(st.integers(1, 99), max_size=12), min_size=1, max_size=6),
    cost=st.integers(1, 300),
    run_cost=st.integers(0, 50),
    capacity=st.integers(1, 20),
    wait_seconds=st.sampled_from([0.0, 0.001]),
)
def test_every_caller_gets_its_own_outcomes_whatever_the_budget(
    callers: list[list[int]], cost: int, run_cost: int, capacity: int, wait_seconds: float
) -> None:
    model = Model()
    shared: Batcher[int] = Batcher(model.run, lambda number: number, Budget(cost, run_cost, capacity, wait_seconds))
    found: dict[int, list[int]] = {}

    def call(caller: int) -> None:
        found[caller] = [number_of(each.result(LIMIT)) for each in submit(shared, *callers[caller])]

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(len(callers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert [found.get(caller) for caller in range(len(callers))] == callers
    assert sorted(number for batch in model.batches for number in batch) == sorted(
        itertools.chain.from_iterable(callers)
    )
    assert all(len(batch) == 1 or max(batch) * len(batch) <= cost for batch in model.batches)
    assert all(len(batch) <= capacity for batch in model.batches)


def test_small_bundles_of_many_threads_share_full_batches(model: Model) -> None:
    shared = batcher(model, wait_seconds=LIMIT)
    both = threading.Barrier(4)

    def bundle(start: int) -> None:
        both.wait(LIMIT)
        assert [number_of(each.result(LIMIT)) for each in submit(shared, start, start + 1)] == [start, start + 1]

    threads = [threading.Thread(target=bundle, args=(10 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert [sorted(batch) for batch in model.batches] == [[0, 1, 10, 11, 20, 21, 30, 31]]


def test_a_batch_waits_longer_while_items_wait_to_be_prepared(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encoders.batcher._PATIENCE", 20)
    shared, may_end, count = batcher(model, cost=100, wait_seconds=0.05), threading.Event(), PREPARING + 2

    def slow(number: int) -> Callable[[], int]:
        return lambda: (may_end.wait(LIMIT), number)[1]

    slow_ones = [shared.submit(slow(number)) for number in range(1, count)]
    first = shared.submit(lambda: 0, is_quick=True)
    with pytest.raises(TimeoutError):
        first.result(timeout=0.3)
    may_end.set()

    assert [number_of(each.result(LIMIT)) for each in [first, *slow_ones]] == list(range(count))
    assert [0] not in model.batches


def test_with_two_runs_at_a_time_a_second_batch_runs_beside_the_first() -> None:
    """Both wait for each other, and neither could end alone."""
    meeting = threading.Barrier(2, timeout=LIMIT)

    def run(batch: Sequence[int]) -> list[Outcome | Unavailable]:
        meeting.wait()
        return [vector(number) for number in batch]

    pair: Batcher[int] = Batcher(run, lambda number: 1, Budget(1, 1, 1000, 0.0, runs=2))

    assert [number_of(future.result(LIMIT)) for future in submit(pair, *range(6))] == list(range(6))


def test_items_submitted_while_the_model_runs_make_the_next_batch(model: Model) -> None:
    shared = batcher(model)
    model.gate.clear()
    first = submit(shared, 0)
    assert model.started.wait(LIMIT)
    rest = submit(shared, *range(1, 9))
    assert wait(rest, 0.05).done == set()  # they are prepared meanwhile
    model.gate.set()

    assert [number_of(each.result(LIMIT)) for each in first + rest] == list(range(9))
    assert [len(batch) for batch in model.batches] == [1, 8]


def test_an_item_of_an_unusual_cost_does_not_wait_for_all_others(model: Model) -> None:
    shared: Batcher[int] = Batcher(model.run, lambda number: number, Budget(100, 100, 1000, 0.0))
    model.gate.clear()
    blocker = submit(shared, 1)
    assert model.started.wait(LIMIT)
    (odd,) = submit(shared, 90)
    odd_ready = submit(shared, *[10] * 40)
    assert not wait([odd, *odd_ready], 0.05).done
    model.gate.set()
    wait([*blocker, odd, *odd_ready], LIMIT)

    # In two threads the odd one may be prepared second, but not last.
    assert any(90 in batch for batch in model.batches[:3])


def test_callers_block_while_the_capacity_is_used_up(model: Model) -> None:
    shared = batcher(model, capacity=3)
    model.gate.clear()
    in_progress = submit(shared, 1, 2, 3)
    passed = threading.Event()

    def fourth() -> None:
        in_progress.extend(submit(shared, 4))
        passed.set()

    thread = threading.Thread(target=fourth)
    thread.start()
    assert not passed.wait(0.1)
    model.gate.set()

    assert passed.wait(LIMIT)
    thread.join(LIMIT)
    assert [number_of(each.result(LIMIT)) for each in in_progress] == [1, 2, 3, 4]


def test_a_batcher_at_capacity_does_not_wait_for_more_items(model: Model) -> None:
    shared = batcher(model, cost=1000, capacity=2, wait_seconds=10 * LIMIT)
    assert [number_of(each.result(LIMIT)) for each in submit(shared, 1, 2, 3, 4)] == [1, 2, 3, 4]


def test_a_rejected_item_skips_the_model_and_frees_its_capacity(model: Model) -> None:
    shared = batcher(model, capacity=1)
    for _ in range(3):
        assert shared.submit(lambda: Reason.EMPTY_TEXT).result(LIMIT) is Reason.EMPTY_TEXT
    assert model.batches == []


def test_unavailable_in_preparation_is_raised_for_its_caller_only(model: Model) -> None:
    shared = batcher(model)

    def away() -> int:
        raise Unavailable("no memory")

    good = submit(shared, 1)
    bad = shared.submit(away)
    assert number_of(good[0].result(LIMIT)) == 1
    with pytest.raises(Unavailable, match="no memory"):
        bad.result(LIMIT)


@pytest.mark.parametrize(
    "fault", [MemoryError, KeyError, type("Panic", (BaseException,), {}), Unavailable], ids=lambda each: each.__name__
)
def test_an_unexpected_error_of_a_run_resolves_every_future(fault: type[BaseException]) -> None:
    def run(batch: Sequence[int]) -> list[Outcome | Unavailable]:
        raise fault("the content of an item")

    shared: Batcher[int] = Batcher(run, lambda number: 1, Budget(8, 1, 100, 0.0))
    for each in submit(shared, 1, 2, 3):
        with pytest.raises(Unavailable) as caught:
            each.result(LIMIT)
        assert "content" not in str(caught.value) or fault is Unavailable
        assert caught.value.__context__ is None


def test_unavailable_for_one_item_of_a_batch_does_not_affect_its_neighbours() -> None:
    def run(batch: Sequence[int]) -> list[Outcome | Unavailable]:
        return [Unavailable("too large") if number == 2 else vector(number) for number in batch]

    first, second, third = submit(Batcher(run, lambda number: 1, Budget(8, 1, 100, 0.01)), 1, 2, 3)
    assert (number_of(first.result(LIMIT)), number_of(third.result(LIMIT))) == (1, 3)
    with pytest.raises(Unavailable, match="too large"):
        second.result(LIMIT)


def test_a_deleted_batcher_ends_its_threads(model: Model) -> None:
    before = set(threading.enumerate())
    shared = batcher(model)
    wait(submit(shared, *range(20)), LIMIT)
    started = set(threading.enumerate()) - before
    assert started
    del shared
    gc.collect()
    for each in started:
        each.join(LIMIT)
    assert not any(each.is_alive() for each in started)


def test_the_queues_of_a_batcher_are_measured_with_the_age_of_their_oldest(model: Model) -> None:
    shared = batcher(model, cost=2)
    shared.measure(REF)
    model.gate.clear()
    running = submit(shared, 1)
    assert model.started.wait(LIMIT)
    waiting, preparing = submit(shared, 3), threading.Event()
    eventually(lambda: in_queue("batch") == 1)

    def prepare() -> int:
        assert preparing.wait(LIMIT)
        return 4

    late = [shared.submit(prepare) for _ in range(PREPARING + 2)]

    eventually(lambda: in_queue("prepare") == 2)
    assert 0 < measured("rawless_queue_oldest_seconds", encoder=REF, queue="prepare") < LIMIT
    assert 0 < measured("rawless_queue_oldest_seconds", encoder=REF, queue="batch") < LIMIT
    preparing.set()
    model.gate.set()
    wait([*running, *waiting, *late], LIMIT)
    assert (in_queue("prepare"), in_queue("batch")) == (0, 0)
    assert measured("rawless_queue_oldest_seconds", encoder=REF, queue="prepare") == 0


def test_a_quick_item_is_prepared_by_the_thread_that_submits_it(model: Model) -> None:
    shared, threads = batcher(model), []

    def prepare() -> int:
        threads.append(threading.get_ident())
        return 7

    outcomes = [shared.submit(prepare, is_quick=is_quick) for is_quick in (True, False)]

    assert [outcome.result(LIMIT) for outcome in outcomes] == [vector(7), vector(7)]
    assert threads[0] == threading.get_ident() != threads[1]


def test_an_item_that_is_interrupted_while_it_is_prepared_gives_its_place_to_others(model: Model) -> None:
    def interrupt() -> int:
        raise KeyboardInterrupt

    shared = batcher(model, capacity=1)
    with pytest.raises(KeyboardInterrupt):
        shared.submit(interrupt, is_quick=True)

    (next_one,) = submit(shared, 8)
    assert next_one.result(LIMIT) == vector(8)


def test_an_item_that_is_interrupted_after_it_joined_a_batch_gives_its_place_away_once(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Batcher[int]) -> bool:
        raise KeyboardInterrupt

    shared = batcher(model, capacity=1)
    with monkeypatch.context() as patched:
        patched.setattr(Batcher, "_surely_joins", interrupt)
        with pytest.raises(KeyboardInterrupt):
            shared.submit(lambda: 7, is_quick=True)
    (after,) = submit(shared, 8)
    assert after.result(LIMIT) == vector(8)

    model.started.clear()
    model.gate.clear()
    in_progress = submit(shared, 9)
    assert model.started.wait(LIMIT)
    thread = threading.Thread(target=lambda: in_progress.extend(submit(shared, 10)))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()  # since the only place is taken
    model.gate.set()
    thread.join(LIMIT)
    assert [number_of(each.result(LIMIT)) for each in in_progress] == [9, 10]


def test_an_item_for_which_no_thread_starts_does_not_harm_the_next_one(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    shared = batcher(model)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        (refused,) = submit(shared, 1)
    with pytest.raises(Unavailable, match="cannot start a thread"):
        refused.result(LIMIT)

    (next_one,) = submit(shared, 2)
    assert next_one.result(LIMIT) == vector(2)
    assert model.batches == [[2]]


def test_a_batch_is_measured_by_size_fill_padding_and_failures_before_its_callers_go_on() -> None:
    def run(batch: Sequence[int]) -> list[Outcome | Unavailable]:
        return [Unavailable("no") if number == 6 else vector(number) for number in batch]

    keep_for_runner()
    take()
    shared: Batcher[int] = Batcher(run, lambda number: number, Budget(40, 100, 1000, LIMIT))
    shared.measure("failing@1.0.0")
    wait(submit(shared, 6, 8, 10, 10), LIMIT)

    values = {each.name: each.amount for each in take() if each.encoder == "failing@1.0.0"}
    assert values.pop("prepare_milliseconds") < 1000 * LIMIT
    assert values.pop("encode_milliseconds") < 1000 * LIMIT
    assert values == {"batch_items": 4, "batch_fill_percent": 100, "batch_padding_percent": 15, "unavailable_items": 1}


def in_queue(queue: str) -> float:
    return measured("rawless_queue_items", encoder=REF, queue=queue)


def eventually(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < end


def test_a_submitted_item_cannot_be_cancelled_and_does_not_affect_others(model: Model) -> None:
    shared = batcher(model)
    model.gate.clear()
    first, second = submit(shared, 1, 2)
    assert not first.cancel()
    model.gate.set()
    assert number_of(second.result(LIMIT)) == 2


@pytest.mark.parametrize("broken", ["prepare", "cost", "take"])
def test_an_error_before_the_run_resolves_every_future_and_the_batcher_goes_on(
    broken: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise KeyError("the content of an item")

    shared = batcher(model, capacity=2)
    if broken != "prepare":
        monkeypatch.setattr(shared, f"_{broken}", fails)
    for _ in range(5):
        with pytest.raises(Unavailable, match="outside of its model") as caught:
            shared.submit(fails if broken == "prepare" else lambda: 1).result(LIMIT)
        assert caught.value.__context__ is None
    monkeypatch.undo()

    assert [number_of(each.result(LIMIT)) for each in submit(shared, 1, 2, 3)] == [1, 2, 3]


def test_callers_of_a_batcher_whose_model_hangs_get_an_error_instead_of_waiting_for_ever(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "CHECK_SECONDS", 0.01)
    shared = batcher(model, capacity=1)
    model.gate.clear()
    (hanging,) = submit(shared, 1)
    assert model.started.wait(LIMIT)
    shared.check_progress()
    assert not broken_process.is_broken()

    monkeypatch.setattr(batching, "STUCK_SECONDS", 0.0)
    with pytest.raises(Unavailable, match="a thread hangs"):
        submit(shared, 2)
    assert broken_process.is_broken()
    model.gate.set()
    assert number_of(hanging.result(LIMIT)) == 1
    shared.check_progress()  # nothing waits any more


def test_a_batcher_that_was_idle_for_long_is_not_stuck(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(batching.time, "monotonic", lambda: now)
    shared = batcher(model)
    now += 2 * batching.STUCK_SECONDS
    model.gate.clear()
    (waiting,) = submit(shared, 1)
    shared.check_progress()
    now += 2 * batching.STUCK_SECONDS
    with pytest.raises(Unavailable):
        shared.check_progress()
    model.gate.set()
    waiting.result(LIMIT)


@pytest.mark.parametrize("threads", ["_preparing", "_running"])
def test_items_that_arrive_while_their_process_ends_do_not_mean_that_it_is_broken(
    model: Model, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setattr(broken_process, "_is_broken", False)
    shared = batcher(model)
    getattr(shared, threads).shutdown()

    for outcome in submit(shared, 1, 2):
        with pytest.raises(Unavailable, match="cannot start a thread"):
            outcome.result(LIMIT)
    assert not broken_process.is_broken()
