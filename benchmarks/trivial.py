"""An encoder of next to no cost, so that what is left is the pipeline's own."""

from collections.abc import Sequence

import torch

from encoders.batch_encoder import BatchEncoder
from encoders.batcher import Budget
from encoders.catalogue import lookup
from encoders.runtimes import Inputs
from encoders.runtimes.eager import Eager
from rawless.content import ImageLimits

REF = "minilm@1.0.0"
"""Whose name and dimension it has."""


class Trivial(BatchEncoder[int]):
    """One vector for everything."""

    def __init__(self) -> None:
        spec = lookup(REF)
        super().__init__(spec, Eager(torch.nn.Identity(), torch.device("cpu")), Budget(64, 1, 1_024, 0.005))
        self._vector = torch.full((spec.dimension,), 0.5)

    def _prepare(self, content: bytes, limits: ImageLimits) -> int:
        return len(content)

    def _cost(self, prepared: int) -> int:
        return 1

    def inputs(self, batch: Sequence[int]) -> Inputs:
        """The vectors themselves, which the network hands on."""
        return (self._vector.expand(len(batch), -1),)

    def _examples(self) -> list[Inputs]:
        return []
