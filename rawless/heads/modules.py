"""The base classes of the torch modules that heads are, and the layers that several kinds share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rawless.heads.features import HeadFeature
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
    feature_count = 0
    """The number of columns of the input `features`, if it has that input."""

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


class FeatureColumns(nn.Module):
    """Turns features into columns for a layer: standardised numbers, one-hot classes, and whether each is missing.

    A missing number is its mean, a missing class has no column that is 1.
    """

    numbers: Tensor
    """The positions of the numbers among the features."""
    classes: Tensor
    """The position of the feature of each one-hot column."""
    indices: Tensor
    """The index of the class of each one-hot column, as the input has it."""

    def __init__(self, features: Sequence[HeadFeature]) -> None:
        super().__init__()
        numbers = [position for position, feature in enumerate(features) if feature.type == "number"]
        classes = [(position, index) for position, each in enumerate(features) for index in range(len(each.classes))]
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.int64))
        self.register_buffer("classes", torch.tensor([position for position, _ in classes], dtype=torch.int64))
        self.register_buffer("indices", torch.tensor([index for _, index in classes], dtype=torch.float32))
        self.scale = Scale(len(numbers))
        self.width = len(numbers) + len(classes) + len(features)

    def fit(self, features: Tensor) -> None:
        """Take mean and standard deviation of the present numbers; one without a deviation is only centred."""
        numbers = features[:, self.numbers].double()
        mean = numbers.nanmean(0).nan_to_num()
        deviation = (numbers - mean).square().nanmean(0).nan_to_num().sqrt()
        self.scale.mean.copy_(mean)
        self.scale.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        """Take float32 features of shape (rows, features) and return columns of shape (rows, width)."""
        numbers = features[:, self.numbers]
        present = torch.where(numbers.isnan(), self.scale.mean, numbers)
        classes = (features[:, self.classes] == self.indices).float()
        return torch.cat((self.scale(present), classes, features.isnan().float()), dim=1)


def layers(widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Return linear layers of these widths with ReLU and dropout between them."""
    parts: list[nn.Module] = []
    for position, (before, after) in enumerate(pairwise(widths)):
        if position:
            parts += [nn.ReLU(), nn.Dropout(dropout)]
        parts.append(nn.Linear(before, after))
    return nn.Sequential(*parts)
