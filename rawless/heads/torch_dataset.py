"""A snapshot's vectors and labels as a torch `Dataset`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset


class Vectors(Dataset[tuple[Any, torch.Tensor]]):
    """Pairs of (vector, label), or ((left, right), label), all in memory.

    `sides` are float32 tensors of shape (rows, dimension), two for pairs; `labels` is int64 of shape (rows,), places in
    `classes`, or float32 for a number; `ids` are the rows' event ids, or pairs of them.
    """

    def __init__(
        self, sides: tuple[torch.Tensor, ...], labels: torch.Tensor, classes: tuple[str, ...], ids: Sequence[Any]
    ) -> None:
        self.sides, self.labels, self.classes, self.ids = sides, labels, classes, ids

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, torch.Tensor]:
        vectors = tuple(side[index] for side in self.sides)
        return (vectors if len(vectors) > 1 else vectors[0]), self.labels[index]
