"""What is measured of a head's answers, each with a bootstrap interval (Efron, 1979)."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Array = npt.NDArray[Any]
RESAMPLES = 200
BINS = 10
INTERVAL = (2.5, 97.5)
"""Percentiles."""


class Measure(NamedTuple):
    """A measure with its 95% interval."""

    name: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """As people read it, without its name."""
        if not np.isfinite(self.value):
            return "cannot be told"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class Bin(NamedTuple):
    """Rows of like confidence: how confident the head was, how often it was right."""

    confidence: float
    accuracy: float
    rows: int


def of_classes(labels: Array, answered: Array) -> dict[str, float]:
    """Of classifiers and pair scores; `labels` are places in the classes, `answered` is as `by_class` takes it."""
    probabilities = by_class(answered)
    return {
        "accuracy": accuracy(labels, probabilities),
        "macro_f1": _macro_f1(labels, probabilities),
        "roc_auc": _roc_auc(labels, probabilities),
        "log_loss": _log_loss(labels, probabilities),
        "calibration_error": calibration_error(calibration(labels, probabilities)),
    }


def by_class(answered: Array) -> Array:
    """Probabilities of shape (rows, classes), of such, or of scores of shape (rows,) that two belong together."""
    return answered if answered.ndim == 2 else np.stack((1 - answered, answered), axis=1)


def accuracy(labels: Array, probabilities: Array) -> float:
    """The share of rows whose likeliest class is their label."""
    return float(np.mean(probabilities.argmax(1) == labels))


def of_numbers(labels: Array, values: Array) -> dict[str, float]:
    """Of numbers; `r2` is how much of the variance is explained, NaN where there is none."""
    missed, variance = np.mean((labels - values) ** 2), np.var(labels)
    return {
        "r2": float(1 - missed / variance) if variance else float("nan"),
        "mean_absolute_error": float(np.mean(np.abs(labels - values))),
        "root_mean_squared_error": float(np.sqrt(missed)),
    }


def of_ranks(ranks: Array) -> dict[str, float]:
    """Of searches with one matching document each; `ranks` from 0 are where it came."""
    return {
        "recall@1": float(np.mean(ranks < 1)),
        "recall@10": float(np.mean(ranks < 10)),
        "ndcg@10": float(np.mean(np.where(ranks < 10, 1 / np.log2(ranks + 2), 0.0))),
    }


# scikit-learn's measures check and convert their arguments at each call, which for 200 samples takes minutes in all:
# these are held against them in a test.


def _macro_f1(labels: Array, probabilities: Array) -> float:
    """The mean of each class's F1, over the classes that are there or were predicted."""
    count = probabilities.shape[1]
    confusion = np.bincount(labels * count + probabilities.argmax(1), minlength=count**2).reshape(count, count)
    both, right = confusion.sum(0) + confusion.sum(1), np.diag(confusion)
    return float(np.mean(2 * right[both > 0] / both[both > 0]))


def _roc_auc(labels: Array, probabilities: Array) -> float:
    """One class against the others, mean over the classes that are there; NaN when only one is."""
    truth = labels[:, None] == np.arange(probabilities.shape[1])
    many = truth.sum(0)
    present = (many > 0) & (many < len(labels))
    if not present.any():
        return float("nan")
    ranks = rankdata(probabilities[:, present], axis=0)
    many = many[present]
    above = (ranks * truth[:, present]).sum(0) - many * (many + 1) / 2
    return float(np.mean(above / (many * (len(labels) - many))))


def _log_loss(labels: Array, probabilities: Array) -> float:
    """With each row adding up to 1 and no probability 0, since its logarithm is taken."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1.0)
    return float(-np.mean(np.log(clipped[np.arange(len(labels)), labels] / clipped.sum(axis=1))))


def calibration(labels: Array, probabilities: Array) -> list[Bin]:
    """Confidence and accuracy in ten bins of confidence, those that have rows."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(float(confidence[chosen].mean()), float(right[chosen].mean()), int(chosen.sum()))
        for place in range(BINS)
        if (chosen := places == place).any()
    ]


def calibration_error(bins: list[Bin]) -> float:
    """The expected calibration error: Guo et al., 'On Calibration of Modern Neural Networks' (2017)."""
    return sum(each.rows * abs(each.confidence - each.accuracy) for each in bins) / sum(each.rows for each in bins)


def with_intervals(measure: Callable[..., Mapping[str, float]], *arrays: Array, seed: int) -> tuple[Measure, ...]:
    """Measures over rows, with intervals from resampled rows."""
    chance, rows = np.random.default_rng(seed), len(arrays[0])
    whole = measure(*arrays)
    samples: list[Mapping[str, float]] = []
    for _ in range(RESAMPLES):
        places = chance.integers(0, rows, rows)
        samples.append(measure(*(array[places] for array in arrays)))
    return tuple(Measure(name, value, *_interval(name, samples, value)) for name, value in whole.items())


def _interval(name: str, samples: list[Mapping[str, float]], value: float) -> tuple[float, float]:
    found = [each[name] for each in samples if np.isfinite(each[name])]
    if not found:
        return value, value
    low, high = np.percentile(found, INTERVAL)
    return float(low), float(high)
