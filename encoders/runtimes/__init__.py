"""Runtimes that run a network: torch, which is the reference, or a faster one that produces the same vectors.

A runtime is not part of an encoder's identity: one that produces other vectors is not used.
"""

import copy
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from encoders.family import Inputs
from encoders.precision import MIN_COSINE, is_half
from encoders.runtimes.arithmetic import cast_weights
from encoders.spec import Vector
from rawless.errors import UserError

if TYPE_CHECKING:
    import openvino

    from encoders.runtimes.conversion_cache import Conversion
    from encoders.runtimes.eager import Eager

_log = logging.getLogger(__name__)
PARITY_BATCHES = (1, 8, 64)
"""Sizes of the batches in which a GPU must produce the vectors of the CPU: other sizes choose other kernels."""


class Runtime(Protocol):
    """Runs one network, one batch at a time."""

    name: str

    def __call__(self, *inputs: torch.Tensor) -> Vector:
        """Return vectors of shape (batch, dimension)."""
        ...


def pick_runtime(
    reference: "Eager", examples: Sequence[Inputs], tolerance: float, conversion: "Conversion | None" = None
) -> Runtime:
    """Return the fastest runtime for the reference's network and device that agrees with it on every example.

    `tolerance` is the largest difference of a component; `conversion` is where a converted network is kept.
    docs/decisions/0011 describes how the runtimes were chosen.
    Raises UserError if the vectors on a GPU differ from those on the CPU.
    """
    if reference.device.type == "cuda":
        return _on_cuda(reference, examples, tolerance)
    if is_half(reference.precision):
        cast_weights(reference.network, reference.precision)
        return reference
    try:
        candidate = _on_openvino(reference, examples, tolerance, conversion)
    except Exception as error:  # noqa: BLE001 - an unsupported operation raises many types
        _log.warning("OpenVINO cannot run this encoder (%s); torch runs it, slower.", type(error).__name__)
        return reference
    if candidate is None:
        _log.warning("OpenVINO produces other vectors for this encoder; torch runs it, slower.")
        return reference
    return candidate


def _on_openvino(
    reference: "Eager", examples: Sequence[Inputs], tolerance: float, conversion: "Conversion | None"
) -> Runtime | None:
    """Return OpenVINO with the reference's network, None if it does not agree with it on every example."""
    from encoders.runtimes.openvino import OpenVino, convert

    def runtime(model: "openvino.Model") -> OpenVino | None:
        candidate, lowest = OpenVino(model), MIN_COSINE[reference.precision]
        is_same = all(agree(candidate(*inputs), reference(*inputs), tolerance, lowest) for inputs in examples)
        return candidate if is_same else None

    model = convert(reference.network, examples[0])
    if conversion is None:
        return runtime(model)
    with conversion.draft(model) as draft:
        if candidate := runtime(draft.model):
            draft.keep()
        return candidate


def _on_cuda(reference: "Eager", examples: Sequence[Inputs], tolerance: float) -> Runtime:
    from encoders.runtimes.cuda import Cuda
    from encoders.runtimes.eager import Eager

    precision = reference.precision
    # The copy of a traced module is in training mode, whatever the module is in.
    on_cpu = Eager(copy.deepcopy(reference.network).eval(), torch.device("cpu"), precision)
    runtime = Cuda(reference.network, reference.device, precision, examples)
    check_parity(runtime, on_cpu, examples, tolerance, MIN_COSINE[precision])
    return runtime


def check_parity(
    runtime: "Runtime", reference: "Runtime", examples: Sequence[Inputs], tolerance: float, min_cosine: float
) -> None:
    """Raise UserError unless the runtime agrees with the reference in batches of each of PARITY_BATCHES.

    The reference computes the examples once; batches repeat their items.
    """
    for inputs in examples:
        expected = reference(*inputs)
        for size in PARITY_BATCHES:
            rows = [row % len(expected) for row in range(size)]
            if not agree(runtime(*(tensor[rows] for tensor in inputs)), expected[rows], tolerance, min_cosine):
                raise UserError(
                    f"In batches of {size} the encoder produces other vectors here than the reference on a CPU, by "
                    "more than its tolerance: use --device cpu, or install the versions of requirements.lock."
                )


def agree(vectors: Vector, expected: Vector, tolerance: float, min_cosine: float = MIN_COSINE["fp32"]) -> bool:
    """Return whether each vector has the expected direction, and each component is within the tolerance."""
    if vectors.shape != expected.shape or not np.isfinite(vectors).all():
        return False
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (vectors * expected).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return bool(cosines.min() >= min_cosine and np.abs(vectors - expected).max() <= tolerance)
