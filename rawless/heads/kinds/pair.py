"""Pair heads: a multilayer perceptron over two concatenated vectors, which scores whether they match."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rawless.heads.baselines import cosine_matches
from rawless.heads.examples import Task
from rawless.heads.head_kind import MatchKind, MatchSpec
from rawless.heads.metrics import Array
from rawless.heads.modules import Head, Scale, layers
from rawless.heads.onnx_graph import GraphBuilder
from rawless.heads.signature import SCORE, Interface
from rawless.heads.spec import Widths


class PairSpec(MatchSpec):
    """A pair head to train."""

    hidden: Widths = (256, 128, 64)
    """Widths of the hidden layers."""


class Pair(Head):
    """Returns the probability that two vectors match, shape (rows,)."""

    interface = Interface.PAIR
    output = SCORE

    def __init__(self, dimension: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.scale = Scale(2 * dimension)
        self.layers = layers((2 * dimension, *hidden, 1), dropout)

    def logits(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the log-odds of a match, of shape (rows,)."""
        outputs: Tensor = self.layers(self.scale(torch.cat((left, right), dim=1))).squeeze(1)
        return outputs

    def loss(self, labels: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Return the binary cross entropy; `labels` are 1 for a match, else 0."""
        return functional.binary_cross_entropy_with_logits(self.logits(left, right), labels.float())

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Take float32 vectors, both of shape (rows, dimension)."""
        return torch.sigmoid(self.logits(left, right))

    def add_nodes(self, graph: GraphBuilder) -> None:
        """Add concatenation, layers and sigmoid."""
        graph.add("Concat", *self.interface.value, axis=1)
        graph.scale(self.scale)
        graph.layers(self.layers)
        graph.add("Sigmoid")
        graph.squeeze(1, output=self.output)


class PairKind(MatchKind[PairSpec]):
    """Scores pairs."""

    spec_type = PairSpec
    interface = Interface.PAIR

    def build(self, spec: PairSpec, task: Task) -> Head:
        """Return a head that is scaled to the concatenated vectors of the train split."""
        head = Pair(task.dimension, spec.hidden, spec.dropout)
        head.scale.fit(torch.cat(task.splits["train"].rows.inputs, dim=1))
        return head

    def baselines(self, task: Task) -> Iterator[tuple[str, Array]]:
        """Yield the share of matches in train, and the cosine of the two vectors, cut where it is best on train."""
        train, test = task.splits["train"].rows, task.splits["test"].rows
        shares = np.bincount(train.labels.numpy(), minlength=2) / len(train)
        yield "majority", np.full(len(test), shares[1])
        yield "cosine", cosine_matches(train, test)


KIND = PairKind()
