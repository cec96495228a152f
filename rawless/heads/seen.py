"""Finding the rows of a snapshot that a head has seen, since they would make it look better than it is."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import torch

from rawless.datasets import snapshot_tables
from rawless.datasets.snapshots import Manifest, find
from rawless.errors import UserError
from rawless.heads.artefact import HeadManifest
from rawless.heads.examples import Examples, Task
from rawless.heads.fit import Rows
from rawless.heads.metrics import Array
from rawless.heads.readers import events_of
from rawless.warehouse.client import Warehouse
from rawless.warehouse.read import read

MIN_ROWS = 10
"""Rows without which a test split is too small; one for each class where there are more classes."""
_COLUMNS = ("event_id", "left_event_id", "right_event_id", "person_key")


def unseen_test_rows(warehouse: Warehouse, heads: Iterable[HeadManifest], task: Task) -> Rows:
    """Return the rows of a task's test split whose events and persons no head was trained or validated on.

    A head has not seen the test split of its own snapshot. Of a head without a snapshot nothing is known, so it keeps
    all rows. Raises UserError when too few rows are left, or the rows that a head was trained on are gone.
    """
    test, kept = task.splits["test"], unseen(warehouse, heads, task)
    needed = max(MIN_ROWS, len(task.classes))
    if not kept.all() and kept.sum() < needed:
        raise UserError(
            f"Only {kept.sum():,} of the {len(test):,} test rows of {task.manifest.snapshot_id} are of events and "
            f"persons that the head was not trained on, but {needed:,} are needed: build a snapshot with the salt and "
            "the split of the one that it was trained on, or of newer events."
        )
    return test.rows.take(torch.from_numpy(np.flatnonzero(kept)))


def unseen(warehouse: Warehouse, heads: Iterable[HeadManifest], task: Task) -> Array:
    """Return for each row of a task's test split whether it is of events and persons that no head was trained on."""
    test = task.splits["test"]
    kept = np.ones(len(test), bool)
    for head in heads:
        if head.snapshot_id not in (None, task.manifest.snapshot_id):
            kept &= _unseen(warehouse, head, task.manifest, test)
    return kept


def _unseen(warehouse: Warehouse, head: HeadManifest, snapshot: Manifest, test: Examples) -> Array:
    trained_on = find(warehouse, str(head.snapshot_id))
    table = snapshot_tables.table_id(warehouse, trained_on.snapshot_id)
    try:
        parts = list(read(warehouse, table, _COLUMNS, "split IN ('train', 'validation')"))
    except UserError:
        parts = []
    if not sum(map(len, parts)):
        raise UserError(
            f"The rows of {trained_on.snapshot_id}, which {head.head}@{head.version} was trained on, are gone, so it "
            f"is not known which rows of {snapshot.snapshot_id} it has seen: build its snapshot again."
        )
    seen = pa.Table.from_batches(parts)
    persons = set(seen["person_key"].to_pylist()) - {None}
    events = (
        {event for row in events_of(seen) for event in row} if stream_of(trained_on) == stream_of(snapshot) else set()
    )
    return np.array(
        [
            person not in persons and events.isdisjoint(row)
            for person, row in zip(test.persons, test.events, strict=True)
        ]
    )


def stream_of(snapshot: Manifest) -> object:
    """Return the stream of a snapshot, within which an event id is unique."""
    return snapshot.spec["spec"]["stream"]
