"""From a head's file to a trained and judged head."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from rawless.heads.evaluate import evaluate, judge_of
from rawless.heads.evaluation import MAIN, CurvePoint, Evaluation
from rawless.heads.examples import Task, make_head
from rawless.heads.fit import answers, fit
from rawless.heads.modules import Head

SHARES = (0.1, 0.25, 0.5)
"""Of train, that the learning curve is drawn from, before the whole."""
LEAST_PER_CLASS = 50
STILL_RISING = 0.01
"""Between half of train and the whole: what more rows may bring."""


@dataclass(frozen=True)
class Trained:
    """A head, and what is known of it."""

    task: Task
    head: Head
    evaluation: Evaluation


def train(task: Task, told: Callable[[str], None]) -> Trained:
    """Train and judge a head. `told` hears what is being done."""
    told("training")
    head = make_head(task)
    rows = task.splits["train"].rows
    history = fit(head, task.spec, rows, task.splits["validation"].rows)
    told("learning curve")
    curve = _learning_curve(task, head)
    told("evaluating")
    return Trained(task, head, evaluate(task, head, history, curve, tuple(_warnings(task, curve))))


def _learning_curve(task: Task, whole: Head) -> tuple[CurvePoint, ...]:
    """Heads trained on shares of train, drawn by the seed; none without validation, or for a query transform."""
    rows, validation = task.splits["train"].rows, task.splits["validation"].rows
    if not len(validation) or task.spec.kind == "query_transform":
        return ()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(task.spec.seed))
    points = []
    for share in SHARES:
        part = rows.take(order[: max(2, round(share * len(rows)))])
        head = make_head(task)
        fit(head, task.spec, part, validation)
        points.append(CurvePoint(len(part), _value(task, head)))
    return (*points, CurvePoint(len(rows), _value(task, whole)))


def _value(task: Task, head: Head) -> float:
    """The main measure on validation."""
    rows = task.splits["validation"].rows
    found = judge_of(task)(rows.labels.numpy(), answers(head, rows.inputs).numpy())
    return next(value for name, value in found.items() if name in MAIN)


def _warnings(task: Task, curve: tuple[CurvePoint, ...]) -> list[str]:
    found = []
    rows = task.splits["train"].rows
    if not len(task.splits["validation"]):
        found.append("There is no validation split, so training did not stop early.")
    if not task.manifest.is_number and not task.spec.is_of_pairs:
        counts = torch.bincount(rows.labels, minlength=len(task.classes)).tolist()
        few = [f"{name} {count}" for name, count in zip(task.classes, counts, strict=True) if count < LEAST_PER_CLASS]
        if few:
            found.append(f"There are few rows of train for: {', '.join(few)} (fewer than {LEAST_PER_CLASS}).")
    if curve and (gain := curve[-1].value - curve[-2].value) > STILL_RISING:
        found.append(
            f"The learning curve still rises: the second half of train brought {gain:.3f} on validation "
            f"({', '.join(f'{point.rows:,} rows {point.value:.3f}' for point in curve)}). More rows would help."
        )
    return found
