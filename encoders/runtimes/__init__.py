"""Runtimes that run a network: torch, which is the reference, or a faster one that produces the same vectors.

A runtime is not part of an encoder's identity: one that produces other vectors is not used.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from encoders.family import Inputs
from encoders.precision import MIN_COSINE, is_half
from encoders.spec import Vector

if TYPE_CHECKING:
    from encoders.runtimes.eager import Eager

_log = logging.getLogger(__name__)


class Runtime(Protocol):
    """Runs one network, one batch at a time."""

    name: str

    def __call__(self, *inputs: torch.Tensor) -> Vector:
        """Return vectors of shape (batch, dimension)."""
        ...


def pick_runtime(reference: "Eager", examples: Sequence[Inputs], tolerance: float) -> Runtime:
    """Return the fastest runtime for the reference's network and device that agrees with it on every example.

    `tolerance` is the largest difference of a component. docs/decisions/0011 describes how the runtimes were chosen.
    """
    if reference.device.type != "cpu" or is_half(reference.precision):
        return reference
    try:
        from encoders.runtimes.openvino import OpenVino

        candidate = OpenVino(reference.network, examples[0])
        lowest = MIN_COSINE[reference.precision]
        is_same = all(agree(candidate(*inputs), reference(*inputs), tolerance, lowest) for inputs in examples)
    except Exception as error:  # noqa: BLE001 - an unsupported operation raises many types
        _log.warning("OpenVINO cannot run this encoder (%s); torch runs it, slower.", type(error).__name__)
        return reference
    if not is_same:
        _log.warning("OpenVINO produces other vectors for this encoder; torch runs it, slower.")
        return reference
    return candidate


def agree(vectors: Vector, expected: Vector, tolerance: float, min_cosine: float = MIN_COSINE["fp32"]) -> bool:
    """Return whether each vector has the expected direction, and each component is within the tolerance."""
    if vectors.shape != expected.shape or not np.isfinite(vectors).all():
        return False
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (vectors * expected).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return bool(cosines.min() >= min_cosine and np.abs(vectors - expected).max() <= tolerance)
