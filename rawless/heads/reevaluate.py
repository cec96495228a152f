"""Evaluating a published head on the test split of another snapshot of the same space, without rows it has seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads import kinds
from rawless.heads.artefact import IMPORTED, HeadManifest
from rawless.heads.class_metrics import ClassCurve, ClassMeasures, class_curves, class_measures, confusion_matrix
from rawless.heads.examples import Task, open_task
from rawless.heads.features import check_features
from rawless.heads.fit import Rows
from rawless.heads.metrics import Array, Metric, bootstrap, class_probabilities
from rawless.heads.seen import unseen_test_rows
from rawless.heads.session import HeadSession, open_head
from rawless.heads.signature import Interface
from rawless.heads.spec import HeadSpec, head_spec
from rawless.warehouse.client import Warehouse

_OPTIONS = ("positive", "tenant")
"""The options of kinds that determine how a snapshot is read."""


class Reevaluation(NamedTuple):
    """The metrics of a head on a snapshot's test split, with the numbers of rows used, and left out as seen."""

    metrics: tuple[Metric, ...]
    rows: int
    left_out: int
    classes: Sequence[ClassMeasures] = ()
    """The measures of each class of a classifier, the worst first."""
    curves: Sequence[ClassCurve] = ()


def reevaluate_folder(warehouse: Warehouse, folder: Path, snapshot: Manifest) -> Reevaluation:
    """Return what `reevaluate` returns for the head in a folder."""
    return reevaluate(warehouse, open_head(folder), snapshot)


def reevaluate(warehouse: Warehouse, session: HeadSession, snapshot: Manifest) -> Reevaluation:
    """Return the metrics of a head on a snapshot's test split, without the rows that it was trained on.

    Raises UserError when the snapshot has another encoder, other classes or other rows than the head needs, or when too
    few rows are left.
    """
    task = task_of(warehouse, session, snapshot)
    rows = unseen_test_rows(warehouse, [session.manifest], task)
    outcomes = task.kind.outcomes(rows, answers(session, task, rows))
    measures = bootstrap(task.kind.metric(snapshot), *outcomes, seed=0)
    found = Reevaluation(measures, len(rows), len(task.splits["test"]) - len(rows))
    if not (task.kind.predicts_labels and task.classes):
        return found
    labels, probabilities = outcomes[0], class_probabilities(outcomes[1])
    confusion = confusion_matrix(labels, probabilities.argmax(1), len(task.classes))
    by_class = sorted(class_measures(task.classes, confusion), key=lambda each: each.rank)
    return found._replace(classes=by_class, curves=list(class_curves(task.classes, labels, probabilities)))


def task_of(warehouse: Warehouse, session: HeadSession, snapshot: Manifest) -> Task:
    """Read a snapshot as a head takes it. Raises UserError when encoder, features, classes or rows do not fit."""
    session.check(snapshot.fingerprint, snapshot.space)
    check_features(session.manifest.features, snapshot)
    task = open_task(warehouse, _spec(session.manifest, snapshot), snapshot, session.manifest.tenants)
    _check_classes(session.manifest, task)
    return task


def answers(session: HeadSession, task: Task, rows: Rows) -> Array:
    """Return the answers of a head for rows of a task."""
    names = (tensor.name for tensor in session.manifest.inputs)
    inputs = dict(zip(names, task.kind.head_inputs(rows), strict=True))
    (answered,) = session.answer(**{name: values.numpy() for name, values in inputs.items()}).values()
    return answered


def _spec(manifest: HeadManifest, snapshot: Manifest) -> HeadSpec:
    """Return the spec with which the snapshot is read."""
    name = _similar_kind(manifest.interface) if manifest.kind == IMPORTED else manifest.kind
    kind, names = kinds.find(name), [feature.name for feature in manifest.features]
    fields = {"head": manifest.head, "snapshot": snapshot.snapshot_id, "kind": name, "features": names}
    options = {option: manifest.hyperparameters.get(option) for option in _OPTIONS}
    return head_spec({**fields, **options, **kind.options_of(manifest.classes)})


def _similar_kind(interface: Interface) -> str:
    """Return the name of a kind with the inputs of an imported head, whose answers can be compared with labels."""
    return next(
        name for name in kinds.NAMES if (kind := kinds.find(name)).predicts_labels and kind.interface is interface
    )


def _check_classes(manifest: HeadManifest, task: Task) -> None:
    if task.kind.predicts_labels and manifest.classes != task.classes:
        raise UserError(
            f"The head {manifest.head} predicts {', '.join(manifest.classes) or 'a number'}, but the labels of "
            f"{task.manifest.snapshot_id} are {', '.join(task.manifest.classes) or 'numbers'}."
        )
