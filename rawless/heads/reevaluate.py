"""Judging a head that was written on the test split of another snapshot of the same encoder."""

from pathlib import Path

from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.heads.evaluate import judge_of
from rawless.heads.examples import Task, open_task
from rawless.heads.metrics import Measure, with_intervals
from rawless.heads.session import HeadSession, open_head
from rawless.heads.spec import HeadSpec
from rawless.warehouse.client import Warehouse


def judge_again(warehouse: Warehouse, folder: Path, snapshot: Manifest) -> tuple[Measure, ...]:
    """The measures of a head on a snapshot's test split. Raises UserError for another encoder, kind or classes."""
    return judge(warehouse, open_head(folder), snapshot)


def judge(warehouse: Warehouse, session: HeadSession, snapshot: Manifest) -> tuple[Measure, ...]:
    """The same of an open head."""
    session.check(snapshot.fingerprint)
    task = open_task(warehouse, _spec(session, snapshot), snapshot)
    _check_classes(session, task)
    rows = task.splits["test"].rows
    inputs = dict(zip((each.name for each in session.manifest.inputs), rows.inputs, strict=True))
    (answered,) = session.answer(**{name: each.numpy() for name, each in inputs.items()}).values()
    return with_intervals(judge_of(task), rows.labels.numpy(), answered, seed=0)


def _spec(session: HeadSession, snapshot: Manifest) -> HeadSpec:
    """What the snapshot is read as; of an imported head its inputs say whether it is of pairs."""
    manifest = session.manifest
    if manifest.kind == "query_transform":
        raise UserError(
            f"The head {manifest.head} is of kind {manifest.kind}, which is judged when it is trained only."
        )
    kind = manifest.kind
    if kind == "imported":
        kind = "pair" if len(manifest.inputs) > 1 else "linear"
    positive = manifest.classes[-1] if kind == "pair" and manifest.classes else None
    return HeadSpec(head=manifest.head, snapshot=snapshot.snapshot_id, kind=kind, positive=positive)


def _check_classes(session: HeadSession, task: Task) -> None:
    mine, theirs = session.manifest.classes, task.classes
    if set(mine) != set(theirs) or (session.manifest.kind != "pair" and mine != theirs):
        raise UserError(
            f"The head {session.manifest.head} tells {', '.join(mine) or 'a number'}, but the labels of "
            f"{task.manifest.snapshot_id} are {', '.join(theirs) or 'numbers'}."
        )
