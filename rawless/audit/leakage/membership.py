"""Membership inference: whether a head's answer for a row tells that the head was trained on that row.

The attacker knows a row, its label and the head's answer. Members are rows of train, non-members rows of test. Two
attacks: a threshold on the loss (Yeom et al., 'Privacy Risk in Machine Learning', 2018), and shadow heads (Carlini et
al., 'Membership Inference Attacks From First Principles', 2022). The latter say why the measure is the true-positive
rate at few false positives: an attack that is right on average harms nobody, one that is certain of a few persons harms
these.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import binomtest

from rawless.audit.leakage.attack import RESAMPLES, Measure
from rawless.datasets.snapshots import find
from rawless.errors import UserError
from rawless.heads.artefact import IMPORTED, HeadManifest
from rawless.heads.examples import Task, make_head, open_task
from rawless.heads.fit import Rows, fit, predict
from rawless.heads.metrics import Array
from rawless.heads.session import HeadSession
from rawless.heads.spec import head_spec
from rawless.warehouse.client import Warehouse

ATTACK = "membership"
STRONGER, LOSS, SHADOW = "membership_tpr", "membership_loss_tpr", "membership_shadow_tpr"
"""The metrics: the higher of both attacks, the threshold on the loss, and shadow heads."""
FALSE_POSITIVES = 0.01
"""The share of non-members that an attack may take for members; also what a guess finds."""
SHADOWS = 16
"""Heads trained on random halves of the rows, so that each row is in half of them."""
MIN_ROWS = 20
"""Members and non-members without which nothing is measured."""
_SHUFFLES = 100
_DECILES = np.linspace(0.1, 0.9, 9)
_TINY = float(np.finfo(np.float32).tiny)
_SMALLEST_DEVIATION = 1e-3

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Trials:
    """What each shadow head answers for every row, and which rows it was trained on: shape (heads, rows)."""

    confidences: Floats
    members: Flags

    def without(self, number: int) -> "_Trials":
        """Return all but one head."""
        others = np.arange(len(self.members)) != number
        return _Trials(self.confidences[others], self.members[others])


def audit_membership(head: HeadSession, task: Task) -> list[Measure]:
    """Return how well membership in a head's train split is inferred, with intervals and controls.

    `task` is what the head was trained on, see `trained_on`. Raises UserError when there are too few rows, or the head
    ranks documents, so that it has no loss for a single row.
    """
    names = [tensor.name for tensor in head.manifest.inputs]

    def answer(rows: Rows) -> Array:
        inputs = zip(names, task.kind.head_inputs(rows), strict=True)
        (answers,) = head.answer(**{name: values.numpy() for name, values in inputs}).values()
        return answers

    return measure_membership(task, answer)


def trained_on(warehouse: Warehouse, manifest: HeadManifest) -> Task:
    """Read what a head was trained on, with the settings that it was trained with. Raises UserError if unknown."""
    if manifest.kind == IMPORTED or manifest.snapshot_id is None:
        raise UserError(
            f"The head {manifest.head}@{manifest.version} was trained elsewhere, so its members are not known: name a "
            "head that `rawless head train` made."
        )
    described = {"head": manifest.head, "snapshot": manifest.snapshot_id, "kind": manifest.kind}
    features = [feature.name for feature in manifest.features]
    spec = head_spec({**manifest.hyperparameters, **described, "features": features})
    return open_task(warehouse, spec, find(warehouse, manifest.snapshot_id), manifest.tenants)


def measure_membership(task: Task, answer: Callable[[Rows], Array]) -> list[Measure]:
    """Return how well the members of a task's train split are told by the answers of a head, see `audit_membership`.

    The controls: `control` is what the same attacks find of this membership in heads that were trained on other halves
    of the rows, so it is the difference between both splits instead of memory; `shuffled` is what they find of a
    membership that was drawn.
    """
    if not task.kind.predicts_labels:
        raise UserError(
            f"The head {task.spec.head} is of kind {task.spec.kind}, which ranks documents and has no loss for a "
            "single row: name a head that predicts labels."
        )
    rows, members = _pool(task)
    generator = np.random.default_rng(task.spec.seed)
    audited = _same_labels(task, rows, members, generator)
    trials = _shadows(task, rows, generator)
    confidences = _confidences(task, rows, answer(rows))
    truth = members[audited]

    def scores(of: Floats, others: _Trials) -> dict[str, Floats]:
        return {LOSS: of[audited], SHADOW: _likelihood_ratios(of, others)[audited]}

    found = scores(confidences, trials)
    elsewhere = [scores(trials.confidences[n], trials.without(n)) for n in range(len(trials.members))]
    drawn = [generator.permutation(truth) for _ in range(_SHUFFLES)]
    measures = []
    for metric, of in found.items():
        low, high = _interval(of, truth, generator)
        measures.append(
            Measure(
                attack=ATTACK,
                metric=metric,
                value=true_positive_rate(of, truth),
                low=low,
                high=high,
                control=float(np.mean([true_positive_rate(other[metric], truth) for other in elsewhere])),
                prior=FALSE_POSITIVES,
                shuffled=float(np.mean([true_positive_rate(of, each) for each in drawn])),
                auxiliary_rows=len(rows),
                attacked_rows=len(audited),
            )
        )
    stronger = max(measures, key=lambda measure: (measure.value, measure.high))
    return [replace(stronger, metric=STRONGER), *measures]


def true_positive_rate(scores: Floats, members: Flags) -> float:
    """Return the share of members above the threshold that at most `FALSE_POSITIVES` of the non-members are above."""
    return float((scores[members] > _threshold(scores[~members])).mean())


def _threshold(non_members: Floats) -> float:
    allowed = int(FALSE_POSITIVES * len(non_members))
    return float(np.sort(non_members)[-1 - allowed])


def _interval(scores: Floats, members: Flags, generator: np.random.Generator) -> tuple[float, float]:
    """Return the 95% interval of the rate: Clopper and Pearson's, widened by what other non-members would change.

    The exact interval (1934) takes the threshold as given, but the threshold is drawn too, from few rows; a bootstrap
    alone would have no width where all or no members are found.
    """
    own, others = scores[members], scores[~members]
    found = int((own > _threshold(others)).sum())
    exact = binomtest(found, len(own)).proportion_ci(0.95, "exact")
    rates = [
        (generator.choice(own, len(own)) > _threshold(generator.choice(others, len(others)))).mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(rates, [0.025, 0.975])
    return min(float(exact.low), float(low)), max(float(exact.high), float(high))


def _pool(task: Task) -> tuple[Rows, Flags]:
    """Return the rows of train and test, and which are of train. Validation, which ends training, is neither."""
    train, test = (task.splits[split].rows for split in ("train", "test"))
    inputs = tuple(torch.cat(tensors) for tensors in zip(train.inputs, test.inputs, strict=True))
    rows = Rows(inputs, torch.cat([train.labels, test.labels]), [*train.ids, *test.ids])
    return rows, np.arange(len(rows)) < len(train)


def _same_labels(task: Task, rows: Rows, members: Flags, generator: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return as many members as non-members of each class, or of each tenth of the numbers. Raises UserError."""
    labels = rows.labels.numpy()
    strata = np.digitize(labels, np.quantile(labels, _DECILES)) if task.manifest.is_number else labels
    chosen = []
    for stratum in np.unique(strata):
        sides = [np.flatnonzero((strata == stratum) & side) for side in (members, ~members)]
        count = min(map(len, sides))
        chosen += [generator.permutation(side)[:count] for side in sides]
    audited = np.concatenate(chosen)
    if len(audited) < 2 * MIN_ROWS:
        raise UserError(
            f"Only {len(audited) // 2:,} test rows of {task.manifest.snapshot_id} have labels of train, but "
            f"{MIN_ROWS:,} are needed to tell members from non-members: train the head on a larger snapshot."
        )
    return audited


def _shadows(task: Task, rows: Rows, generator: np.random.Generator) -> _Trials:
    """Train heads with the task's settings on random halves of the persons; each row is in half of the heads."""
    persons = [person for split in ("train", "test") for person in task.splits[split].persons]
    _, groups = np.unique([person or f"/{rows.ids[n]}" for n, person in enumerate(persons)], return_inverse=True)
    halves = list(_halves(groups, generator))
    confidences = []
    for number, half in enumerate(halves, start=1):
        examples = replace(task.splits["train"], rows=rows.take(torch.from_numpy(np.flatnonzero(half))))
        spec = task.spec.model_copy(update={"seed": (task.spec.seed + number) % 2**32})
        shadow = replace(task, spec=spec, splits={**task.splits, "train": examples})
        head = make_head(shadow)
        fit(head, spec, examples.rows, task.splits["validation"].rows)
        confidences.append(_confidences(task, rows, predict(head, task.kind.head_inputs(rows)).numpy()))
    return _Trials(np.stack(confidences), np.stack(halves))


def _halves(groups: npt.NDArray[np.intp], generator: np.random.Generator) -> Iterator[Flags]:
    """Yield random halves of the groups, each followed by the other half."""
    count = int(groups.max()) + 1
    for _ in range(SHADOWS // 2):
        half = generator.permutation(count) < count // 2
        yield half[groups]
        yield ~half[groups]


def _confidences(task: Task, rows: Rows, answers: Array) -> Floats:
    """Return the log-odds of each row's label, which rise as its loss falls; for numbers minus the log of the error.

    The odds are of the label against the sum of all others, since one minus a probability near one is rounded away.
    """
    labels, values = rows.labels.numpy(), np.asarray(answers, np.float64)
    if task.manifest.is_number:
        return np.asarray(-np.log(np.abs(values - labels) + _TINY))
    if values.ndim == 1:  # the probability of a match
        values = np.stack([1 - values, values], axis=1)
    each = np.arange(len(labels))
    own = values[each, labels].copy()
    values = values.copy()
    values[each, labels] = 0
    return np.asarray(np.log(own + _TINY) - np.log(values.sum(1) + _TINY))


def _likelihood_ratios(confidences: Floats, trials: _Trials) -> Floats:
    """Return for each row how much likelier its confidence is among heads with the row than among those without.

    This is LiRA with one deviation for all rows, as for few shadow heads, and in and out as normal distributions.
    """
    ratios = np.zeros(len(confidences))
    for sign, members in ((1, trials.members), (-1, ~trials.members)):
        mean = np.where(members, trials.confidences, 0).sum(0) / members.sum(0)
        deviation = max(float((trials.confidences - mean)[members].std()), _SMALLEST_DEVIATION)
        ratios += sign * (-np.log(deviation) - ((confidences - mean) / deviation) ** 2 / 2)
    return ratios
