"""Batches within a budget, and halving after a failure."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.batches import OutOfMemory, by_length, halving
from privacy import Unavailable

lengths = st.dictionaries(st.integers(0, 10_000), st.integers(1, 600), max_size=80)


@settings(max_examples=100, deadline=None)
@given(lengths=lengths, budget=st.integers(1, 2048))
def test_every_item_is_in_one_batch_and_padding_stays_within_the_budget(lengths: dict[int, int], budget: int) -> None:
    batches = list(by_length(lengths, budget))
    assert sorted(position for batch in batches for position in batch) == sorted(lengths)
    for batch in batches:
        assert len(batch) == 1 or max(lengths[each] for each in batch) * len(batch) <= budget


@settings(max_examples=50, deadline=None)
@given(lengths=lengths)
def test_shorter_items_come_before_longer_ones(lengths: dict[int, int]) -> None:
    in_order = [lengths[position] for batch in by_length(lengths, 512) for position in batch]
    assert in_order == sorted(in_order)


def test_batches_are_as_full_as_the_budget_allows() -> None:
    assert [len(batch) for batch in by_length(dict.fromkeys(range(10), 100), 400)] == [4, 4, 2]


def test_an_item_over_the_budget_goes_alone() -> None:
    assert list(by_length({0: 5, 1: 900, 2: 5}, 100)) == [[0, 2], [1]]


@settings(max_examples=100, deadline=None)
@given(size=st.integers(1, 64), bad=st.sets(st.integers(0, 63)))
def test_only_the_items_that_fail_alone_have_failed(size: int, bad: set[int]) -> None:
    def run(batch: list[int]) -> list[str]:
        if bad & set(batch):
            raise ValueError("one of these")
        return [f"done {position}" for position in batch]

    outcomes = halving(run, list(range(size)), lambda position: f"failed {position}")
    assert outcomes == [f"{'failed' if position in bad else 'done'} {position}" for position in range(size)]


@pytest.mark.parametrize("fits", [1, 2, 3, 8])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(fits: int) -> None:
    ran: list[int] = []

    def run(batch: list[int]) -> list[int]:
        if len(batch) > fits:
            raise OutOfMemory
        ran.append(len(batch))
        return batch

    assert halving(run, list(range(13)), lambda position: -1) == list(range(13))
    assert max(ran) <= fits


def test_a_single_item_that_does_not_fit_is_no_fault_of_the_item() -> None:
    def run(batch: list[int]) -> list[int]:
        raise OutOfMemory

    with pytest.raises(Unavailable, match="out of memory") as caught:
        halving(run, [0, 1, 2, 3], lambda position: -1)
    assert caught.value.__context__ is None


def test_what_an_item_raised_does_not_hang_on_a_later_error() -> None:
    def run(batch: list[int]) -> list[int]:
        if batch == [1]:
            raise OutOfMemory
        raise ValueError("the content of an item")

    with pytest.raises(Unavailable) as caught:
        halving(run, [0, 1], lambda position: -1)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
