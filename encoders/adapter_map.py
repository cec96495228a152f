"""`AdapterMap`: what an adapter does to vectors, and reading it from the files of an encoder.

The maps of all kinds have one form: `weight @ vector + bias`, to which a residual MLP adds `output_weight @
gelu(hidden_weight @ vector + hidden_bias)`. Diagonal scaling and low rank are multiplied out.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from safetensors.numpy import load_file, save_file

from encoders import weights
from encoders.adapter import Adapter, AdapterKind
from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError

_SHORTEST = np.float32(1e-12)
"""The length below which a vector is not scaled to length one, as in torch."""


@dataclass(frozen=True)
class Hidden:
    """The hidden layer of a residual MLP."""

    hidden_weight: Vector
    """Of shape (hidden, full_dimension)."""
    hidden_bias: Vector
    output_weight: Vector
    """Of shape (dimension, hidden)."""

    def __call__(self, vectors: Vector) -> Vector:
        """Return what the layer adds to vectors of shape (n, full_dimension)."""
        hidden: Vector = vectors @ self.hidden_weight.T
        hidden += self.hidden_bias
        added: Vector = _gelu(hidden) @ self.output_weight.T
        return added


@dataclass(frozen=True)
class AdapterMap:
    """A map from the vectors of one encoder into the space of another."""

    kind: AdapterKind
    weight: Vector
    """Of shape (dimension, full_dimension)."""
    bias: Vector
    """Of shape (dimension,)."""
    hidden: Hidden | None
    """Of a residual MLP only."""
    l2_normalise: bool
    """Whether mapped vectors are scaled to length one."""

    def apply(self, vectors: Vector) -> Vector:
        """Return the mapped vectors, of shape (n, dimension), of vectors of shape (n, full_dimension)."""
        mapped: Vector = vectors @ self.weight.T
        mapped += self.bias
        if self.hidden:
            mapped += self.hidden(vectors)
        if self.l2_normalise:
            mapped /= np.maximum(np.linalg.norm(mapped, axis=1, keepdims=True), _SHORTEST)
        return mapped

    def linear(self) -> tuple[Vector, Vector] | None:
        """Return weight and bias if the map is affine but for the length of its vectors; None for a residual MLP."""
        return None if self.hidden else (self.weight, self.bias)

    @cached_property
    def tensors(self) -> dict[str, Vector]:
        """The tensors of the file by their names."""
        own = {"weight": self.weight, "bias": self.bias}
        hidden = {each.name: getattr(self.hidden, each.name) for each in fields(Hidden)} if self.hidden else {}
        return {name: np.ascontiguousarray(tensor) for name, tensor in (own | hidden).items()}

    def save(self, path: Path) -> None:
        """Write the tensors to a safetensors file."""
        save_file(self.tensors, path)

    @classmethod
    def of(cls, adapter: Adapter, tensors: dict[str, Vector]) -> Self:
        """Return the map of an adapter with the tensors of its file, which have the shapes that it needs."""
        hidden = Hidden(**{each.name: tensors[each.name] for each in fields(Hidden)}) if _has_hidden(adapter) else None
        return cls(adapter.kind, tensors["weight"], tensors["bias"], hidden, adapter.l2_normalise)


def read_adapter(spec: EncoderSpec) -> AdapterMap:
    """Return the map of an encoder with an adapter.

    Raises UserError when its files are missing or changed, or do not contain the map that the spec describes.
    """
    if spec.adapter is None:
        raise UserError(f"{spec.ref} has no adapter: name an encoder that `rawless encoder adapt` made.")
    path = weights.find(spec) / spec.adapter.file
    try:
        tensors = {name: np.asarray(tensor, np.float32) for name, tensor in load_file(path).items()}
    except Exception as error:  # noqa: BLE001 - the library raises errors of its own
        raise UserError(f"{path} cannot be read as safetensors ({type(error).__name__}): restore the file.") from None
    _check(spec, spec.adapter, tensors, path)
    return AdapterMap.of(spec.adapter, tensors)


def _check(spec: EncoderSpec, adapter: Adapter, tensors: dict[str, Vector], path: Path) -> None:
    """Raise UserError unless the tensors have the names and shapes that the adapter needs, and are finite."""
    given, made = adapter.full_dimension, adapter.dimension
    expected: dict[str, tuple[int, ...]] = {"weight": (made, given), "bias": (made,)}
    if _has_hidden(adapter):
        size = next(iter(tensors["hidden_bias"].shape), 0) if "hidden_bias" in tensors else 0
        expected |= {"hidden_weight": (size, given), "hidden_bias": (size,), "output_weight": (made, size)}
    if (found := {name: tensor.shape for name, tensor in tensors.items()}) != expected:
        raise UserError(f"{path} has the tensors {found}, but the adapter of {spec.ref} needs {expected}: restore it.")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise UserError(f"{path} has numbers that are not finite, so {spec.ref} would map to nothing: restore it.")


def _gelu(values: Vector) -> Vector:
    """Return GELU in the form with tanh (Hendrycks and Gimpel, 2016), which is computed much faster than with erf."""
    inner = values * values
    inner *= np.float32(0.044715)
    inner += np.float32(1)
    inner *= values
    inner *= np.float32(np.sqrt(2 / np.pi))
    np.tanh(inner, out=inner)
    inner += np.float32(1)
    inner *= values
    inner *= np.float32(0.5)
    return inner


def _has_hidden(adapter: Adapter) -> bool:
    return adapter.kind == "residual_mlp"
