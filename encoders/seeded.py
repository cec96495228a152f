"""Weights drawn from a seed, the same on every machine, for trying things without a download.

Uniform numbers from PCG64 and one multiplication each: no step whose rounding a processor or library could change.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoders.spec import EncoderSpec
from encoders.weight_sources import WeightSource
from rawless.errors import UserError

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]


class Seeded(WeightSource):
    """`seed:NUMBER`, weights drawn from a seed; they have a digest, but no file.

    `empty_state` returns the tensors of a spec's network by name: shapes and types of weights, on the device meta, and
    tables, which are kept as they are.
    """

    def __init__(self, empty_state: Callable[[Any], "Mapping[str, torch.Tensor]"]) -> None:
        self._empty_state = empty_state

    def folder(self, spec: EncoderSpec) -> None:
        """See `WeightSource.folder`."""

    def caches(self, spec: EncoderSpec) -> Iterator[Path]:
        """See `WeightSource.caches`: none."""
        return iter(())

    def how_to_provide(self, spec: EncoderSpec) -> str:
        """See `WeightSource.how_to_provide`."""
        return "They are drawn from a seed and have no files."

    def draw(self, spec: EncoderSpec) -> State:
        """Return the weights: uniform He initialisation, and batch normalisation that changes nothing.

        He et al., Delving Deep into Rectifiers (2015). Raises UserError when the drawn weights do not have the digest
        of the spec.
        """
        state = self._draw(spec)
        (expected,) = spec.weights.files.values()
        if expected is not None and _digest(state) != expected:
            raise UserError(
                f"The weights drawn for {spec.ref} do not have the digest that it names: install the versions of "
                "requirements.lock."
            )
        return state

    def digests(self, spec: EncoderSpec) -> dict[str, str]:
        """Return the sha256 of the drawn weights by the name of their file."""
        (name,) = spec.weights.files
        return {name: _digest(self._draw(spec))}

    def _draw(self, spec: EncoderSpec) -> State:
        numbers = np.random.Generator(np.random.PCG64(int(spec.weights.location)))
        return {name: _tensor(name, empty, numbers) for name, empty in sorted(self._empty_state(spec).items())}


def _tensor(name: str, empty: "torch.Tensor", numbers: np.random.Generator) -> "torch.Tensor":
    import torch

    if not empty.is_meta:
        return empty
    if empty.dim() < 2:  # batch normalisation, and the bias of the last layer
        ones = name.endswith(("running_var", "weight"))
        return (torch.ones if ones else torch.zeros)(empty.shape, dtype=empty.dtype)
    bound = math.sqrt(6 / math.prod(empty.shape[1:]))
    drawn = numbers.random(tuple(empty.shape), dtype=np.float32)
    return torch.from_numpy((drawn * np.float32(2) - np.float32(1)) * np.float32(bound))


def _digest(state: State) -> str:
    from safetensors.torch import save

    return hashlib.sha256(save(state)).hexdigest()
