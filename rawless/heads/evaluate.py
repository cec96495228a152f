"""Evaluating a trained head on the test split."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from rawless.heads import metrics
from rawless.heads.class_metrics import class_curves, confusion_matrix
from rawless.heads.domain import FittedDomain
from rawless.heads.evaluation import WITHOUT_FEATURES, CurvePoint, Evaluation, Mistake, Slice
from rawless.heads.examples import Task
from rawless.heads.fit import History, predict
from rawless.heads.metrics import Array, Metric, bootstrap
from rawless.heads.mislabels import suspected_mislabels
from rawless.heads.modules import Head

MIN_SLICE_ROWS = 10
MAX_MISTAKES = 1000


def evaluate(
    task: Task, head: Head, history: History, curve: tuple[CurvePoint, ...], without_features: Head | None = None
) -> Evaluation:
    """Return the evaluation of a head on the test split of its task, and of the same head without features."""
    kind, test, seed = task.kind, task.splits["test"].rows, task.spec.seed
    metric = kind.metric(task.manifest)
    answers = predict(head, kind.head_inputs(test)).numpy()
    baselines = {
        name: bootstrap(metric, *kind.outcomes(test, baseline), seed=seed) for name, baseline in kind.baselines(task)
    }
    if without_features is not None:
        alone = predict(without_features, test.inputs[:1]).numpy()
        baselines[WITHOUT_FEATURES] = bootstrap(metric, *kind.outcomes(test, alone), seed=seed)
    details: dict[str, Any] = {}
    if kind.predicts_labels:
        labels = test.labels.numpy()
        details["slices"] = tuple(_slices(task, labels, answers))
        if not task.manifest.is_number:
            details |= _classification_details(task, labels, answers)
    return Evaluation(
        rows={split: len(examples) for split, examples in task.splits.items()},
        measures=bootstrap(metric, *kind.outcomes(test, answers), seed=seed),
        baselines=baselines,
        learning_curve=curve,
        train_losses=history.train,
        validation_losses=tuple(loss for loss in history.validation if np.isfinite(loss)),
        best_epoch=history.best_epoch,
        **details,
    )


def abstention_of(task: Task, domain: FittedDomain) -> Metric:
    """Return the share of the test split that is out of domain."""
    distances = predict(domain.module, task.splits["test"].rows.inputs[:1]).numpy()
    (share,) = bootstrap(metrics.abstention, distances > np.float32(domain.threshold), seed=task.spec.seed)
    return share


def _classification_details(task: Task, labels: Array, answers: Array) -> dict[str, Any]:
    probabilities, classes = metrics.class_probabilities(answers), task.classes
    predicted = probabilities.argmax(1)
    confusion = confusion_matrix(labels, predicted, len(classes))
    wrong = np.flatnonzero(predicted != labels).tolist()
    ids, confidence = task.splits["test"].rows.ids, probabilities.max(1)
    mistakes = [Mistake(ids[n], classes[labels[n]], classes[predicted[n]], float(confidence[n])) for n in wrong]
    mistakes.sort(key=lambda mistake: (-mistake.confidence, mistake.event_id))
    return {
        "classes": classes,
        "confusion": tuple(tuple(row) for row in confusion.tolist()),
        "curves": tuple(class_curves(classes, labels, probabilities)),
        "calibration": tuple(metrics.calibration(labels, probabilities)),
        "mistakes": tuple(mistakes[:MAX_MISTAKES]),
        "suspects": () if task.kind.is_of_pairs else tuple(suspected_mislabels(task)),
    }


def _slices(task: Task, labels: Array, answers: Array) -> Iterator[Slice]:
    """Yield each month, each value of an attribute, and native and adapted vectors, if there are enough rows."""
    metric = task.kind.main_metric(task.manifest)
    facts: pd.DataFrame = task.splits["test"].facts
    for column in facts.columns:
        for value in sorted(facts[column].dropna().unique()):
            members = (facts[column] == value).to_numpy()
            if members.sum() >= MIN_SLICE_ROWS:
                (result,) = bootstrap(metric, labels[members], answers[members], seed=task.spec.seed)
                yield Slice(column, str(value), int(members.sum()), result)
