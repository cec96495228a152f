"""What runs a network: torch as it is, the reference, or something faster that gives the same vectors.

A runtime is no part of an encoder's identity: one whose vectors differ is not used.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from encoders.spec import Vector

if TYPE_CHECKING:
    from encoders.runtimes.eager import Eager

_log = logging.getLogger(__name__)
MIN_COSINE = 0.99999
"""Between the vectors of a runtime and those of the reference."""

Inputs = tuple[torch.Tensor, ...]
"""A batch as a network takes it: each of shape (batch, ...), in the CPU's memory."""


class Runtime(Protocol):
    """Runs one network, a batch at a time."""

    name: str

    def __call__(self, *inputs: torch.Tensor) -> Vector:
        """Vectors of shape (batch, dimension)."""
        ...


def faster(reference: "Eager", examples: Sequence[Inputs], tolerance: float) -> Runtime:
    """The fastest runtime for the reference's network and device that agrees with it on every example.

    `tolerance` is the largest difference of a component. docs/decisions/0011 says how the runtimes were chosen.
    """
    if reference.device.type != "cpu":
        return reference
    from encoders.runtimes.openvino import OpenVino

    try:
        candidate = OpenVino(reference.network, examples[0])
        same = all(agree(candidate(*each), reference(*each), tolerance) for each in examples)
    except Exception as error:  # noqa: BLE001 - what a network holds that a runtime has not, it says in many ways
        _log.warning("OpenVINO cannot run this encoder (%s): torch does, slower.", type(error).__name__)
        return reference
    if not same:
        _log.warning("OpenVINO gives other vectors for this encoder: torch runs it, slower.")
        return reference
    return candidate


def agree(vectors: Vector, expected: Vector, tolerance: float) -> bool:
    """Whether each vector has the expected direction, and each of its components is within the tolerance."""
    if vectors.shape != expected.shape or not np.isfinite(vectors).all():
        return False
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (vectors * expected).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return bool(cosines.min() >= MIN_COSINE and np.abs(vectors - expected).max() <= tolerance)
