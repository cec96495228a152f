"""Comparing two heads on the same test rows, which neither was trained on: metrics, classes, and the rows that differ.

Intervals of differences are of a paired bootstrap: both heads are measured on the same resampled persons (Efron and
Tibshirani, 'An Introduction to the Bootstrap', 1993). A difference is called better or worse if its interval leaves out
0 and, where answers are right or wrong, McNemar's exact test agrees.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from rawless.datasets.snapshots import Manifest, find
from rawless.errors import UserError
from rawless.heads.artefact import HeadManifest
from rawless.heads.class_metrics import ClassMeasures, class_measures, confusion_matrix
from rawless.heads.comparison import judged_on
from rawless.heads.metrics import Array, Metric, paired_difference
from rawless.heads.paired_rows import CHANCE, FOUND, PairedRows, Side, paired_rows
from rawless.heads.reevaluate import task_of
from rawless.heads.session import HeadSession
from rawless.warehouse.client import Warehouse

_NAMES_SHOWN = 5


class Difference(NamedTuple):
    """A metric of both heads."""

    name: str
    first: float
    second: float
    difference: Metric
    """The second head's value minus that of the first, with the paired interval."""


class ClassDifference(NamedTuple):
    """The measures of a class by both heads."""

    name: str
    first: ClassMeasures
    second: ClassMeasures
    f1: Metric
    """F1 of the second head minus that of the first, with the paired interval."""


class ChangedRow(NamedTuple):
    """A row that the heads answer differently, by the id of its event."""

    event_id: str
    label: str
    first: str
    second: str
    change: Literal["fixed", "broken", "still wrong"]
    """Whether only the second head is right, only the first, or neither."""


@dataclass(frozen=True)
class HeadComparison:
    """How a second head differs from a first one."""

    first: str
    second: str
    snapshots: Sequence[str]
    """The ids of the snapshots whose test rows were compared: one, or one for each head."""
    rows: int
    seen: int
    """Test rows that were left out because one of the heads was trained on their event or person."""
    unmatched: int
    """Test rows that were left out because they are not in both snapshots, or with other labels."""
    differences: Sequence[Difference]
    """The metrics, the main one first."""
    classes: Sequence[ClassDifference]
    """The classes of classifiers, those with the largest loss of F1 first."""
    changed: Sequence[ChangedRow] | None
    """The rows that are answered differently: fixed, then broken ones; None for heads that predict numbers."""
    p_value: float | None
    """McNemar's exact test of the rows that only one head has right; None where there is none."""

    @property
    def main(self) -> Difference:
        """The difference that heads are compared by: of accuracy, r2 or recall@10."""
        return self.differences[0]

    def count(self, change: str) -> int:
        """Return how many rows changed in this way."""
        return sum(each.change == change for each in self.changed or ())

    @property
    def verdict(self) -> str:
        """Whether the second head is better or worse, as a sentence."""
        main, snapshots = self.main, " and ".join(self.snapshots)
        tested = "" if self.p_value is None else f"; p = {self.p_value:.2g} by McNemar's exact test"
        numbers = (
            f"{main.second:.3f} instead of {main.first:.3f} on {self.rows:,} test rows of {snapshots} (difference "
            f"{main.difference.signed}{tested})"
        )
        name = main.name.replace("_", " ")
        may_be_chance = self.p_value is not None and self.p_value >= CHANCE
        if main.difference.low > 0 and not may_be_chance:
            return f"{self.second} is better than {self.first}: its {name} is {numbers}."
        if main.difference.high < 0 and not may_be_chance:
            return f"{self.second} is worse than {self.first}: its {name} is {numbers}."
        return f"{self.second} is neither better nor worse than {self.first} beyond chance: its {name} is {numbers}."


def compare_heads(
    warehouse: Warehouse, first: HeadSession, second: HeadSession, snapshot: Manifest | None = None
) -> HeadComparison:
    """Compare two heads on the test rows of a snapshot, by default of that of the second head.

    A head of another encoder is judged on its own snapshot, and compared are the events that are in both. Raises
    UserError when the heads answer different questions, or there are too few rows that neither was trained on.
    """
    check_comparable(first.manifest, second.manifest)
    sides = tuple(
        Side(session, task_of(warehouse, session, found))
        for session, found in zip((first, second), _snapshots(warehouse, first, second, snapshot), strict=True)
    )
    return compared(paired_rows(warehouse, sides[0], sides[1]))


def check_comparable(first: HeadManifest, second: HeadManifest) -> None:
    """Raise UserError unless two heads answer the same question: the same classes, a number, or a search."""
    names = [f"{each.head}@{each.version}" for each in (first, second)]
    if names[0] == names[1]:
        raise UserError(f"{names[0]} cannot be compared with itself: name two heads, or two versions of one.")
    outputs = [[tensor.name for tensor in each.outputs] for each in (first, second)]
    if outputs[0] != outputs[1]:
        raise UserError(
            f"{names[0]} returns {', '.join(outputs[0])} and {names[1]} {', '.join(outputs[1])}: only heads that "
            "answer the same question can be compared."
        )
    only = [sorted({*one.classes} - {*other.classes}) for one, other in ((first, second), (second, first))]
    if any(only):
        said = [f"only {name} predicts {_listed(each)}" for name, each in zip(names, only, strict=True) if each]
        raise UserError(
            f"{names[0]} and {names[1]} have different classes: {', and '.join(said)}. Only heads of the same classes "
            "can be compared."
        )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _snapshots(
    warehouse: Warehouse, first: HeadSession, second: HeadSession, snapshot: Manifest | None
) -> tuple[Manifest, Manifest]:
    """Return the snapshot that each head is judged on: the same one unless their encoders differ."""
    if first.manifest.space == second.manifest.space:
        shared = snapshot or _own(warehouse, second.manifest) or _own(warehouse, first.manifest)
        if shared is None:
            raise UserError("Neither head names a snapshot that it can be judged on: name one by --snapshot.")
        return shared, shared
    chosen = []
    for head in (first.manifest, second.manifest):
        own = snapshot if snapshot and snapshot.space == head.space else _own(warehouse, head)
        if own is None:
            raise UserError(
                f"{head.head}@{head.version} names no snapshot with vectors of its encoder {head.encoder_ref}, on "
                "which it could be judged: name one by --snapshot."
            )
        chosen.append(own)
    if snapshot and snapshot not in chosen:
        raise UserError(
            f"{snapshot.snapshot_id} has vectors of another encoder than {first.manifest.encoder_ref} and "
            f"{second.manifest.encoder_ref}, which the heads take: name a snapshot of one of these."
        )
    return chosen[0], chosen[1]


def _own(warehouse: Warehouse, head: HeadManifest) -> Manifest | None:
    reference = judged_on(head)
    return find(warehouse, reference) if reference else None


def compared(pair: PairedRows) -> HeadComparison:
    """Return the comparison of two heads on paired rows."""
    task, (first, second) = pair.sides[0].task, pair.outcomes()
    kind = task.kind
    persons, metric = pair.judged_persons, kind.metric(task.manifest)
    values = [dict(metric(*outcomes)) for outcomes in (first, second)]
    found = paired_difference(metric, first, second, seed=0, persons=persons)
    (main,) = kind.main_metric(task.manifest)(*first)
    differences = [Difference(each.name, values[0][each.name], values[1][each.name], each) for each in found]
    changed = None if task.manifest.is_number else _changed(pair, first, second)
    return HeadComparison(
        first=pair.sides[0].name,
        second=pair.sides[1].name,
        snapshots=list(dict.fromkeys(side.task.manifest.snapshot_id for side in pair.sides)),
        rows=len(pair),
        seen=pair.seen,
        unmatched=pair.unmatched,
        differences=sorted(differences, key=lambda each: each.name != main),
        classes=_class_differences(task.classes, first, second, persons) if kind.predicts_labels else [],
        changed=changed,
        p_value=pair.p_value(first, second),
    )


def _class_differences(
    classes: Sequence[str], first: Sequence[Array], second: Sequence[Array], persons: Sequence[str | None]
) -> list[ClassDifference]:
    if not classes:
        return []
    labels, count = first[0], len(classes)
    predicted = [probabilities.argmax(1) for _, probabilities in (first, second)]

    def f1(labels: Array, predicted: Array) -> Mapping[str, float]:
        confusion = confusion_matrix(labels, predicted, count)
        both = confusion.sum(0) + confusion.sum(1)
        with np.errstate(invalid="ignore"):
            return dict(zip(classes, (2 * np.diag(confusion) / both).tolist(), strict=True))

    found = paired_difference(f1, (labels, predicted[0]), (labels, predicted[1]), seed=0, persons=persons)
    measures = (class_measures(classes, confusion_matrix(labels, each, count)) for each in predicted)
    rows = [
        ClassDifference(name, before, after, difference)
        for name, difference, before, after in zip(classes, found, *measures, strict=True)
    ]
    return sorted(rows, key=lambda each: (np.isnan(each.f1.value), each.f1.value, each.name))


def _changed(pair: PairedRows, first: Sequence[Array], second: Sequence[Array]) -> list[ChangedRow]:
    rows = pair.rows[0]
    answered = _ranked(rows.labels.numpy() == 1, rows.ids, first[0], second[0])
    if pair.sides[0].task.kind.predicts_labels:
        answered = _classified(pair.sides[0].task.classes, rows.ids, first, second)
    return sorted(answered, key=lambda each: (each.change != "fixed", each.change != "broken", each.event_id))


def _classified(
    classes: Sequence[str], ids: Sequence[str], first: Sequence[Array], second: Sequence[Array]
) -> Iterator[ChangedRow]:
    labels, before, after = first[0], first[1].argmax(1), second[1].argmax(1)
    for n in np.flatnonzero(before != after).tolist():
        label, one, other = (classes[values[n]] for values in (labels, before, after))
        yield ChangedRow(ids[n], label, one, other, _change(one == label, other == label))


def _ranked(matching: Array, ids: Sequence[str], before: Array, after: Array) -> Iterator[ChangedRow]:
    """Yield the queries whose document has another rank, which is counted from 1; `ids` are of all rows."""
    queries = [row_id for row_id, matches in zip(ids, matching, strict=True) if matches]
    for row_id, one, other in zip(queries, before.tolist(), after.tolist(), strict=True):
        if one != other and not (one < FOUND and other < FOUND):
            change = _change(one < FOUND, other < FOUND)
            yield ChangedRow(row_id, "", f"rank {one + 1}", f"rank {other + 1}", change)


def _change(was_right: bool, is_right: bool) -> Literal["fixed", "broken", "still wrong"]:
    return "fixed" if is_right else "broken" if was_right else "still wrong"
