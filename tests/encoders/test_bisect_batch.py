"""Bisecting a batch that failed."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.bisect_batch import OutOfMemory, bisect_batch, translate_memory_errors


def alone(out_of_memory: bool) -> str:
    return "out of memory" if out_of_memory else "failed"


@settings(max_examples=100, deadline=None)
@given(size=st.integers(1, 64), bad=st.sets(st.integers(0, 63)))
def test_only_the_items_that_fail_alone_have_failed(size: int, bad: set[int]) -> None:
    def run(batch: Sequence[int]) -> list[str]:
        if bad & set(batch):
            raise ValueError("one of these")
        return [f"done {position}" for position in batch]

    outcomes = bisect_batch(run, range(size), alone)
    assert outcomes == ["failed" if position in bad else f"done {position}" for position in range(size)]


@pytest.mark.parametrize("fits", [1, 2, 3, 8])
def test_a_batch_that_does_not_fit_into_memory_is_halved_until_it_does(fits: int) -> None:
    ran: list[int] = []

    def run(batch: Sequence[int]) -> list[str]:
        if len(batch) > fits:
            raise OutOfMemory
        ran.append(len(batch))
        return ["done"] * len(batch)

    assert bisect_batch(run, range(13), alone) == ["done"] * 13
    assert max(ran) <= fits


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 20), huge=st.sets(st.integers(0, 19)))
def test_out_of_memory_and_failure_of_a_single_item_are_distinguished(size: int, huge: set[int]) -> None:
    def run(batch: Sequence[int]) -> list[str]:
        if huge & set(batch):
            raise OutOfMemory
        if 3 in batch:
            raise ValueError("the content of an item")
        return ["done"] * len(batch)

    def expected(position: int) -> str:
        return "out of memory" if position in huge else "failed" if position == 3 else "done"

    assert bisect_batch(run, range(size), alone) == [expected(position) for position in range(size)]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:224: std::bad_alloc"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["python", "torch", "openvino", "cuda", "cublas"],
)
def test_every_out_of_memory_error_is_translated(error: Exception) -> None:
    with pytest.raises(OutOfMemory) as caught, translate_memory_errors():
        raise error
    assert caught.value.__cause__ is None


def test_another_runtime_error_is_not_translated() -> None:
    with pytest.raises(RuntimeError, match="shape"), translate_memory_errors():
        raise RuntimeError("shape mismatch")
