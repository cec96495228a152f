"""Metrics of the single classes of a classifier, each against all others, and the curves of their probabilities.

Intervals are closed formulas, since resampled rows tell nothing of a class of which every row is right: Wilson's score
interval (1927) for shares, which Brown, Cai and DasGupta, 'Interval Estimation for a Binomial Proportion' (2001)
recommend for few rows; Newcombe, 'Confidence intervals for an effect size measure based on the Mann-Whitney statistic',
part 2 (2006), method 5, for ROC-AUC. They take rows as independent of each other.
"""

from collections.abc import Iterator, Sequence
from math import nan, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from rawless.heads.metrics import INTERVAL, Array, Metric

MAX_CURVE_POINTS = 100
"""Points of a stored curve at most."""
_CLOSE = 1e-9
"""A difference of areas that any interval contains."""
_QUANTILE = NormalDist().inv_cdf(INTERVAL[1] / 100)


class ClassMeasures(NamedTuple):
    """How often a class is predicted rightly."""

    name: str
    rows: int
    """Test rows with this label."""
    predicted: int
    """Test rows for which it was predicted."""
    precision: Metric
    recall: Metric
    f1: Metric

    @property
    def rank(self) -> tuple[bool, float, str]:
        """A key that sorts the classes by F1, the worst first, and those without a row last."""
        return not self.rows, self.f1.value, self.name


class ClassCurve(NamedTuple):
    """The probabilities of a class as a ranking of the test rows, with its own rows to be ranked first."""

    name: str
    rows: int
    others: int
    """Test rows with another label."""
    roc_auc: Metric
    average_precision: Metric
    true_positives: tuple[int, ...]
    """Rows of the class whose probability is at least a threshold, for thresholds from the highest to the lowest."""
    false_positives: tuple[int, ...]
    """Other rows whose probability is."""
    error: float
    """By how much a line through these points differs from the whole curves at most."""

    def roc(self) -> list[tuple[float, float]]:
        """Return the share of other rows and that of the class, for each threshold."""
        return [
            (false / self.others, true / self.rows)
            for true, false in zip(self.true_positives, self.false_positives, strict=True)
        ]

    def precision_recall(self) -> list[tuple[float, float]]:
        """Return recall and precision for each threshold that at least one row reaches."""
        return [
            (true / self.rows, true / (true + false))
            for true, false in zip(self.true_positives, self.false_positives, strict=True)
            if true + false
        ]


def confusion_matrix(labels: Array, predicted: Array, classes: int) -> Array:
    """Return the numbers of rows by label (rows) and prediction (columns)."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def class_measures(classes: Sequence[str], confusion: Sequence[Sequence[int]] | Array) -> list[ClassMeasures]:
    """Return the measures of each class from a confusion matrix, whose rows are labels and columns predictions."""
    matrix = np.asarray(confusion, int).reshape(len(classes), len(classes))
    labelled, predicted, right = matrix.sum(1).tolist(), matrix.sum(0).tolist(), np.diag(matrix).tolist()
    return [
        ClassMeasures(
            name, labelled[n], predicted[n], share("precision", right[n], predicted[n]),
            share("recall", right[n], labelled[n]), _f1(right[n], labelled[n] + predicted[n] - right[n]),
        )
        for n, name in enumerate(classes)
    ]  # fmt: skip


def share(name: str, part: float, whole: int) -> Metric:
    """Return a share with Wilson's interval; undefined if there is no row."""
    if not whole:
        return Metric(name, nan, nan, nan)
    value, square = part / whole, _QUANTILE**2
    centre = (value + square / (2 * whole)) / (1 + square / whole)
    half = _QUANTILE / (1 + square / whole) * sqrt(value * (1 - value) / whole + square / (4 * whole**2))
    return Metric(name, value, max(centre - half, 0.0) if part else 0.0, min(centre + half, 1.0))


def _f1(right: int, either: int) -> Metric:
    """Return F1 from the rows that have the class both as label and prediction, and those that have it as either.

    It is 2J / (1 + J) with the share J of the first among the second, so the interval is that of J, transformed.
    """
    _, *values = share("f1", right, either)
    return Metric("f1", *(2 * value / (1 + value) for value in values))


def class_curves(classes: Sequence[str], labels: Array, probabilities: Array) -> Iterator[ClassCurve]:
    """Yield the curve of each class that some but not all rows have; probabilities have the shape (rows, classes)."""
    for n, name in enumerate(classes):
        is_class = labels == n
        if 0 < is_class.sum() < len(labels):
            yield _curve(name, is_class, probabilities[:, n])


def _curve(name: str, is_class: Array, scores: Array) -> ClassCurve:
    true, false = _counts(is_class, scores)
    rows, others = int(true[-1]), int(false[-1])
    precision = true[1:] / (true[1:] + false[1:])
    average_precision = float((np.diff(true) * precision).sum() / rows)
    auc = float((np.diff(false) * (true[1:] + true[:-1])).sum() / (2 * rows * others))
    kept, error = _thinned(np.stack((true / rows, false / others, np.r_[precision[:1], precision]), axis=1))
    return ClassCurve(
        name, rows, others, _area("roc_auc", auc, rows, others),
        share("average_precision", average_precision * rows, rows),
        tuple(true[kept].tolist()), tuple(false[kept].tolist()), round(error, 4),
    )  # fmt: skip


def _counts(is_class: Array, scores: Array) -> tuple[Array, Array]:
    """Return the true and false positives above all rows, then at each distinct score, from the highest."""
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]
    true = np.cumsum(is_class[order])[last]
    return np.r_[0, true], np.r_[0, last + 1 - true]


def _area(name: str, value: float, rows: int, others: int) -> Metric:
    """Return ROC-AUC with the interval of areas whose standard error explains the difference to `value`."""
    from scipy.optimize import brentq  # listing heads needs no scipy

    weight = (rows + others) / 2 - 1

    def excess(area: float) -> float:
        spread = 1 + weight * (1 - area) / (2 - area) + weight * area / (1 + area)
        return abs(area - value) - _QUANTILE * sqrt(max(area * (1 - area) * spread, 0.0) / (rows * others))

    def bound(end: float, inside: float) -> float:
        return end if excess(end) <= 0 else float(brentq(excess, end, inside))

    return Metric(name, value, bound(0.0, value - _CLOSE), bound(1.0, value + _CLOSE))


def _thinned(curve: Array) -> tuple[Array, float]:
    """Return the indices of at most MAX_CURVE_POINTS points, evenly along a curve, and the largest error of the rest.

    The error is the largest difference in a coordinate from the line between the points that are kept.
    """
    length = np.r_[0, np.abs(np.diff(curve, axis=0)).sum(1).cumsum()]
    even = np.searchsorted(length, np.linspace(0, length[-1], MAX_CURVE_POINTS - 1)).clip(max=len(curve) - 1)
    kept = np.unique(np.r_[1, even])  # the first threshold that a row reaches has no precision before it
    between = np.stack([np.interp(length, length[kept], values[kept]) for values in curve.T], axis=1)
    return kept, float(np.abs(between - curve).max())
