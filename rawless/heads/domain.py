"""The domain of a classifier: which vectors are like those that it was trained on, and which it should not answer.

The distance of a vector is the relative Mahalanobis distance: that to the nearest class, less that to all rows. Ren et
al., 'A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection' (2021), arXiv 2106.09022. The threshold is
a quantile of the distances of validation, as in split conformal prediction.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rawless.heads.examples import Examples, Task
from rawless.heads.fit import one_thread, predict
from rawless.heads.metrics import Array
from rawless.heads.modules import Exportable, Scale
from rawless.heads.onnx_graph import GraphBuilder
from rawless.heads.signature import DISTANCE, Interface

RIDGE = 0.1
"""The share of the mean variance that is added to each variance, so that a covariance of few rows can be inverted."""
MIN_PERSONS = 5
"""Persons of a class in train, below which its mean is not stored: it would be nearly the vector of one of them."""
MAX_DIMENSION = 2048
"""Of vectors, since a domain has a number for each two of their values."""
_SMALLEST_VARIANCE = 1e-6


class Domain(Exportable):
    """Returns the distance of each vector, shape (rows,). It contains means and covariances, no vector of a row.

    For vectors that are centred on the mean of all rows, the distance is a quadratic form, in which the two covariances
    are combined, plus the lowest of one linear function for each class.
    """

    interface = Interface.ITEM
    output = DISTANCE
    form: Tensor
    weights: Tensor
    biases: Tensor

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__()
        self.scale = Scale(dimension)
        self.register_buffer("form", torch.zeros(dimension, dimension))
        self.register_buffer("weights", torch.zeros(classes, dimension))
        self.register_buffer("biases", torch.zeros(classes))

    def fit(self, vectors: Tensor, labels: Tensor) -> None:
        """Take means and covariances of float32 vectors of shape (rows, dimension); each class has rows."""
        exact = vectors.double()
        mean = exact.mean(0)
        deviation = (exact - mean).square().mean().sqrt()
        deviation = deviation if deviation > 0 else torch.ones_like(deviation)
        scaled = (exact - mean) / deviation
        sums = torch.zeros(len(self.biases), scaled.shape[1], dtype=torch.double).index_add_(0, labels, scaled)
        means = sums / torch.bincount(labels, minlength=len(self.biases)).unsqueeze(1)
        precision = _precision(scaled - means[labels])
        projected = means @ precision
        self.scale.mean.copy_(mean)
        self.scale.deviation.fill_(float(deviation))
        self.form.copy_(precision - _precision(scaled))
        self.weights.copy_(-2 * projected)
        self.biases.copy_((projected * means).sum(1))

    def forward(self, vectors: Tensor) -> Tensor:
        """Take float32 vectors of shape (rows, dimension)."""
        scaled = self.scale(vectors)
        of_classes = nn.functional.linear(scaled, self.weights, self.biases)
        distances: Tensor = (scaled @ self.form * scaled).sum(1) + of_classes.amin(1)
        return distances

    def add_nodes(self, graph: GraphBuilder) -> None:
        """Add the scaling, the quadratic form and the linear functions."""
        graph.scale(self.scale)
        scaled = graph.last
        of_classes = graph.add("Gemm", scaled, graph.constant(self.weights), graph.constant(self.biases), transB=1)
        nearest = graph.add("ReduceMin", of_classes, graph.constant([1]), keepdims=0)
        products = graph.add("Mul", graph.add("MatMul", scaled, graph.constant(self.form)), scaled)
        graph.add("ReduceSum", products, graph.constant([1]), keepdims=0)
        graph.add("Add", graph.last, nearest, output=self.output)


class FittedDomain(NamedTuple):
    """A domain with the largest distance that is inside, and the share of validation by which that was chosen."""

    module: Domain
    threshold: float
    quantile: float


def _precision(centred: Tensor) -> Tensor:
    """Return the inverse covariance of centred rows."""
    covariance = centred.T @ centred / len(centred)
    ridge = RIDGE * covariance.diagonal().mean().clamp_min(_SMALLEST_VARIANCE)
    identity = torch.eye(len(covariance), dtype=covariance.dtype)
    return torch.cholesky_inverse(torch.linalg.cholesky(covariance + ridge * identity))


def fit_domain(task: Task) -> tuple[FittedDomain | None, tuple[str, ...]]:
    """Return the domain of a task's train split, if its kind has one and there are enough rows, and warnings."""
    options = task.kind.domain(task.spec, task.manifest)
    if options is None:
        return None, ()
    none = "The head has no domain, so it does not abstain from input that is unlike its training rows: "
    if task.dimension > MAX_DIMENSION:
        return None, (f"{none}its vectors have {task.dimension:,} values, more than {MAX_DIMENSION:,}.",)
    validation, quantile = task.splits["validation"], options.quantile
    needed = math.ceil(quantile / (1 - quantile) - 1e-9)
    if len(validation) < needed:
        return None, (
            f"{none}for domain.quantile {quantile:g} validation needs {needed:,} rows, and has {len(validation):,}.",
        )
    module, small = _fit_classes(task, task.splits["train"])
    if module is None:
        return None, (f"{none}each class has fewer than {MIN_PERSONS} persons in train.",)
    distances = predict(module, validation.rows.inputs[:1]).numpy()
    domain = FittedDomain(module, conformal_quantile(distances, quantile), quantile)
    if not small:
        return domain, ()
    return domain, (
        f"The domain of the head leaves out {', '.join(small)}, which have fewer than {MIN_PERSONS} persons in train.",
    )


def _fit_classes(task: Task, train: Examples) -> tuple[Domain | None, list[str]]:
    """Return the domain of the classes with enough persons, None if there is no such class, and the other classes."""
    labels = train.rows.labels
    # A row without a person counts as a person of its own.
    pairs = zip(labels.tolist(), train.persons, train.rows.ids, strict=True)
    persons = {(label, person or f"/{event_id}") for label, person, event_id in pairs}
    counts = torch.bincount(torch.tensor([label for label, _ in sorted(persons)]), minlength=len(task.classes))
    is_large = counts >= MIN_PERSONS
    small = [name for name, count in zip(task.classes, counts.tolist(), strict=True) if count < MIN_PERSONS]
    if not is_large.any():
        return None, small
    kept = is_large[labels]
    numbers = is_large.cumsum(0) - 1  # of the classes that are kept
    module = Domain(task.dimension, int(is_large.sum()))
    with one_thread():
        module.fit(train.rows.inputs[0][kept], numbers[labels[kept]])
    return module, small


def conformal_quantile(distances: Array, quantile: float) -> float:
    """Return the distance that a further such row exceeds with a probability of at most 1 - `quantile`.

    Vovk, Gammerman and Shafer, 'Algorithmic Learning in a Random World' (2005). With too few distances the largest.
    """
    rank = math.ceil((len(distances) + 1) * quantile - 1e-9)
    return float(np.sort(distances)[min(rank, len(distances)) - 1])
