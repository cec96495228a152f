"""The halving that keeps one bad item from its neighbours, and a batch that does not fit into memory from failing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

P = TypeVar("P")
T = TypeVar("T")
_TOLD = ("allocate memory", "bad_alloc", "out of memory", "ALLOC_FAILED", "unable to find an engine")
"""How torch, OpenVINO and CUDA's libraries say that memory has ended."""


class OutOfMemory(Exception):
    """A batch did not fit. Carries nothing."""


@contextmanager
def memory_told() -> Iterator[None]:
    """Whatever way memory ends in, on a device or here, comes out as OutOfMemory."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise OutOfMemory from None
    except RuntimeError as error:
        if any(each in str(error) for each in _TOLD):
            raise OutOfMemory from None
        raise


def halving(run: Callable[[Sequence[P]], list[T]], batch: Sequence[P], failed: Callable[[bool], T]) -> list[T]:
    """Run a batch; when it fails, run its halves. An item that fails alone gets `failed(out_of_memory)`.

    `run` raises OutOfMemory when a batch does not fit and anything else for a fault of its items.
    """
    try:
        return run(batch)
    except OutOfMemory:
        out_of_memory = True
    except Exception:  # noqa: BLE001 - an exception of a library may hold content and goes no further
        out_of_memory = False
    if len(batch) == 1:
        return [failed(out_of_memory)]
    middle = len(batch) // 2
    return halving(run, batch[:middle], failed) + halving(run, batch[middle:], failed)
