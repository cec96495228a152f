"""Evaluating a head on test, once."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.nn import functional

from rawless.heads import metrics, suspects
from rawless.heads.evaluation import CurvePoint, Evaluation, Mistake, Slice
from rawless.heads.examples import Examples, Task
from rawless.heads.fit import History, Rows, answers
from rawless.heads.metrics import Measure, with_intervals
from rawless.heads.modules import Head

Array = npt.NDArray[Any]
Judge = Callable[..., dict[str, float]]
LEAST_SLICE = 10
"""Rows below which a slice says nothing."""
MOST_MISTAKES = 1000


def evaluate(
    task: Task, head: Head, history: History, curve: tuple[CurvePoint, ...], warnings: tuple[str, ...]
) -> Evaluation:
    """Everything that is known of a head on the test split of its task."""
    test, kind = task.splits["test"], task.spec.kind
    told = {
        "rows": {split: len(examples) for split, examples in task.splits.items()},
        "learning_curve": curve,
        "train_losses": history.train,
        "validation_losses": tuple(loss for loss in history.validation if np.isfinite(loss)),
        "best_epoch": history.best_epoch,
        "warnings": warnings,
    }
    if kind == "query_transform":
        return Evaluation(**told, **_of_search(task, head, test))
    answered = answers(head, test.rows.inputs).numpy()
    labels = test.rows.labels.numpy()
    judge = judge_of(task)
    found: dict[str, Any] = {
        "measures": with_intervals(judge, labels, answered, seed=task.spec.seed),
        "baselines": dict(_baselines(task, judge)),
        "slices": tuple(_slices(task, labels, answered)),
    }
    if not task.manifest.is_number:
        found |= _of_classes(task, labels, answered)
    return Evaluation(**told, **found)


def judge_of(task: Task) -> Judge:
    """From labels and answers to measures."""
    return metrics.of_numbers if task.manifest.is_number else metrics.of_classes


def names(task: Task) -> tuple[str, ...]:
    """Of the classes, as places have them; of pairs first what is no match."""
    if task.spec.kind != "pair":
        return task.classes
    positive = task.spec.positive or task.classes[-1]
    return (*(each for each in task.classes if each != positive), positive)


def _of_classes(task: Task, labels: Array, answered: Array) -> dict[str, Any]:
    probabilities, told = metrics.by_class(answered), names(task)
    predicted = probabilities.argmax(1)
    confusion = np.zeros((len(told), len(told)), int)
    np.add.at(confusion, (labels, predicted), 1)
    wrong = np.flatnonzero(predicted != labels).tolist()
    ids, confidence = task.splits["test"].rows.ids, probabilities.max(1)
    mistakes = [Mistake(ids[n], told[labels[n]], told[predicted[n]], float(confidence[n])) for n in wrong]
    mistakes.sort(key=lambda each: (-each.confidence, each.event_id))
    return {
        "classes": told,
        "confusion": tuple(tuple(int(count) for count in row) for row in confusion),
        "calibration": tuple(metrics.calibration(labels, probabilities)),
        "mistakes": tuple(mistakes[:MOST_MISTAKES]),
        "suspects": tuple(suspects.find(task)) if task.spec.kind != "pair" else (),
    }


def _baselines(task: Task, judge: Judge) -> Iterator[tuple[str, tuple[Measure, ...]]]:
    """What needs no training: the labels of train alone, and the nearest mean of a class, or the cosine of a pair."""
    train, test = task.splits["train"].rows, task.splits["test"].rows
    labels, seed = test.labels.numpy(), task.spec.seed
    if task.manifest.is_number:
        mean = np.full(len(test), float(train.labels.mean()), np.float32)
        yield "mean", with_intervals(judge, labels, mean, seed=seed)
        return
    count = len(names(task))
    shares = np.bincount(train.labels.numpy(), minlength=count) / len(train)
    majority = np.tile(shares, (len(test), 1))
    if task.spec.kind == "pair":
        yield "majority", with_intervals(judge, labels, majority[:, 1], seed=seed)
        cosine = functional.cosine_similarity(test.inputs[0], test.inputs[1]).numpy()
        yield "cosine", with_intervals(judge, labels, (cosine + 1) / 2, seed=seed)
        return
    yield "majority", with_intervals(judge, labels, majority, seed=seed)
    yield "nearest_centroid", with_intervals(judge, labels, _nearest_centroid(train, test, count), seed=seed)


def _nearest_centroid(train: Rows, test: Rows, classes: int) -> Array:
    """Probabilities as the softmax of cosines with each class's mean; classes without rows get next to none."""
    means = torch.zeros(classes, train.inputs[0].shape[1]).index_add_(0, train.labels, train.inputs[0])
    cosines = functional.normalize(test.inputs[0], dim=1) @ functional.normalize(means, dim=1).T
    cosines[:, torch.bincount(train.labels, minlength=classes) == 0] = -1
    return torch.softmax(cosines * 10, dim=1).numpy()


def _slices(task: Task, labels: Array, answered: Array) -> Iterator[Slice]:
    facts: pd.DataFrame = task.splits["test"].facts
    for of in facts.columns:
        for value in sorted(facts[of].dropna().unique()):
            chosen = (facts[of] == value).to_numpy()
            if chosen.sum() >= LEAST_SLICE:
                judge = _numbers_alone if task.manifest.is_number else _classes_alone
                (found,) = with_intervals(judge, labels[chosen], answered[chosen], seed=task.spec.seed)
                yield Slice(of, str(value), int(chosen.sum()), found)


def _numbers_alone(labels: Array, values: Array) -> dict[str, float]:
    return {"r2": metrics.of_numbers(labels, values)["r2"]}


def _classes_alone(labels: Array, answered: Array) -> dict[str, float]:
    return {"accuracy": metrics.accuracy(labels, metrics.by_class(answered))}


def _of_search(task: Task, head: Head, test: Examples) -> dict[str, Any]:
    """Each matching query against all documents of test, mapped and as it is."""
    matching = test.rows.labels.bool()
    queries, documents = test.rows.inputs[0], functional.normalize(test.rows.inputs[1], dim=1)
    mapped = answers(head, (queries, *test.rows.inputs[2:]))
    found = {
        name: with_intervals(metrics.of_ranks, ranks(vectors[matching], documents, matching), seed=task.spec.seed)
        for name, vectors in (("head", mapped), ("cosine", functional.normalize(queries, dim=1)))
    }
    return {"measures": found["head"], "baselines": {"cosine": found["cosine"]}}


def ranks(queries: torch.Tensor, documents: torch.Tensor, matching: torch.Tensor) -> Array:
    """How many documents, each counted once, are nearer to each query than its own."""
    unique, places = torch.unique(documents, dim=0, return_inverse=True)
    own = places[matching.nonzero().squeeze(1)]
    close = queries @ unique.T
    nearer: Array = (close > close.gather(1, own.unsqueeze(1))).sum(1).numpy()
    return nearer
