"""The torch `Dataset` of a snapshot's vectors and labels."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from rawless.heads.features import HeadFeature


class Vectors(Dataset[tuple[Any, torch.Tensor]]):
    """Items of (vector, label), ((vector, features), label), or ((left, right), label) for pairs, all in memory.

    `sides` are one float32 tensor of shape (rows, dimension), or two for pairs. The second one is of shape
    (rows, features) if there are `features`, which describe its columns. `labels` has the shape (rows,): int64
    indices into `classes`, or float32 numbers. `ids` are the event ids of the rows, or tuples of two.
    """

    def __init__(
        self,
        sides: tuple[torch.Tensor, ...],
        labels: torch.Tensor,
        classes: tuple[str, ...],
        ids: Sequence[Any],
        features: Sequence[HeadFeature] = (),
    ) -> None:
        self.sides, self.labels, self.classes, self.ids, self.features = sides, labels, classes, ids, features

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, torch.Tensor]:
        vectors = tuple(side[index] for side in self.sides)
        return (vectors if len(vectors) > 1 else vectors[0]), self.labels[index]
