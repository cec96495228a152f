"""Batches of similar length under a budget, and the halving that keeps one bad item from its neighbours."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch

from privacy import Unavailable

T = TypeVar("T")


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
        if "allocate memory" in str(error):  # how torch says it on a CPU
            raise OutOfMemory from None
        raise


def by_length(lengths: Mapping[int, int], budget: int) -> Iterator[list[int]]:
    """Positions in batches, shortest items first, so that little is padded.

    A batch's padded size, its longest length times its count, stays within `budget`; an item longer than the
    budget goes alone.
    """
    batch: list[int] = []
    for position in sorted(lengths, key=lengths.__getitem__):
        if batch and lengths[position] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def halving(run: Callable[[list[int]], list[T]], batch: list[int], failed: Callable[[int], T]) -> list[T]:
    """Run a batch; when it fails, run its halves. An item that fails alone gets `failed(position)`.

    `run` raises OutOfMemory when a batch does not fit and anything else for a fault of its items. Raises
    Unavailable when a single item does not fit into memory: that is the machine's fault, not the item's.
    """
    try:
        return run(batch)
    except OutOfMemory:
        out_of_memory = True
    except Exception:  # noqa: BLE001 - an exception of a library may hold content and goes no further
        out_of_memory = False
    if len(batch) > 1:
        middle = len(batch) // 2
        return halving(run, batch[:middle], failed) + halving(run, batch[middle:], failed)
    if out_of_memory:
        raise Unavailable("The encoder ran out of memory with a single item; give the worker more memory.")
    return [failed(batch[0])]
