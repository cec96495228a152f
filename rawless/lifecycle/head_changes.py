"""What another encoder does to the heads of an encoder, measured on events that have vectors of both.

Each head is measured on the test rows of its own snapshot: as it is, on the vectors that it was trained for; unchanged,
on those of the other encoder; and trained again on those. Differences are paired: both sides are of the same rows.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from encoders.spec import EncoderSpec, Vector
from rawless.datasets import snapshots
from rawless.datasets.spec import SPLITS, Split
from rawless.errors import UserError
from rawless.heads import registry
from rawless.heads.examples import Task
from rawless.heads.fit import predict
from rawless.heads.metrics import Array, Metric, bootstrap, paired_difference
from rawless.heads.publish import folder_of, spec_of
from rawless.heads.reevaluate import answers, task_of
from rawless.heads.registry import RegisteredHead
from rawless.heads.seen import MIN_ROWS
from rawless.heads.session import HeadSession, open_head
from rawless.heads.training import MIN_CLASS_ROWS, fitted
from rawless.lifecycle.paired_vectors import vectors_of
from rawless.warehouse.client import Warehouse

VectorsOf = Callable[[str, Sequence[str]], Mapping[str, Vector]]
"""From a stream and event ids to the vectors of those of the events that have one."""


@dataclass(frozen=True)
class HeadChange:
    """What the other encoder does to one head. A metric is None where it could not be measured, and `reasons` say why.

    All are of the head's main metric.
    """

    head: str
    """NAME@VERSION."""
    kind: str
    snapshot_id: str | None
    rows: Mapping[Split, int] = field(default_factory=dict)
    """The rows of the head's snapshot that have vectors of both encoders."""
    of_rows: Mapping[Split, int] = field(default_factory=dict)
    """All rows of the snapshot."""
    needed: Mapping[Split, int] = field(default_factory=dict)
    """How many rows with both vectors are needed."""
    native: Metric | None = None
    """The head on the vectors that it was trained for."""
    unchanged: Metric | None = None
    """The same head on the vectors of the other encoder."""
    unchanged_difference: Metric | None = None
    """`unchanged` less `native`."""
    refitted: Metric | None = None
    """A head of the same spec, trained on the vectors of the other encoder."""
    refitted_native: Metric | None = None
    """A head of the same spec, trained on the same rows with the vectors of the first encoder."""
    refitted_difference: Metric | None = None
    """`refitted` less `refitted_native`, so that fewer rows than the head was trained on do not count."""
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0

    def holds(self, margin: float) -> bool:
        """Return whether the head, unchanged, loses less than the margin, with the certainty of the interval."""
        return self.unchanged_difference is not None and self.unchanged_difference.low >= -margin


def head_changes(
    warehouse: Warehouse,
    heads: Path,
    first: EncoderSpec,
    second: EncoderSpec,
    vectors: VectorsOf | None = None,
    *,
    refit: bool = True,
    report_progress: Callable[[str], None] = lambda _: None,
) -> list[HeadChange]:
    """Return what `second` does to each registered head of `first`, the newest head first; none is left out.

    `heads` is the folder with the heads of this machine. `vectors` returns those of the second encoder, by default from
    the warehouse. Without `refit` no head is trained again.
    """
    read = vectors or (lambda stream, event_ids: vectors_of(warehouse, stream, second, event_ids))
    changes = []
    for head in registry.heads(warehouse, fingerprint=first.fingerprint):
        report_progress(f"{head.head}@{head.version}")
        started = time.monotonic()
        change = _measured(warehouse, heads, head, second, read, refit)
        changes.append(replace(change, seconds=time.monotonic() - started))
    return changes


def _measured(
    warehouse: Warehouse, heads: Path, head: RegisteredHead, second: EncoderSpec, read: VectorsOf, refit: bool
) -> HeadChange:
    change = HeadChange(f"{head.head}@{head.version}", head.kind, head.snapshot_id)
    try:
        session = open_head(folder_of(head, heads))
        reference = head.snapshot_id or session.manifest.hyperparameters.get("judged_on")
        if reference is None:
            return replace(change, reasons=("It names no snapshot to be judged on.",))
        task = task_of(warehouse, session, snapshots.find(warehouse, reference))
    except UserError as error:
        return replace(change, reasons=(str(error),))
    stream = str(task.manifest.spec["spec"]["stream"])
    ids = {each for part in task.splits.values() for events in part.events for each in events}
    one, other = _of_both(task, read(stream, sorted(ids)))
    rows, of_rows = ({split: len(each.splits[split]) for split in SPLITS} for each in (one, task))
    needed = _needed(task)
    change = replace(change, snapshot_id=task.manifest.snapshot_id, rows=rows, of_rows=of_rows, needed=needed)
    if rows["test"] < needed["test"]:
        return replace(change, reasons=(_too_few(change, ("test",)),))
    return _with_metrics(change, session, one, other, second, refit)


def _needed(task: Task) -> dict[Split, int]:
    """Return how many rows are enough: for training half of the head's own, or as many as classes should have."""
    own = {split: len(task.splits[split]) for split in SPLITS}
    return {
        "train": min(math.ceil(own["train"] / 2), MIN_CLASS_ROWS * max(len(task.classes), 2)),
        "validation": min(own["validation"], MIN_ROWS),
        "test": max(min(own["test"], max(MIN_ROWS, len(task.classes))), 1),
    }


def _too_few(change: HeadChange, splits: Sequence[Split]) -> str:
    rows = "; ".join(f"{change.rows[each]:,} in {each}, where {change.needed[each]:,} are needed" for each in splits)
    return f"Too few rows of {change.snapshot_id} have vectors of both encoders: {rows}. Log both for longer."


def _of_both(task: Task, vectors: Mapping[str, Vector]) -> tuple[Task, Task]:
    """Return the task over the rows whose events have the other vectors, too, with either vectors."""
    return task.restricted_to(vectors), task.with_vectors(vectors)


def _with_metrics(
    change: HeadChange, session: HeadSession, one: Task, other: Task, second: EncoderSpec, refit: bool
) -> HeadChange:
    judge = _Judge(one)
    native = judge.outcomes(one, answers(session, one, one.splits["test"].rows))
    found: dict[str, Any] = {"native": judge.measure(native)}
    reasons = []
    if one.dimension == other.dimension:
        unchanged = judge.outcomes(other, answers(session, other, other.splits["test"].rows))
        found["unchanged"] = judge.measure(unchanged)
        found["unchanged_difference"] = judge.difference(native, unchanged)
    else:
        reasons.append(
            f"Unchanged it cannot take vectors of {second.ref}: they have {other.dimension:,} components, not "
            f"{one.dimension:,}."
        )
    few: list[Split] = [each for each in ("train", "validation") if change.rows[each] < change.needed[each]]
    try:
        spec = spec_of(session.manifest)
    except UserError as error:
        return replace(change, **found, reasons=(*reasons, str(error)))
    if few:
        reasons.append(_too_few(change, few))
    elif refit:
        one, other = (replace(task, spec=spec) for task in (one, other))
        is_smaller = any(change.rows[each] < change.of_rows[each] for each in ("train", "validation"))
        again = judge.outcomes(one, _trained_answers(one)) if is_smaller else native
        refitted = judge.outcomes(other, _trained_answers(other))
        found["refitted"], found["refitted_native"] = judge.measure(refitted), judge.measure(again)
        found["refitted_difference"] = judge.difference(again, refitted)
    return replace(change, **found, reasons=tuple(reasons))


def _trained_answers(task: Task) -> Array:
    """Train a head of the task's spec, and return its answers for test."""
    head, _ = fitted(task)
    return predict(head, task.kind.head_inputs(task.splits["test"].rows)).numpy()


class _Judge:
    """Measures answers for the test split by the main metric, with intervals over persons."""

    def __init__(self, task: Task) -> None:
        self._metric, test = task.kind.main_metric(task.manifest), task.splits["test"]
        # A ranking has an outcome for each matching pair.
        judged = range(len(test)) if task.kind.predicts_labels else np.flatnonzero(test.rows.labels.numpy()).tolist()
        self._persons = [test.persons[row] for row in judged]
        self._seed = task.spec.seed

    def outcomes(self, task: Task, answered: Array) -> tuple[Array, ...]:
        """Return what metrics take."""
        return task.kind.outcomes(task.splits["test"].rows, answered)

    def measure(self, outcomes: Sequence[Array]) -> Metric:
        """Return the metric."""
        (metric,) = bootstrap(self._metric, *outcomes, seed=self._seed, persons=self._persons)
        return metric

    def difference(self, before: Sequence[Array], after: Sequence[Array]) -> Metric:
        """Return by how much it is higher afterwards."""
        (metric,) = paired_difference(self._metric, before, after, self._seed, self._persons)
        return metric
