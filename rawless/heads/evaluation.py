"""The results of evaluating a trained head, as `evaluation.json` stores them; rows appear as event ids only."""

from typing import NamedTuple

from pydantic import ConfigDict

from rawless.config import FrozenModel
from rawless.heads.class_metrics import ClassCurve, ClassMeasures, class_measures
from rawless.heads.metrics import Bin, Metric


class Slice(NamedTuple):
    """The rows of test with one month or one value of an attribute."""

    of: str
    value: str
    rows: int
    measure: Metric


class SuspectedMislabel(NamedTuple):
    """A row whose label is improbable to a classifier that was trained on the rows of other persons."""

    event_id: str
    label: str
    suggested: str
    """The most probable label."""
    suspicion: float
    """By which share the probability of the label is below what is usual for that label; at most 1."""


class Mistake(NamedTuple):
    """A row of test that the head classified wrongly."""

    event_id: str
    label: str
    predicted: str
    confidence: float


class CurvePoint(NamedTuple):
    """The main metric on validation of a head that was trained on some of the rows of train."""

    rows: int
    value: float


class OutOfScope(NamedTuple):
    """How well a head's domain separates test from rows that the head should abstain from."""

    snapshot_id: str
    """The snapshot of the rows that it should abstain from."""
    rows: int
    """Their number."""
    test_rows: int
    measures: tuple[Metric, ...]


class Evaluation(FrozenModel):
    """The evaluation of a head on the test split of its snapshot."""

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="constants")

    rows: dict[str, int]
    """The number of rows of each split."""
    measures: tuple[Metric, ...]
    baselines: dict[str, tuple[Metric, ...]]
    slices: tuple[Slice, ...] = ()
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """Rows are labels, columns are predictions."""
    curves: tuple[ClassCurve, ...] = ()
    """For each class that some but not all rows of test have; none in files from before they were stored."""
    calibration: tuple[Bin, ...] = ()
    suspects: tuple[SuspectedMislabel, ...] = ()
    """The suspected mislabels of all splits, the most suspect first."""
    mistakes: tuple[Mistake, ...] = ()
    """The mistakes, the most confident first."""
    learning_curve: tuple[CurvePoint, ...] = ()
    train_losses: tuple[float, ...] = ()
    validation_losses: tuple[float, ...] = ()
    best_epoch: int = 0
    warnings: tuple[str, ...] = ()
    abstention: Metric | None = None
    """The share of test that is out of domain."""
    out_of_scope: OutOfScope | None = None
    """How the domain separates a snapshot that the head file declared out of scope."""

    @property
    def main(self) -> Metric:
        """The metric that heads are compared by: accuracy, r2 or recall@10."""
        return next(metric for metric in self.measures if metric.name in MAIN)

    @property
    def class_measures(self) -> list[ClassMeasures]:
        """The measures of each class of a classifier, the worst first."""
        return sorted(class_measures(self.classes, self.confusion), key=lambda each: each.rank)


MAIN = ("accuracy", "r2", "recall@10")
WITHOUT_FEATURES = "without_features"
"""The baseline of a head with features: the same head, trained on the vectors alone."""
