"""Training a head on a task and evaluating it."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

from rawless.heads.domain import FittedDomain, fit_domain
from rawless.heads.evaluate import abstention_of, evaluate
from rawless.heads.evaluation import MAIN, CurvePoint, Evaluation
from rawless.heads.examples import Task, make_head
from rawless.heads.fit import History, fit, predict
from rawless.heads.modules import Head

CURVE_SHARES = (0.1, 0.25, 0.5)
"""Shares of train in the learning curve, before the whole."""
MIN_CLASS_ROWS = 50
"""Rows of a class in train, below which training warns."""
MAX_CLASSES_NAMED = 10
"""Classes with too few rows that a warning names: those with the fewest."""
MANY_ABSTENTIONS = 2
"""How many times as many rows of test as of validation may be out of domain before training warns."""
STILL_RISING = 0.01
"""Gain from half of train to the whole, above which training warns."""


@dataclass(frozen=True)
class TrainedHead:
    """A trained head with its task and evaluation, and its domain if it has one."""

    task: Task
    head: Head
    evaluation: Evaluation
    domain: FittedDomain | None = None


def train(task: Task, report_progress: Callable[[str], None]) -> TrainedHead:
    """Train and evaluate a head. `report_progress` is called with the name of each step."""
    report_progress("training")
    head, history = fitted(task)
    domain, of_domain = fit_domain(task)
    report_progress("learning curve")
    curve = _learning_curve(task, head)
    report_progress("evaluating")
    evaluation = evaluate(task, head, history, curve, _without_features(task))
    abstention = domain and abstention_of(task, domain)
    if domain and abstention and abstention.low > MANY_ABSTENTIONS * (1 - domain.quantile):
        of_domain = (
            *of_domain,
            f"A share of {abstention} of test is out of domain, but {1 - domain.quantile:.3g} of validation: test "
            "differs from train. Services would abstain as often: train on newer rows, or change `domain`.",
        )
    warnings = (*_warnings(task, curve), *_better_baselines(evaluation), *of_domain)
    details = {"warnings": warnings, "abstention": abstention}
    return TrainedHead(task, head, evaluation.model_copy(update=details), domain)


def fitted(task: Task) -> tuple[Head, History]:
    """Return a head that is trained on a task, and its losses."""
    head, validation = make_head(task), task.splits["validation"].rows
    measure = _harmless(task, head) if task.kind.starts_as_baseline and len(validation) else None
    return head, fit(head, task.spec, task.splits["train"].rows, validation, measure)


def _without_features(task: Task) -> Head | None:
    """Return the head of the same spec that learned from the vectors alone; None for a task without features."""
    if not task.features:
        return None
    alone = task.without_features()
    head = make_head(alone)
    fit(head, alone.spec, alone.splits["train"].rows, alone.splits["validation"].rows)
    return head


def _harmless(task: Task, untrained: Head) -> Callable[[Head], float]:
    """Return a measure of heads: the main metric on validation, or -inf if any metric is lower than untrained."""
    least = _validation_metrics(task, untrained)

    def measure(head: Head) -> float:
        values = _validation_metrics(task, head)
        is_harmed = any(value < least[name] for name, value in values.items())
        return -math.inf if is_harmed else next(value for name, value in values.items() if name in MAIN)

    return measure


def _validation_metrics(task: Task, head: Head) -> Mapping[str, float]:
    kind, rows = task.kind, task.splits["validation"].rows
    return kind.metric(task.manifest)(*kind.outcomes(rows, predict(head, kind.head_inputs(rows)).numpy()))


def _learning_curve(task: Task, trained: Head) -> tuple[CurvePoint, ...]:
    """Train heads on random shares of train; empty without validation rows, or when answers are not labels."""
    rows, validation = task.splits["train"].rows, task.splits["validation"].rows
    if not len(validation) or not task.kind.predicts_labels:
        return ()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(task.spec.seed))
    points = []
    for share in CURVE_SHARES:
        part = rows.take(order[: max(2, round(share * len(rows)))])
        head = make_head(task)
        fit(head, task.spec, part, validation)
        points.append(CurvePoint(len(part), _validation_metric(task, head)))
    return (*points, CurvePoint(len(rows), _validation_metric(task, trained)))


def _validation_metric(task: Task, head: Head) -> float:
    """Return the main metric on validation."""
    kind, rows = task.kind, task.splits["validation"].rows
    answers = predict(head, kind.head_inputs(rows)).numpy()
    (value,) = kind.main_metric(task.manifest)(*kind.outcomes(rows, answers)).values()
    return value


def _better_baselines(evaluation: Evaluation) -> Iterator[str]:
    main = evaluation.main
    for name, measures in evaluation.baselines.items():
        value = next(measure.value for measure in measures if measure.name == main.name)
        if value > main.value:
            yield (
                f"The head is worse than the baseline {name}: its {main.name} on test is {main.value:.3f}, that of the "
                f"baseline {value:.3f}. Use the baseline, or train on more rows."
            )


def _warnings(task: Task, curve: tuple[CurvePoint, ...]) -> list[str]:
    warnings = []
    rows = task.splits["train"].rows
    if not len(task.splits["validation"]):
        warnings.append("There is no validation split, so training did not stop early.")
    if not task.manifest.is_number and not task.kind.is_of_pairs:
        counts = torch.bincount(rows.labels, minlength=len(task.classes)).tolist()
        few = sorted((count, name) for name, count in zip(task.classes, counts, strict=True) if count < MIN_CLASS_ROWS)
        if few:
            named = ", ".join(f"{name} {count}" for count, name in few[:MAX_CLASSES_NAMED])
            more = f" and {len(few) - MAX_CLASSES_NAMED:,} more" if len(few) > MAX_CLASSES_NAMED else ""
            warnings.append(f"Some classes have fewer than {MIN_CLASS_ROWS} rows in train: {named}{more}.")
    if curve and (gain := curve[-1].value - curve[-2].value) > STILL_RISING:
        warnings.append(
            f"The learning curve still rises: the second half of train adds {gain:.3f} on validation "
            f"({', '.join(f'{point.rows:,} rows {point.value:.3f}' for point in curve)}). More rows would help."
        )
    return warnings
