"""Feed-forward heads over the vector of one event: a classifier or a regression, linear or with hidden layers."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads.baselines import nearest_centroid
from rawless.heads.examples import Task
from rawless.heads.features import HeadFeature
from rawless.heads.head_kind import HeadKind
from rawless.heads.metrics import Array
from rawless.heads.modules import FeatureColumns, Head, Scale, layers
from rawless.heads.onnx_graph import GraphBuilder
from rawless.heads.signature import PROBABILITIES, VALUE, Interface
from rawless.heads.spec import DomainSpec, HeadSpec, OptionalDomain

FeedForwardSpecT = TypeVar("FeedForwardSpecT", bound="FeedForwardSpec")


class FeedForward(Head):
    """Linear layers over a scaled vector, and over features if there are some; without hidden widths a linear model."""

    def __init__(
        self,
        dimension: int,
        hidden: Sequence[int],
        outputs: int,
        dropout: float,
        features: Sequence[HeadFeature] = (),
    ) -> None:
        super().__init__()
        self.interface = Interface.ITEM_WITH_FEATURES if features else Interface.ITEM
        self.feature_count = len(features)
        self.scale = Scale(dimension)
        self.columns = FeatureColumns(features) if features else None
        width = self.columns.width if self.columns else 0
        self.layers = layers((dimension + width, *hidden, outputs), dropout)

    def fit_scales(self, vectors: Tensor, features: Tensor | None = None) -> None:
        """Fit the scaling of vectors and features to rows."""
        self.scale.fit(vectors)
        if self.columns is not None and features is not None:
            self.columns.fit(features)

    def logits(self, vectors: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the output of the last layer, of shape (rows, outputs)."""
        inputs = self.scale(vectors)
        if self.columns is not None:
            inputs = torch.cat((inputs, self.columns(features)), dim=1)
        outputs: Tensor = self.layers(inputs)
        return outputs

    def add_nodes(self, graph: GraphBuilder) -> None:
        """Add scaling, the columns of features, and layers."""
        graph.scale(self.scale)
        if self.columns is not None:
            vectors = graph.last
            graph.feature_columns(self.columns)
            graph.add("Concat", vectors, graph.last, axis=1)
        graph.layers(self.layers)


class Classifier(FeedForward):
    """Returns probabilities of shape (rows, classes)."""

    output = PROBABILITIES

    def __init__(
        self,
        dimension: int,
        hidden: Sequence[int],
        classes: int,
        dropout: float,
        features: Sequence[HeadFeature] = (),
    ) -> None:
        super().__init__(dimension, hidden, classes, dropout, features)
        self.output_size = classes

    @property
    def output_shape(self) -> tuple[int, ...]:
        """One probability for each class."""
        return (self.output_size,)

    def loss(self, labels: Tensor, *inputs: Tensor) -> Tensor:
        """Return the cross entropy; `labels` are int64 indices of classes."""
        return functional.cross_entropy(self.logits(*inputs), labels)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Take float32 vectors of shape (rows, dimension), and the features if there are some."""
        return torch.softmax(self.logits(*inputs), dim=1)

    def add_nodes(self, graph: GraphBuilder) -> None:
        """Add the layers and the softmax."""
        super().add_nodes(graph)
        graph.add("Softmax", output=self.output, axis=1)


class Regression(FeedForward):
    """Returns a number for each row, shape (rows,); labels are scaled inside."""

    output = VALUE

    def __init__(
        self, dimension: int, hidden: Sequence[int], dropout: float, features: Sequence[HeadFeature] = ()
    ) -> None:
        super().__init__(dimension, hidden, 1, dropout, features)
        self.unit = Scale(1)

    def loss(self, labels: Tensor, *inputs: Tensor) -> Tensor:
        """Return the mean squared error in standard deviations of the labels; `labels` are float32."""
        return functional.mse_loss(self.logits(*inputs), self.unit(labels.unsqueeze(1)))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Take float32 vectors of shape (rows, dimension), and the features if there are some."""
        values = self.logits(*inputs) * self.unit.deviation + self.unit.mean
        return values.squeeze(1)

    def add_nodes(self, graph: GraphBuilder) -> None:
        """Add the layers, and scale their output back."""
        super().add_nodes(graph)
        graph.add("Mul", graph.last, graph.constant(self.unit.deviation))
        graph.add("Add", graph.last, graph.constant(self.unit.mean))
        graph.squeeze(1, output=self.output)


class FeedForwardSpec(HeadSpec):
    """A feed-forward head to train."""

    domain: OptionalDomain = DomainSpec()


class FeedForwardKind(HeadKind[FeedForwardSpecT]):
    """A kind of feed-forward head: a classifier, or a regression where the label is a number."""

    interface = Interface.ITEM

    @abstractmethod
    def hidden(self, spec: FeedForwardSpecT) -> tuple[int, ...]:
        """Return the widths of the hidden layers."""

    def check(self, spec: FeedForwardSpecT, manifest: Manifest) -> None:
        """Check, too, that a domain is given for classes only. Raises UserError."""
        super().check(spec, manifest)
        if manifest.is_number and spec.domain and "domain" in spec.model_fields_set:
            raise UserError(
                f"domain is given, but the labels of {manifest.snapshot_id} are numbers, and only a head that predicts "
                "classes has a domain: remove it."
            )

    def domain(self, spec: FeedForwardSpecT, manifest: Manifest) -> DomainSpec | None:
        """Return the spec's domain for classes, and None for numbers."""
        return None if manifest.is_number else spec.domain

    def build(self, spec: FeedForwardSpecT, task: Task) -> Head:
        """Return a regression for numbers, else a classifier."""
        train = task.splits["train"].rows
        if task.manifest.is_number:
            regression = Regression(task.dimension, self.hidden(spec), spec.dropout, task.features)
            regression.fit_scales(*train.inputs)
            regression.unit.fit(train.labels.unsqueeze(1))
            return regression
        classifier = Classifier(task.dimension, self.hidden(spec), len(task.classes), spec.dropout, task.features)
        classifier.fit_scales(*train.inputs)
        return classifier

    def baselines(self, task: Task) -> Iterator[tuple[str, Array]]:
        """Yield the mean of the labels for numbers; for classes their shares in train, and the nearest centroid."""
        train, test = task.splits["train"].rows, task.splits["test"].rows
        if task.manifest.is_number:
            yield "mean", np.full(len(test), float(train.labels.mean()), np.float32)
            return
        count = len(task.classes)
        shares = np.bincount(train.labels.numpy(), minlength=count) / len(train)
        yield "majority", np.tile(shares, (len(test), 1))
        yield "nearest_centroid", nearest_centroid(train, test, count)
