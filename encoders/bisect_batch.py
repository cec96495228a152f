"""Bisecting a batch that failed, so that a bad item fails alone and a batch that is too large for memory shrinks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from rawless.errors import Unavailable

P = TypeVar("P")
T = TypeVar("T")
_MEMORY_MESSAGES = ("allocate memory", "bad_alloc", "out of memory", "ALLOC_FAILED", "unable to find an engine")
"""Parts of the messages of torch, OpenVINO and CUDA's libraries when memory is exhausted."""


class OutOfMemory(Exception):
    """A batch did not fit into memory. The exception has no message and no cause."""


@contextmanager
def translate_memory_errors() -> Iterator[None]:
    """Raise OutOfMemory for every exception that means that memory of the machine or the device is exhausted."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise OutOfMemory from None
    except RuntimeError as error:
        if any(message in str(error) for message in _MEMORY_MESSAGES):
            raise OutOfMemory from None
        raise


def bisect_batch(run: Callable[[Sequence[P]], list[T]], batch: Sequence[P], failed: Callable[[bool], T]) -> list[T]:
    """Run a batch, and its halves when it fails; return one outcome for each item, in order.

    `run` raises OutOfMemory when a batch does not fit, Unavailable when no item can be run, and anything else when an
    item of it fails. An item that fails alone gets `failed(out_of_memory)`.
    """
    try:
        return run(batch)
    except Unavailable:
        raise
    except OutOfMemory:
        out_of_memory = True
    except Exception:  # noqa: BLE001 - an exception of a library may contain content, so it must not propagate
        out_of_memory = False
    if len(batch) == 1:
        return [failed(out_of_memory)]
    middle = len(batch) // 2
    return bisect_batch(run, batch[:middle], failed) + bisect_batch(run, batch[middle:], failed)
