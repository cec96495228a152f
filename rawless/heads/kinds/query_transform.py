"""Query transforms: a linear map of a query's vector, which is then compared with documents' vectors by cosine."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional

from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import Name
from rawless.errors import UserError
from rawless.heads import metrics
from rawless.heads.examples import Task
from rawless.heads.fit import Rows
from rawless.heads.head_kind import MatchKind, MatchSpec
from rawless.heads.metrics import Array, MetricFunction
from rawless.heads.modules import Head
from rawless.heads.onnx_graph import GraphBuilder
from rawless.heads.readers import attributes_of
from rawless.heads.signature import EMBEDDING, TENANT, Interface

OTHER_TENANT = ""
"""The tenant of rows whose attribute is missing, or has a value that train lacks."""


class QueryTransformSpec(MatchSpec):
    """A query transform to train."""

    tenant: Name | None = None
    """The attribute whose values each get a transform of their own, near the shared one."""


class QueryTransform(Head):
    """Returns the mapped query, of length 1. The vectors of documents stay as they are, and so does their index.

    With tenants there is a map for each: the sum of the shared one and a difference that is penalised towards 0, so
    that a tenant with few rows keeps the shared map.
    """

    output = EMBEDDING
    TEMPERATURE = 0.05
    PENALTY = 0.01
    """Weight of the distance of the shared map from the identity, and of each tenant's map from the shared one."""

    def __init__(self, dimension: int, tenants: int = 0) -> None:
        super().__init__()
        self.interface = Interface.QUERY_OF_TENANT if tenants else Interface.QUERY
        self.shared = nn.Parameter(torch.eye(dimension))
        self.own = nn.Parameter(torch.zeros(tenants, dimension, dimension)) if tenants else None

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of an embedding: the output for one row is a mapped query."""
        return (len(self.shared),)

    def loss(self, labels: Tensor, query: Tensor, document: Tensor, tenant: Tensor | None = None) -> Tensor:
        """Return the InfoNCE loss over the matching pairs of a batch: each document against the batch's others.

        van den Oord et al., 'Representation Learning with Contrastive Predictive Coding' (2018).
        """
        matching = labels.bool()
        mapped = self.forward(query[matching], None if tenant is None else tenant[matching])
        logits = mapped @ functional.normalize(document, dim=1).T / self.TEMPERATURE
        targets = matching.nonzero().squeeze(1)
        contrastive = functional.cross_entropy(logits, targets) if matching.any() else mapped.sum()
        return contrastive + self.PENALTY * self._distance()

    def _distance(self) -> Tensor:
        from_identity = (self.shared - torch.eye(len(self.shared))).square().sum()
        return from_identity if self.own is None else from_identity + self.own.square().sum()

    def forward(self, query: Tensor, tenant: Tensor | None = None) -> Tensor:
        """Take float32 queries of shape (rows, dimension), and the int64 index of each one's tenant."""
        mapped = query @ self.shared.T
        if self.own is not None and tenant is not None:
            mapped = mapped + torch.bmm(self.own[tenant], query.unsqueeze(2)).squeeze(2)
        return functional.normalize(mapped, dim=1)

    def add_nodes(self, graph: GraphBuilder) -> None:
        """Add the maps and the normalisation."""
        query = self.interface.value[0]
        mapped = graph.add("MatMul", query, graph.constant(self.shared.T))
        if self.own is not None:
            own = graph.add("Gather", graph.constant(self.own), TENANT, axis=0)
            column = graph.add("Unsqueeze", query, graph.constant([2]))
            graph.add("MatMul", own, column)
            graph.add("Add", mapped, graph.squeeze(2))
        unscaled = graph.last
        length = graph.add("ReduceL2", unscaled, graph.constant([1]), keepdims=1)
        minimum = graph.constant(self.shared.new_tensor(1e-12))  # as in torch's normalize
        graph.add("Div", unscaled, graph.add("Max", length, minimum), output=self.output)


class QueryTransformKind(MatchKind[QueryTransformSpec]):
    """Maps queries towards their documents. It is measured by search: each matching query against all documents."""

    spec_type = QueryTransformSpec
    interface = Interface.QUERY
    predicts_labels = False

    def build(self, spec: QueryTransformSpec, task: Task) -> Head:
        """Return the identity, with as many tenants as the task has."""
        return QueryTransform(task.dimension, len(task.tenants))

    def tenants(self, spec: QueryTransformSpec, train: pa.Table) -> tuple[str, ...]:
        """Return the values of the attribute `tenant` in train, after `OTHER_TENANT`. Raises UserError for none."""
        if spec.tenant is None:
            return ()
        values = attributes_of(train).get(spec.tenant)
        if values is None:
            raise UserError(f"tenant is {spec.tenant}, but no row of train has that attribute.")
        return (OTHER_TENANT, *sorted({value for value in values if value is not None}))

    def inputs(
        self, spec: QueryTransformSpec, manifest: Manifest, rows: pa.Table, tenants: Sequence[str]
    ) -> tuple[Tensor, ...]:
        """Return queries and documents, and the indices of tenants where there are some."""
        vectors = super().inputs(spec, manifest, rows, tenants)
        if spec.tenant is None:
            return vectors
        indices = {name: index for index, name in enumerate(tenants)}
        values = attributes_of(rows).get(spec.tenant, [None] * len(rows))
        return (*vectors, torch.tensor([indices.get(value or OTHER_TENANT, 0) for value in values], dtype=torch.int64))

    def head_inputs(self, rows: Rows) -> tuple[Tensor, ...]:
        """Return queries and tenants, without the documents."""
        query, _, *tenant = rows.inputs
        return (query, *tenant)

    def metric(self, manifest: Manifest) -> MetricFunction:
        """Return the function from ranks to metrics."""
        return metrics.ranking_metrics

    def main_metric(self, manifest: Manifest) -> MetricFunction:
        """Return the function from ranks to recall@10."""
        return metrics.main_ranking_metric

    def outcomes(self, rows: Rows, answers: Array) -> tuple[Array, ...]:
        """Return the rank of each matching query's document among all documents of the rows."""
        matching = rows.labels.bool()
        return (ranks(torch.from_numpy(answers)[matching], functional.normalize(rows.inputs[1], dim=1), matching),)

    def baselines(self, task: Task) -> Iterator[tuple[str, Array]]:
        """Yield the queries as they are."""
        yield "cosine", functional.normalize(task.splits["test"].rows.inputs[0], dim=1).numpy()


def ranks(queries: Tensor, documents: Tensor, matching: Tensor) -> Array:
    """Return how many documents, without duplicates, are nearer to each query than its own document.

    `queries` are those of the rows where `matching` is true; `documents` are those of all rows. Both have length 1.
    """
    unique, indices = torch.unique(documents, dim=0, return_inverse=True)
    own = indices[matching.nonzero().squeeze(1)]
    cosines = queries @ unique.T
    nearer: Array = (cosines > cosines.gather(1, own.unsqueeze(1))).sum(1).numpy()
    return nearer


KIND = QueryTransformKind()
