"""Query transforms: a linear map of a query's vector, which is then compared with documents' vectors by cosine."""

from collections.abc import Iterator, Sequence

import numpy as np
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
from rawless.heads.readers import attributes_of, events_of
from rawless.heads.signature import EMBEDDING, TENANT, Interface

ROUNDING = 1e-6
"""Difference up to which cosines count as equal."""
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

    def loss(
        self, labels: Tensor, query: Tensor, document: Tensor, events: Tensor, tenant: Tensor | None = None
    ) -> Tensor:
        """Return the InfoNCE loss over the matching pairs of a batch: each document against the batch's others.

        Documents that are the query itself or match it, too, are left out of the others. `events` are the numbers of
        the two events of each row. van den Oord et al., 'Representation Learning with Contrastive Predictive Coding'
        (2018).
        """
        matching = labels.bool()
        mapped = self.forward(query[matching], None if tenant is None else tenant[matching])
        logits = mapped @ functional.normalize(document, dim=1).T / self.TEMPERATURE
        targets = matching.nonzero().squeeze(1)
        queries, documents = events.unbind(1)
        is_same = documents == queries[targets].unsqueeze(1)
        is_same |= documents == documents[targets].unsqueeze(1)
        is_same |= (queries == queries[targets].unsqueeze(1)) & matching
        is_same[torch.arange(len(targets)), targets] = False
        logits = logits.masked_fill(is_same, -torch.inf)
        contrastive = functional.cross_entropy(logits, targets) if matching.any() else mapped.sum()
        return contrastive + self.PENALTY * self._distance()

    def _distance(self) -> Tensor:
        # mse_loss passes over the maps less often, forward and backward, than a square and its sum
        from_identity = functional.mse_loss(self.shared, torch.eye(len(self.shared)), reduction="sum")
        if self.own is None:
            return from_identity
        return from_identity + functional.mse_loss(
            self.own, self.own.new_zeros(()).expand_as(self.own), reduction="sum"
        )

    def forward(self, query: Tensor, tenant: Tensor | None = None) -> Tensor:
        """Take float32 queries of shape (rows, dimension), and the int64 index of each one's tenant."""
        mapped = query @ self.shared.T
        if self.own is not None and tenant is not None:
            maps = self.own.unbind()
            for index in np.unique(
                tenant.numpy()
            ).tolist():  # one product for each tenant: gathered maps would be far larger
                rows = (tenant == index).nonzero().squeeze(1)
                mapped = mapped.index_add(0, rows, query[rows] @ maps[index].T)
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
    starts_as_baseline = True

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
        """Return queries, documents and the numbers of their events, and the indices of tenants if there are some."""
        pairs = events_of(rows)
        numbers = {event: number for number, event in enumerate(sorted({event for pair in pairs for event in pair}))}
        events = torch.tensor([[numbers[event] for event in pair] for pair in pairs], dtype=torch.int64).reshape(-1, 2)
        vectors = (*super().inputs(spec, manifest, rows, tenants), events)
        if spec.tenant is None:
            return vectors
        indices = {name: index for index, name in enumerate(tenants)}
        values = attributes_of(rows).get(spec.tenant, [None] * len(rows))
        return (*vectors, torch.tensor([indices.get(value or OTHER_TENANT, 0) for value in values], dtype=torch.int64))

    def head_inputs(self, rows: Rows) -> tuple[Tensor, ...]:
        """Return queries and tenants, without the documents."""
        query, _, _, *tenant = rows.inputs
        return (query, *tenant)

    def metric(self, manifest: Manifest) -> MetricFunction:
        """Return the function from ranks to metrics."""
        return metrics.ranking_metrics

    def main_metric(self, manifest: Manifest) -> MetricFunction:
        """Return the function from ranks to recall@10."""
        return metrics.main_ranking_metric

    def outcomes(self, rows: Rows, answers: Array) -> tuple[Array, ...]:
        """Return the rank of each matching query's document among all documents of the rows but the query itself."""
        _, documents, events, *_ = rows.inputs
        matching = rows.labels.bool()
        queries = torch.from_numpy(answers)[matching]
        return (ranks(queries, functional.normalize(documents, dim=1), events, matching),)

    def baselines(self, task: Task) -> Iterator[tuple[str, Array]]:
        """Yield the queries as they are."""
        yield "cosine", functional.normalize(task.splits["test"].rows.inputs[0], dim=1).numpy()


def ranks(queries: Tensor, documents: Tensor, events: Tensor, matching: Tensor) -> Array:
    """Return how many other documents are nearer to each query than its own; the query itself is none of them.

    `queries` are those of the rows where `matching` is true; `documents` are those of all rows, in which an event may
    occur repeatedly. Both have length 1. `events` are the numbers of both events of all rows.
    """
    candidates, first = np.unique(events[:, 1].numpy(), return_index=True)
    own = documents[matching]
    cosines = queries @ documents[torch.from_numpy(first)].T
    is_nearer = cosines > (queries * own).sum(1, keepdim=True) + ROUNDING
    is_nearer &= torch.from_numpy(candidates) != events[matching, :1]
    nearer: Array = is_nearer.sum(1).numpy()
    return nearer


KIND = QueryTransformKind()
