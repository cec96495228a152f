"""The steps of a defence that need the vector alone, as a part of the network: truncation, projections, clipping."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from encoders import gaussian, weights
from encoders.defence import Defence, Projection
from encoders.family import Model
from encoders.spec import EncoderSpec
from rawless.errors import UserError


class DefenceSteps(nn.Module):
    """Vectors of shape (batch, full_dimension) to vectors of shape (batch, dimension), computed in fp32."""

    def __init__(self, defence: Defence, learned: dict[str, torch.Tensor] | None = None) -> None:
        """`learned` are the tensors of the learned projection, if the defence has one."""
        super().__init__()
        self._projection: torch.Tensor | None
        self._weight: torch.Tensor | None
        self._bias: torch.Tensor | None
        self._kept = defence.truncate or defence.full_dimension
        self._clip = defence.clip
        projection = _random(defence.project, self._kept) if defence.project else None
        # Buffers, so that they move with the network; not modules, which would be cast to the network's precision.
        self.register_buffer("_projection", projection)
        self.register_buffer("_weight", learned["weight"] if learned else None)
        self.register_buffer("_bias", learned["bias"] if learned else None)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the defended vectors."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float()[:, : self._kept]
            if self._projection is not None:
                vectors = vectors @ self._projection
            if self._weight is not None and self._bias is not None:
                vectors = vectors @ self._weight.T + self._bias
            if self._clip is not None:
                vectors = vectors * (self._clip / vectors.norm(dim=1, keepdim=True).clamp(min=self._clip))
            return vectors


class _DefendedNetwork(nn.Module):
    def __init__(self, network: nn.Module, steps: DefenceSteps) -> None:
        super().__init__()
        self._network = network
        self._steps = steps

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self._steps(self._network(*inputs))
        return vectors


def defend(model: Model[object], spec: EncoderSpec) -> None:
    """Let the network of a model, which was loaded without the defence of its spec, have it. Raises UserError."""
    if not isinstance(spec.defence, Defence):
        return
    learned = None
    if spec.defence.learned:
        learned = _read(spec.ref, spec.defence, weights.find(spec) / spec.defence.learned.file)
    steps = DefenceSteps(spec.defence, learned)
    model.extend_network(lambda network: _DefendedNetwork(network, steps).eval())


def _read(ref: str, defence: Defence, path: Path) -> dict[str, torch.Tensor]:
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except Exception as error:  # noqa: BLE001 - the library raises errors of its own
        raise UserError(f"{path} cannot be read as safetensors ({type(error).__name__}): restore the file.") from None
    given = defence.project.dimension if defence.project else defence.truncate or defence.full_dimension
    expected = {"weight": (defence.dimension, given), "bias": (defence.dimension,)}
    if (found := {name: tuple(tensor.shape) for name, tensor in tensors.items()}) != expected:
        raise UserError(f"{path} has the tensors {found}, but the defence of {ref} needs {expected}: correct the spec.")
    return tensors


def _random(projection: Projection, rows: int) -> torch.Tensor:
    """Return the matrix of a random projection, of shape (rows, dimension)."""
    secret = hashlib.sha256(f"rawless projection {projection.seed}".encode()).digest()
    numbers = gaussian.integers(secret, rows * projection.dimension).reshape(rows, projection.dimension)
    return torch.from_numpy((numbers / (gaussian.STEPS * np.sqrt(projection.dimension))).astype(np.float32))
