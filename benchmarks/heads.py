"""Compare training a linear head on 50,000 vectors with scikit-learn's logistic regression on the same rows."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression

from benchmarks.figures import Figure, figure, rounds, seconds
from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import SPLITS
from rawless.heads.examples import Examples, Task, make_head
from rawless.heads.fit import Rows, fit, predict
from rawless.heads.modules import Head
from rawless.heads.spec import head_spec

ROWS, DIMENSION, CLASSES = 50_000, 384, 10
HELD_OUT = 5_000
"""Rows in each of validation and test."""
REQUIRED = "<= 20"


def measure(count: int) -> list[Figure]:
    """Seconds and test accuracy of both."""
    task = synthetic_task(ROWS, HELD_OUT)
    accuracies: dict[str, list[float]] = {"head": [], "scikit-learn": []}
    sides = {
        "head": lambda: seconds(lambda: accuracies["head"].append(_train_head(task))),
        "scikit-learn": lambda: seconds(lambda: accuracies["scikit-learn"].append(_train_logistic_regression(task))),
    }
    times, of = rounds(sides, count), f"{ROWS:,} x {DIMENSION}"
    return [
        figure("heads", of, "linear head", times["head"], "seconds", REQUIRED),
        figure("heads", of, "logistic regression of scikit-learn", times["scikit-learn"], "seconds"),
        figure("heads", of, "linear head, accuracy", accuracies["head"], "share"),
        figure("heads", of, "logistic regression of scikit-learn, accuracy", accuracies["scikit-learn"], "share"),
    ]


def synthetic_task(rows: int, held_out: int, fingerprint: str = "0" * 64, dimension: int = DIMENSION) -> Task:
    """Return a task with ten classes whose centres are so close that they overlap."""
    rng = np.random.default_rng(0)
    count = rows + 2 * held_out
    labels = rng.integers(0, CLASSES, count)
    vectors = rng.standard_normal((count, dimension), np.float32)
    vectors += 0.12 * rng.standard_normal((CLASSES, dimension), np.float32)[labels]
    cuts = np.split(np.arange(count), [rows, rows + held_out])
    splits = {split: _examples(vectors[rows], labels[rows]) for split, rows in zip(SPLITS, cuts, strict=True)}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    label = {"classes": [str(number) for number in range(CLASSES)], "kind": "event"}
    spec = {"spec": {"label": label, "encoder": "minilm@1.0.0"}}
    manifest = Manifest("bench", "0" * 24, spec, "", at, fingerprint, (), (), (), "", 0, at)
    return Task(head_spec({"head": "bench", "snapshot": "bench", "kind": "linear"}), manifest, splits)


def _examples(vectors: np.ndarray, labels: np.ndarray) -> Examples:
    rows = Rows((torch.from_numpy(vectors),), torch.from_numpy(labels), [str(n) for n in range(len(labels))])
    return Examples(rows, pd.DataFrame(index=range(len(labels))), [(n,) for n in rows.ids], [None] * len(rows))


def _train_head(task: Task) -> float:
    head: Head = make_head(task)
    fit(head, task.spec, task.splits["train"].rows, task.splits["validation"].rows)
    test = task.splits["test"].rows
    return float((predict(head, test.inputs).argmax(1) == test.labels).float().mean())


def _train_logistic_regression(task: Task) -> float:
    train, test = task.splits["train"].rows, task.splits["test"].rows
    model = LogisticRegression(max_iter=1000).fit(train.inputs[0].numpy(), train.labels.numpy())
    return float(model.score(test.inputs[0].numpy(), test.labels.numpy()))
