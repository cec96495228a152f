"""Baselines of heads: what is fitted in them, a cut or a temperature, is fitted on train, as in a head."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit
from torch import Tensor
from torch.nn import functional

from rawless.heads.fit import Rows
from rawless.heads.metrics import Array

_LOG_SCALES = (-3.0, 6.0)
"""Natural logarithms of the smallest and largest factor of cosines that is tried."""


def cosine_matches(train: Rows, test: Rows) -> Array:
    """Return a probability of a match for pairs of test: a logistic function of the cosine, with its 0.5 at the cut.

    The cut is the one with the highest accuracy on train, and the steepness that with the lowest log loss.
    """
    cosines, labels = _cosines(train), train.labels.numpy() == 1
    distances = cosines - best_cut(cosines, labels)

    def log_loss(log_scale: float) -> float:
        return -float(log_expit(np.where(labels, distances, -distances) * np.exp(log_scale)).mean())

    scale = np.exp(minimize_scalar(log_loss, bounds=_LOG_SCALES, method="bounded").x)
    matches: Array = expit((_cosines(test) - best_cut(cosines, labels)) * scale)
    return matches


def _cosines(rows: Rows) -> Array:
    cosines: Array = functional.cosine_similarity(rows.inputs[0], rows.inputs[1]).numpy().astype(np.float64)
    return cosines


def best_cut(values: Array, labels: Array) -> float:
    """Return the cut above which values are called true, such that the most labels are right."""
    order = np.argsort(-values)
    bounds = np.concatenate(([np.inf], values[order], [-np.inf]))
    gains = np.concatenate(([0], np.cumsum(np.where(labels[order], 1, -1))))
    best = int(np.argmax(np.where(bounds[:-1] > bounds[1:], gains, -len(values) - 1)))
    above, below = np.clip(bounds[best : best + 2], values.min() - 1, values.max() + 1)
    return float((above + below) / 2)


def nearest_centroid(train: Rows, test: Rows, classes: int) -> Array:
    """Return probabilities of classes: the softmax of the cosines with each class's mean.

    The temperature is the one with the lowest log loss on train. A class without rows gets a probability of almost 0.
    """
    means = torch.zeros(classes, train.inputs[0].shape[1]).index_add_(0, train.labels, train.inputs[0])
    centroids = functional.normalize(means, dim=1)
    absent = torch.bincount(train.labels, minlength=classes) == 0

    def logits(vectors: Tensor) -> Tensor:
        return (functional.normalize(vectors, dim=1) @ centroids.T).masked_fill(absent, -2)

    of_train = logits(train.inputs[0])

    def log_loss(log_scale: float) -> float:
        return float(functional.cross_entropy(of_train * np.exp(log_scale), train.labels))

    scale = float(np.exp(minimize_scalar(log_loss, bounds=_LOG_SCALES, method="bounded").x))
    return torch.softmax(logits(test.inputs[0]) * scale, dim=1).numpy()
