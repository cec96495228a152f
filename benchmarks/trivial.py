"""An encoder that computes nothing, so that the cost of the pipeline remains."""

from collections.abc import Sequence

import torch

from encoders.batch_encoder import BatchEncoder
from encoders.batcher import Budget
from encoders.catalogue import lookup
from encoders.family import Inputs, Model
from rawless.content import ImageLimits

REF = "minilm@1.0.0"
"""The encoder whose name and dimension it has."""


class _Constant(Model[int]):
    """Returns the same vector for every content."""

    def __init__(self, dimension: int) -> None:
        self.load_network, self.budget = torch.nn.Identity, Budget(64, 1, 1_024, 0.005)
        self._vector = torch.full((dimension,), 0.5)

    def prepare(self, content: bytes, limits: ImageLimits) -> int:
        """See `Model.prepare`."""
        return len(content)

    def cost(self, prepared: int) -> int:
        """See `Model.cost`."""
        return 1

    def inputs(self, batch: Sequence[int]) -> Inputs:
        """Return the vectors themselves, which the identity network passes on."""
        return (self._vector.expand(len(batch), -1),)

    def examples(self) -> list[Inputs]:
        """See `Model.examples`."""
        return []


class Trivial(BatchEncoder[int]):
    """The encoder of that model."""

    def __init__(self) -> None:
        spec = lookup(REF)
        super().__init__(spec, _Constant(spec.dimension), torch.device("cpu"))
