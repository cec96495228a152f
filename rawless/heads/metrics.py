"""Metrics of a head's answers, each with a bootstrap interval."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[Any]
MetricFunction = Callable[..., Mapping[str, float]]
"""From arrays with an entry for each row to metrics by name."""
RESAMPLES = 200
BINS = 10
CALIBRATION_ERROR = f"calibration_error_{BINS}_bins"
"""The name of a metric that depends on the number of bins."""
INTERVAL = (2.5, 97.5)
"""Percentiles."""


class Metric(NamedTuple):
    """The value of a metric with its 95% interval."""

    name: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return value and interval for people, without the name."""
        return f"{self.number} ({self.low:.3f} to {self.high:.3f})" if np.isfinite(self.value) else self.number

    @property
    def number(self) -> str:
        """The value alone, for people."""
        return f"{self.value:.3f}" if np.isfinite(self.value) else "undefined"

    @property
    def signed(self) -> str:
        """The same for a difference: with the sign of each number."""
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


class Bin(NamedTuple):
    """Rows of similar confidence: their mean confidence, the share of correct answers, and their number."""

    confidence: float
    accuracy: float
    rows: int


def classification_metrics(labels: Array, answers: Array) -> dict[str, float]:
    """Return the metrics of a classifier or of match scores.

    `labels` are indices of classes, shape (rows,); `answers` are what `class_probabilities` takes.
    """
    probabilities = class_probabilities(answers)
    return {
        "accuracy": accuracy(labels, probabilities),
        "macro_f1": _macro_f1(labels, probabilities),
        "roc_auc": _roc_auc(labels, probabilities),
        "log_loss": _log_loss(labels, probabilities),
        CALIBRATION_ERROR: calibration_error(calibration(labels, probabilities)),
    }


def class_probabilities(answers: Array) -> Array:
    """Return probabilities of shape (rows, classes); match scores of shape (rows,) become those of two classes."""
    return answers if answers.ndim == 2 else np.stack((1 - answers, answers), axis=1)


def accuracy(labels: Array, probabilities: Array) -> float:
    """Return the share of rows whose most probable class is their label."""
    return float(np.mean(probabilities.argmax(1) == labels))


def main_classification_metric(labels: Array, answers: Array) -> dict[str, float]:
    """Return the accuracy alone, which takes much less time than all metrics."""
    return {"accuracy": accuracy(labels, class_probabilities(answers))}


def regression_metrics(labels: Array, values: Array) -> dict[str, float]:
    """Return the metrics of predicted numbers; `r2` is NaN when the labels are equal, or too close for a float."""
    squared_error, variance = np.mean((labels - values) ** 2), np.var(labels)
    with np.errstate(over="ignore"):
        unexplained = squared_error / variance if np.ptp(labels) and variance else np.inf
    return {
        "r2": float(1 - unexplained) if np.isfinite(unexplained) else float("nan"),
        "mean_absolute_error": float(np.mean(np.abs(labels - values))),
        "root_mean_squared_error": float(np.sqrt(squared_error)),
    }


def main_regression_metric(labels: Array, values: Array) -> dict[str, float]:
    """Return R² alone."""
    return {"r2": regression_metrics(labels, values)["r2"]}


def ranking_metrics(ranks: Array) -> dict[str, float]:
    """Return the metrics of searches with one matching document each; `ranks` are its positions, from 0."""
    return {
        "recall@1": float(np.mean(ranks < 1)),
        "recall@10": float(np.mean(ranks < 10)),
        "ndcg@10": float(np.mean(np.where(ranks < 10, 1 / np.log2(ranks + 2), 0.0))),
    }


def abstention(is_out: Array) -> dict[str, float]:
    """Return the share of rows that are out of domain."""
    return {"abstention": float(np.mean(is_out))}


def separation(is_out_of_scope: Array, is_out: Array, distances: Array, confidences: Array) -> dict[str, float]:
    """Return how rows that are out of scope differ from others in distance, and in the confidence of the head.

    `is_out` says which rows are out of domain. A share of no rows is NaN.
    """
    labels = is_out_of_scope.astype(int)
    return {
        "roc_auc_of_distance": _roc_auc(labels, class_probabilities(distances)),
        "roc_auc_of_confidence": _roc_auc(labels, class_probabilities(-confidences)),
        "abstention_out_of_scope": float(np.mean(is_out[is_out_of_scope])) if is_out_of_scope.any() else np.nan,
        "abstention_on_test": float(np.mean(is_out[~is_out_of_scope])) if not is_out_of_scope.all() else np.nan,
    }


def main_ranking_metric(ranks: Array) -> dict[str, float]:
    """Return recall@10 alone."""
    return {"recall@10": ranking_metrics(ranks)["recall@10"]}


# scikit-learn's functions check and convert their arguments at each call, which takes minutes for 200 resamples. The
# tests compare the functions below with them.


def _macro_f1(labels: Array, probabilities: Array) -> float:
    """Return the mean F1 over the classes that occur as a label or as a prediction."""
    count = probabilities.shape[1]
    confusion = np.bincount(labels * count + probabilities.argmax(1), minlength=count**2).reshape(count, count)
    both, correct = confusion.sum(0) + confusion.sum(1), np.diag(confusion)
    return float(np.mean(2 * correct[both > 0] / both[both > 0]))


def _roc_auc(labels: Array, probabilities: Array) -> float:
    """Return the mean one-versus-rest AUC over the classes that occur; NaN when only one does."""
    from scipy.stats import rankdata  # takes as long to import as listing heads, which needs no ranks

    truth = labels[:, None] == np.arange(probabilities.shape[1])
    positives = truth.sum(0)
    present = (positives > 0) & (positives < len(labels))
    if not present.any():
        return float("nan")
    ranks = rankdata(probabilities[:, present], axis=0)
    positives = positives[present]
    above = (ranks * truth[:, present]).sum(0) - positives * (positives + 1) / 2
    return float(np.mean(above / (positives * (len(labels) - positives))))


def _log_loss(labels: Array, probabilities: Array) -> float:
    """Return the log loss, with rows normalised to a sum of 1 and probabilities clipped to at least 1e-7."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1.0)
    return float(-np.mean(np.log(clipped[np.arange(len(labels)), labels] / clipped.sum(axis=1))))


def calibration(labels: Array, probabilities: Array) -> list[Bin]:
    """Return confidence and accuracy in `BINS` equal bins of confidence, without empty bins."""
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(float(confidence[members].mean()), float(correct[members].mean()), int(members.sum()))
        for number in range(BINS)
        if (members := bins == number).any()
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: Guo et al., 'On Calibration of Modern Neural Networks' (2017)."""
    return sum(part.rows * abs(part.confidence - part.accuracy) for part in bins) / sum(part.rows for part in bins)


def bootstrap(
    metric: MetricFunction, *arrays: Array, seed: int, persons: Sequence[str | None] | None = None
) -> tuple[Metric, ...]:
    """Return metrics over rows with percentile intervals from resampled rows, or from resampled persons.

    Efron, 'Bootstrap Methods: Another Look at the Jackknife' (1979).
    """
    values = metric(*arrays)
    drawn = resampled([None] * len(arrays[0]) if persons is None else persons, seed)
    samples = [metric(*(array[indices] for array in arrays)) for indices in drawn]
    return tuple(interval(name, value, [sample[name] for sample in samples]) for name, value in values.items())


def paired_difference(
    metric: MetricFunction,
    before: Sequence[Array],
    after: Sequence[Array],
    seed: int,
    persons: Sequence[str | None] | None = None,
) -> tuple[Metric, ...]:
    """Return by how much metrics are higher `after`: both sides are measured on the same resampled rows or persons."""

    def differences(*outcomes: Array) -> Mapping[str, float]:
        earlier, later = metric(*outcomes[: len(before)]), metric(*outcomes[len(before) :])
        return {name: value - earlier[name] for name, value in later.items()}

    return bootstrap(differences, *before, *after, seed=seed, persons=persons)


def resampled(persons: Sequence[str | None], seed: int, samples: int = RESAMPLES) -> Iterator[Array]:
    """Yield the rows of bootstrap samples of persons, with all rows of each; a row without a person is one of its own.

    Rows of one person are not independent of each other. Davison and Hinkley, 'Bootstrap Methods and their
    Application' (1997), section 3.8.
    """
    generator = np.random.default_rng(seed)
    names = np.array([n if person is None else person for n, person in enumerate(persons)], object)
    groups, _ = pd.factorize(names)
    order, sizes = np.argsort(groups, kind="stable"), np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    for _ in range(samples):
        drawn = generator.integers(0, len(sizes), len(sizes))
        ends = np.cumsum(sizes[drawn])
        yield order[np.arange(ends[-1]) + np.repeat(starts[drawn] - ends + sizes[drawn], sizes[drawn])]


def interval(name: str, value: float, samples: Sequence[float]) -> Metric:
    """Return a metric with the percentile interval of its finite samples."""
    finite = [sample for sample in samples if np.isfinite(sample)]
    low, high = np.percentile(finite, INTERVAL) if finite else (value, value)
    return Metric(name, value, float(low), float(high))
