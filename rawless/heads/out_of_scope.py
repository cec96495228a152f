"""Evaluating how well the domain of a head separates its test split from rows that the head should abstain from."""

from dataclasses import replace

import numpy as np

from rawless.datasets.snapshots import Manifest, find
from rawless.errors import UserError
from rawless.heads.evaluation import OutOfScope
from rawless.heads.examples import Task
from rawless.heads.features import check_features
from rawless.heads.metrics import Array, bootstrap, separation
from rawless.heads.publish import graphs_of, manifest_of
from rawless.heads.readers import feature_matrix, rows_of, vectors_of
from rawless.heads.reevaluate import task_of
from rawless.heads.session import HeadSession
from rawless.heads.training import TrainedHead
from rawless.warehouse.client import Warehouse


def evaluate_out_of_scope(warehouse: Warehouse, session: HeadSession, snapshot: Manifest) -> OutOfScope:
    """Return how the domain of a published head separates its test split from all rows of a snapshot.

    Raises UserError when the head has no domain, the rows that it was tested on are gone, or the snapshot does not fit.
    """
    head = session.manifest
    if head.domain is None or head.snapshot_id is None:
        raise UserError(f"The head {head.head}@{head.version} has no domain: train it again.")
    return _separate(warehouse, session, task_of(warehouse, session, find(warehouse, head.snapshot_id)), snapshot)


def with_out_of_scope(warehouse: Warehouse, trained: TrainedHead, snapshot: Manifest) -> TrainedHead:
    """Return a trained head with that added to its evaluation, if it has a domain. Raises UserError."""
    if trained.domain is None:
        return trained
    graph, domain = graphs_of(trained)
    session = HeadSession(manifest_of(trained).sealed(graph, domain), graph, domain)
    separated = _separate(warehouse, session, trained.task, snapshot)
    return replace(trained, evaluation=trained.evaluation.model_copy(update={"out_of_scope": separated}))


def check_out_of_scope(task: Task, snapshot: Manifest) -> None:
    """Raise UserError unless a snapshot is another one than that of a task, of single events with the same encoder.

    It also needs the features of the task, which the confidence of the head depends on.
    """
    if snapshot.snapshot_id == task.manifest.snapshot_id:
        raise UserError(
            f"The head was trained on {snapshot.snapshot_id}, so its rows are in scope: name a snapshot of rows that "
            "the head should abstain from."
        )
    if snapshot.space != task.manifest.space or snapshot.is_pairs:
        raise UserError(
            f"The snapshot {snapshot.snapshot_id} cannot be out of scope for {task.manifest.snapshot_id}, since its "
            "rows are pairs or of another encoder: build it from single events with the same encoder."
        )
    check_features(task.features, snapshot)


def _separate(warehouse: Warehouse, session: HeadSession, task: Task, snapshot: Manifest) -> OutOfScope:
    check_out_of_scope(task, snapshot)
    test = [values.numpy() for values in task.splits["test"].rows.inputs]
    rows = rows_of(warehouse, snapshot)
    if not len(rows):
        raise UserError(f"The snapshot {snapshot.snapshot_id} has no rows: build it again.")
    others = vectors_of(snapshot, rows)
    if task.features:
        others.append(feature_matrix(snapshot, rows, task.features))
    inputs = [np.concatenate(parts) for parts in zip(test, others, strict=True)]
    is_out_of_scope = np.arange(len(inputs[0])) >= len(test[0])
    measures = bootstrap(separation, is_out_of_scope, *_answers(session, *inputs), seed=0)
    return OutOfScope(snapshot.snapshot_id, len(rows), len(test[0]), measures)


def _answers(session: HeadSession, vectors: Array, *features: Array) -> tuple[Array, Array, Array]:
    """Return which rows are out of domain, their distances, and the confidence of a head with a domain."""
    distances, are_in_domain = session.distances(vectors), session.are_in_domain(vectors)
    names = session.manifest.interface.value
    (probabilities,) = session.answer(**dict(zip(names, (vectors, *features), strict=True))).values()
    return ~np.asarray(are_in_domain), np.asarray(distances), probabilities.max(1)
