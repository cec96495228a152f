"""The kinds of heads: small torch modules over frozen vectors, with what they make of a vector scaled inside.

Each has `loss`, of what `forward_raw` gives, for training, and `forward`, which answers as the exported head does.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class Scale(nn.Module):
    """Features to mean 0 and deviation 1, as over the rows that it was fitted to."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("deviation", torch.ones(dimension))

    def fit(self, vectors: Tensor) -> None:
        """Take mean and deviation of vectors, float32 of shape (rows, dimension)."""
        self.mean.copy_(vectors.mean(0))
        self.deviation.copy_(vectors.std(0, correction=0).clamp_min(1e-6))

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors of shape (rows, dimension), scaled."""
        return (vectors - self.mean) / self.deviation


def layers(widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them."""
    parts: list[nn.Module] = []
    for position, (before, after) in enumerate(pairwise(widths)):
        if position:
            parts += [nn.ReLU(), nn.Dropout(dropout)]
        parts.append(nn.Linear(before, after))
    return nn.Sequential(*parts)


class Classifier(nn.Module):
    """Linear or MLP: probabilities of classes, shape (rows, classes)."""

    inputs = ("embedding",)
    output = "probabilities"

    def __init__(self, dimension: int, hidden: Sequence[int], classes: int, dropout: float) -> None:
        super().__init__()
        self.classes = classes
        self.scale = Scale(dimension)
        self.layers = layers((dimension, *hidden, classes), dropout)

    def fit_scale(self, vectors: Tensor) -> None:
        """Before training, from the rows of train."""
        self.scale.fit(vectors)

    def loss(self, labels: Tensor, vectors: Tensor) -> Tensor:
        """Cross entropy; `labels` are int64 places in the classes."""
        return functional.cross_entropy(self.layers(self.scale(vectors)), labels)

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors of shape (rows, dimension), float32."""
        return torch.softmax(self.layers(self.scale(vectors)), dim=1)


class Regression(nn.Module):
    """Linear or MLP to a number, shape (rows,); the labels are scaled inside."""

    inputs = ("embedding",)
    output = "value"

    def __init__(self, dimension: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.scale, self.unit = Scale(dimension), Scale(1)
        self.layers = layers((dimension, *hidden, 1), dropout)

    def fit_scale(self, vectors: Tensor, labels: Tensor) -> None:
        """Before training, from the rows of train."""
        self.scale.fit(vectors)
        self.unit.fit(labels.unsqueeze(1))

    def loss(self, labels: Tensor, vectors: Tensor) -> Tensor:
        """Squared error in deviations of the labels; `labels` are float32."""
        return functional.mse_loss(self.layers(self.scale(vectors)), self.unit(labels.unsqueeze(1)))

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors of shape (rows, dimension), float32."""
        values: Tensor = self.layers(self.scale(vectors)) * self.unit.deviation + self.unit.mean
        return values.squeeze(1)


class Pair(nn.Module):
    """Two vectors concatenated, to the probability that they belong together, shape (rows,)."""

    inputs = ("left", "right")
    output = "score"

    def __init__(self, dimension: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.scale = Scale(2 * dimension)
        self.layers = layers((2 * dimension, *hidden, 1), dropout)

    def fit_scale(self, left: Tensor, right: Tensor) -> None:
        """Before training, from the rows of train."""
        self.scale.fit(torch.cat((left, right), dim=1))

    def _logits(self, left: Tensor, right: Tensor) -> Tensor:
        scaled: Tensor = self.layers(self.scale(torch.cat((left, right), dim=1))).squeeze(1)
        return scaled

    def loss(self, labels: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Binary cross entropy; `labels` are 1 where both belong together, else 0."""
        return functional.binary_cross_entropy_with_logits(self._logits(left, right), labels.float())

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Both of shape (rows, dimension), float32."""
        return torch.sigmoid(self._logits(left, right))


class QueryTransform(nn.Module):
    """A linear map of the query's vector, to be compared by cosine with documents' vectors, which stay as they are.

    With tenants, a map each: the shared one and a difference that is held near nothing, so a tenant of few rows stays
    with the shared map.
    """

    output = "embedding"
    TEMPERATURE = 0.05
    PULL = 0.01
    """Of the shared map to the identity, and of each tenant's to the shared one."""

    def __init__(self, dimension: int, tenants: int = 0) -> None:
        super().__init__()
        self.inputs = ("query", "tenant") if tenants else ("query",)
        self.shared = nn.Parameter(torch.eye(dimension))
        self.own = nn.Parameter(torch.zeros(tenants, dimension, dimension)) if tenants else None

    def loss(self, labels: Tensor, query: Tensor, document: Tensor, tenant: Tensor | None = None) -> Tensor:
        """InfoNCE (van den Oord, 2018) over the matching pairs of a batch, each document against the batch's others."""
        kept = labels.bool()
        mapped = self.forward(query[kept], None if tenant is None else tenant[kept])
        close = mapped @ functional.normalize(document, dim=1).T / self.TEMPERATURE
        found = functional.cross_entropy(close, kept.nonzero().squeeze(1)) if kept.any() else mapped.sum()
        return found + self.PULL * self._distance()

    def _distance(self) -> Tensor:
        from_identity = (self.shared - torch.eye(len(self.shared))).square().sum()
        return from_identity if self.own is None else from_identity + self.own.square().sum()

    def forward(self, query: Tensor, tenant: Tensor | None = None) -> Tensor:
        """Queries of shape (rows, dimension), and the place of each one's tenant, int64; answers of length 1."""
        mapped = query @ self.shared.T
        if self.own is not None and tenant is not None:
            mapped = mapped + torch.bmm(self.own[tenant], query.unsqueeze(2)).squeeze(2)
        return functional.normalize(mapped, dim=1)


Head = Classifier | Regression | Pair | QueryTransform
