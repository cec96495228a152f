"""The base classes of the kinds of heads: how a kind reads a snapshot, builds a head and evaluates it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import pyarrow as pa
import torch
from torch import Tensor

from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads import metrics
from rawless.heads.examples import Task
from rawless.heads.features import choose_features
from rawless.heads.fit import Rows
from rawless.heads.metrics import Array, MetricFunction
from rawless.heads.modules import Head
from rawless.heads.readers import feature_matrix, targets_of, vectors_of
from rawless.heads.signature import Interface
from rawless.heads.spec import DomainSpec, HeadSpec

Spec = TypeVar("Spec", bound=HeadSpec)
MatchSpecT = TypeVar("MatchSpecT", bound="MatchSpec")


class HeadKind(ABC, Generic[Spec]):
    """A kind of head. Its module in `rawless.heads.kinds` contains one instance of it."""

    spec_type: type[Spec]
    interface: Interface
    predicts_labels = True
    """Whether the answer for a row is compared with that row's label. Then the head has slices and a learning curve."""
    starts_as_baseline = False
    """Whether the untrained head answers like its baseline. Then no epoch is kept that has a lower metric on validation
    than the untrained head, so that training does no harm."""

    @property
    def is_of_pairs(self) -> bool:
        """Whether it is trained on pairs of events."""
        return self.interface.is_of_pairs

    @abstractmethod
    def build(self, spec: Spec, task: Task) -> Head:
        """Return an untrained head whose input scaling, if it has one, is fitted on the train split.

        Random weights come from torch's global generator.
        """

    @abstractmethod
    def baselines(self, task: Task) -> Iterator[tuple[str, Array]]:
        """Yield the names of models that need no training, and their answers for the test split."""

    def check(self, spec: Spec, manifest: Manifest) -> None:
        """Check that a head can be trained on a snapshot. Raises UserError."""
        if self.is_of_pairs != manifest.is_pairs:
            rows = "pairs of events" if manifest.is_pairs else "single events"
            raise UserError(
                f"A head of kind {spec.kind} cannot be trained on {manifest.snapshot_id}, whose rows are {rows}."
            )

    def classes(self, spec: Spec, manifest: Manifest) -> tuple[str, ...]:
        """Return the classes in the order of the labels and probabilities; none when the labels are numbers."""
        return manifest.classes

    def domain(self, spec: Spec, manifest: Manifest) -> DomainSpec | None:
        """Return how the head recognises rows that are out of domain, or None if it does not."""
        return None

    def labels(self, spec: Spec, manifest: Manifest, rows: pa.Table) -> Tensor:
        """Return the labels of rows: int64 indices into `classes`, or float32 numbers."""
        return torch.from_numpy(targets_of(manifest, rows))

    def tenants(self, spec: Spec, train: pa.Table) -> tuple[str, ...]:
        """Return the tenants that the head distinguishes; the first represents all others."""
        return ()

    def inputs(self, spec: Spec, manifest: Manifest, rows: pa.Table, tenants: Sequence[str]) -> tuple[Tensor, ...]:
        """Return what the loss takes for rows, besides their labels: vectors, then features if the head has some."""
        vectors = tuple(torch.from_numpy(vectors) for vectors in vectors_of(manifest, rows))
        if features := choose_features(spec.features, manifest):
            return (*vectors, torch.from_numpy(feature_matrix(manifest, rows, features)))
        return vectors

    def head_inputs(self, rows: Rows) -> tuple[Tensor, ...]:
        """Return what `forward` takes for rows."""
        return rows.inputs

    def metric(self, manifest: Manifest) -> MetricFunction:
        """Return the function from `outcomes` to metrics."""
        return metrics.regression_metrics if manifest.is_number else metrics.classification_metrics

    def main_metric(self, manifest: Manifest) -> MetricFunction:
        """Return the function from `outcomes` to the one metric that heads are compared by."""
        return metrics.main_regression_metric if manifest.is_number else metrics.main_classification_metric

    def outcomes(self, rows: Rows, answers: Array) -> tuple[Array, ...]:
        """Return arrays that `metric` takes, which are resampled together; by default labels and answers."""
        return rows.labels.numpy(), answers

    def options_of(self, classes: Sequence[str]) -> Mapping[str, Any]:
        """Return spec options so that a snapshot's labels are encoded in a head's class order, `classes`."""
        return {}


class MatchSpec(HeadSpec):
    """A head that is trained on pairs, which are a match or not."""

    positive: str | None = None
    """The class of matching pairs; by default the last one."""


class MatchKind(HeadKind[MatchSpecT]):
    """A kind of head that is trained on pairs of two classes: match (1) and no match (0)."""

    def check(self, spec: MatchSpecT, manifest: Manifest) -> None:
        """Check, too, that there are two classes, of which one is `positive`. Raises UserError."""
        super().check(spec, manifest)
        if manifest.is_number or len(manifest.classes) != 2:
            raise UserError(f"A head of kind {spec.kind} needs a label of two classes: match and no match.")
        if spec.positive is not None and spec.positive not in manifest.classes:
            raise UserError(f"positive is {spec.positive!r}, but the classes are {', '.join(manifest.classes)}.")

    def classes(self, spec: MatchSpecT, manifest: Manifest) -> tuple[str, ...]:
        """Return the class of no match, then that of a match."""
        positive = spec.positive or manifest.classes[-1]
        return (*(name for name in manifest.classes if name != positive), positive)

    def labels(self, spec: MatchSpecT, manifest: Manifest, rows: pa.Table) -> Tensor:
        """Return 1 for each row that is a match, else 0."""
        positive = self.classes(spec, manifest)[-1]
        return (super().labels(spec, manifest, rows) == manifest.classes.index(positive)).long()

    def options_of(self, classes: Sequence[str]) -> Mapping[str, Any]:
        """Return the last class as the positive one."""
        return {"positive": classes[-1]} if classes else {}
