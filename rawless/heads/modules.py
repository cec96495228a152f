"""The base classes of the torch modules that heads are, and the layers that several kinds share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rawless.heads.signature import Interface

if TYPE_CHECKING:
    from rawless.heads.onnx_graph import GraphBuilder


class Exportable(nn.Module, ABC):
    """Base class of torch modules that are exported as a graph.

    `forward` takes the inputs of the interface and returns what the exported graph returns.
    """

    interface: Interface
    output: str
    """The name of the output."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the output for one row."""
        return ()

    @abstractmethod
    def add_nodes(self, graph: "GraphBuilder") -> None:
        """Add the ONNX nodes that compute `forward`; the last one writes to `output`."""


class Head(Exportable):
    """Base class of heads: a small torch module that standardises its own input, if it needs that."""

    loss: Callable[..., Tensor]
    """Takes the labels and the inputs of a batch, as `Rows` has them; returns the scalar that training minimises."""


class Scale(nn.Module):
    """Standardises features to mean 0 and standard deviation 1 over the rows that it was fitted to."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("deviation", torch.ones(dimension))

    def fit(self, vectors: Tensor) -> None:
        """Take mean and standard deviation of vectors, float32 of shape (rows, dimension)."""
        self.mean.copy_(vectors.mean(0))
        self.deviation.copy_(vectors.std(0, correction=0).clamp_min(1e-6))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return vectors of shape (rows, dimension), standardised."""
        return (vectors - self.mean) / self.deviation


def layers(widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Return linear layers of these widths with ReLU and dropout between them."""
    parts: list[nn.Module] = []
    for position, (before, after) in enumerate(pairwise(widths)):
        if position:
            parts += [nn.ReLU(), nn.Dropout(dropout)]
        parts.append(nn.Linear(before, after))
    return nn.Sequential(*parts)
