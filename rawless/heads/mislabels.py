"""Suspected mislabels: rows whose label a classifier that was trained without them finds improbable.

Each row is judged by a logistic regression of the rows of other persons, and its label's probability is compared with
what is usual for that label, the threshold of confident learning: Northcutt, Jiang and Chuang, 'Confident Learning:
Estimating Uncertainty in Dataset Labels' (2021).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rawless.datasets.spec import SPLITS
from rawless.heads.evaluation import SuspectedMislabel
from rawless.heads.examples import Task
from rawless.heads.fit import one_thread
from rawless.heads.modules import FeatureColumns

FOLDS = 5
MAX_SUSPECTS = 1000
MIN_SUSPICION = 0.5
_ITERATIONS = 40


def suspected_mislabels(task: Task) -> list[SuspectedMislabel]:
    """Return the suspected mislabels of all splits, the most suspect first; none when there are too few persons."""
    parts = [task.splits[split] for split in SPLITS if len(task.splits[split])]
    ids = [event_id for part in parts for event_id in part.rows.ids]
    persons = [person or f"/{ids[n]}" for n, person in enumerate(person for part in parts for person in part.persons)]
    labels = torch.cat([part.rows.labels for part in parts])
    folds = _folds(persons, task.spec.seed)
    if int(folds.max()) < FOLDS - 1:
        return []
    inputs = [torch.cat(tensors) for tensors in zip(*(part.rows.inputs for part in parts), strict=True)]
    with one_thread():
        probabilities = _out_of_fold(_scaled(task, *inputs), labels, folds, len(task.classes))
    of_label = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    rows = torch.bincount(labels, minlength=len(task.classes))
    usual = torch.zeros(len(task.classes)).index_add_(0, labels, of_label) / rows.clamp_min(1)
    suspicion = 1 - of_label / usual[labels].clamp_min(1e-9)
    best = probabilities.argmax(1)
    indices = ((best != labels) & (suspicion >= MIN_SUSPICION)).nonzero().squeeze(1)
    order = indices[torch.argsort(suspicion[indices], descending=True, stable=True)][:MAX_SUSPECTS].tolist()
    names = task.classes
    return [SuspectedMislabel(ids[n], names[labels[n]], names[best[n]], float(suspicion[n])) for n in order]


def _folds(persons: list[str], seed: int) -> Tensor:
    """Return the fold of each row, the same for all rows of a person."""
    names, numbers = np.unique(persons, return_inverse=True)
    return torch.from_numpy(np.random.default_rng(seed).permutation(len(names))[numbers] % FOLDS)


def _scaled(task: Task, vectors: Tensor, features: Tensor | None = None) -> Tensor:
    """Return centred vectors with a root mean square length of 1, and the columns of features beside them."""
    centred = vectors - vectors.mean(0)
    scaled = centred / centred.square().sum(1).mean().sqrt().clamp_min(1e-9)
    if features is None:
        return scaled
    columns = FeatureColumns(task.features)
    columns.fit(features)
    return torch.cat((scaled, columns(features)), dim=1)


def _out_of_fold(scaled: Tensor, labels: Tensor, folds: Tensor, classes: int) -> Tensor:
    """Return the probabilities of each row's classes by the classifier of the other folds."""
    probabilities = torch.zeros(len(labels), classes)
    for fold in range(FOLDS):
        held_out = folds == fold
        weights = _logistic_regression(scaled[~held_out], labels[~held_out], classes)
        probabilities[held_out] = torch.softmax(functional.linear(scaled[held_out], *weights), dim=1)
    return probabilities


def _logistic_regression(vectors: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return weights and biases with the lowest cross entropy plus half of the squared weights, over all rows."""
    weights, biases = (
        torch.zeros(classes, vectors.shape[1], requires_grad=True),
        torch.zeros(classes, requires_grad=True),
    )
    optimizer = torch.optim.LBFGS([weights, biases], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimizer.zero_grad()
        entropy = functional.cross_entropy(functional.linear(vectors, weights, biases), labels)
        total = entropy + weights.square().sum() / (2 * len(labels))
        total.backward()  # type: ignore[no-untyped-call]
        return float(total.detach())

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach(), biases.detach()
