"""Evaluating a published head on the test split of another snapshot of the same encoder."""

from pathlib import Path

from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads import kinds
from rawless.heads.artefact import IMPORTED, HeadManifest
from rawless.heads.examples import Task, open_task
from rawless.heads.metrics import Metric, bootstrap
from rawless.heads.session import HeadSession, open_head
from rawless.heads.signature import Interface
from rawless.heads.spec import HeadSpec, head_spec
from rawless.warehouse.client import Warehouse


def reevaluate_folder(warehouse: Warehouse, folder: Path, snapshot: Manifest) -> tuple[Metric, ...]:
    """Return what `reevaluate` returns for the head in a folder."""
    return reevaluate(warehouse, open_head(folder), snapshot)


def reevaluate(warehouse: Warehouse, session: HeadSession, snapshot: Manifest) -> tuple[Metric, ...]:
    """Return the metrics of a head on a snapshot's test split.

    Raises UserError when the snapshot has another encoder, other classes or other rows than the head needs.
    """
    session.check(snapshot.fingerprint)
    task = open_task(warehouse, _spec(session.manifest, snapshot), snapshot)
    _check_classes(session.manifest, task)
    rows = task.splits["test"].rows
    inputs = dict(zip((tensor.name for tensor in session.manifest.inputs), task.kind.head_inputs(rows), strict=True))
    (answers,) = session.answer(**{name: values.numpy() for name, values in inputs.items()}).values()
    return bootstrap(task.kind.metric(snapshot), *task.kind.outcomes(rows, answers), seed=0)


def _spec(manifest: HeadManifest, snapshot: Manifest) -> HeadSpec:
    """Return the spec with which the snapshot is read."""
    name = _similar_kind(manifest.interface) if manifest.kind == IMPORTED else manifest.kind
    kind = kinds.find(name)
    if not kind.predicts_labels:
        raise UserError(f"The head {manifest.head} is of kind {name}, which can be evaluated only when it is trained.")
    fields = {"head": manifest.head, "snapshot": snapshot.snapshot_id, "kind": name}
    return head_spec({**fields, **kind.options_of(manifest.classes)})


def _similar_kind(interface: Interface) -> str:
    """Return the name of a kind with the inputs of an imported head, whose answers can be compared with labels."""
    return next(
        name for name in kinds.NAMES if (kind := kinds.find(name)).predicts_labels and kind.interface is interface
    )


def _check_classes(manifest: HeadManifest, task: Task) -> None:
    if manifest.classes != task.classes:
        raise UserError(
            f"The head {manifest.head} predicts {', '.join(manifest.classes) or 'a number'}, but the labels of "
            f"{task.manifest.snapshot_id} are {', '.join(task.manifest.classes) or 'numbers'}."
        )
