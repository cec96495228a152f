"""Build a snapshot from the one before: its table is copied for nothing, and only vectors of new rows are read.

A table cannot lose or change rows without being billed for its vectors, so this is done only where every row of the
earlier snapshot is in the new one, unchanged. The examples are always selected and marked in full.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from google.api_core.exceptions import GoogleAPIError

from rawless.datasets import snapshot_tables
from rawless.datasets.compile import CompiledDataset, Span, Statement
from rawless.datasets.identity import NOT_PART_OF_IDENTITY, sql_digest
from rawless.datasets.snapshots import Manifest
from rawless.warehouse.client import unavailable

_RECORDED = {"encoder_space", "adapted"}
"""What a manifest records beside the dataset."""


class Growth(NamedTuple):
    """How the remaining examples differ from the rows of an earlier snapshot."""

    unchanged: int
    gone: int
    """Rows that are no longer in the dataset, or have another label, split, person, time or delivery."""
    added: int
    first_at: datetime | None
    last_at: datetime | None


def find_parent(compiled: CompiledDataset, manifests: Iterable[Manifest], fingerprint: str) -> Manifest | None:
    """Return the latest of some snapshots that is of the same dataset as of an earlier time and can be extended."""
    spec = compiled.spec
    if spec.label.kind != "event" or spec.features or spec.split.near_duplicates:
        return None
    same = (
        manifest
        for manifest in manifests
        if manifest.as_of <= spec.as_of
        and (manifest.fingerprint, manifest.sql_digest) == (fingerprint, sql_digest(adapted=spec.adapted is not None))
        and _without_time(manifest.spec) == _without_time(compiled.stored.model_dump(mode="json"))
    )
    return max(same, key=lambda manifest: manifest.as_of, default=None)


def _without_time(stored: object) -> object:
    """Return a stored dataset without its as-of and what changes no row."""
    if not isinstance(stored, dict):
        return None
    left_out = NOT_PART_OF_IDENTITY | {"as_of"}
    spec = {name: value for name, value in stored["spec"].items() if name not in left_out}
    return {name: value for name, value in stored.items() if name not in _RECORDED} | {"spec": spec}


def compare(compiled: CompiledDataset, parent: Manifest) -> Growth:
    """Return how the remaining examples differ from the rows of a snapshot, which reads no vector."""
    values = compiled.split_parameters
    (row,) = compiled.warehouse.query(compiled.render("growth", parent=_table(compiled, parent)), values)
    return Growth(**row)


def copy(compiled: CompiledDataset, parent: Manifest) -> None:
    """Copy the table of a snapshot, which is free. Raises Unavailable when BigQuery does not answer."""
    warehouse = compiled.warehouse
    try:
        job = warehouse.client.copy_table(_table(compiled, parent), compiled.snapshot_table, retry=warehouse.retry)
        job.result(retry=warehouse.retry)
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None


def added(
    compiled: CompiledDataset, parent: Manifest, growth: Growth, *, is_tied: bool, fingerprint: str
) -> Statement | None:
    """Return the statement that selects the rows that a snapshot does not have, None if there are none."""
    if growth.first_at is None or growth.last_at is None:
        return None
    span = Span(growth.added, growth.first_at, growth.last_at, is_tied)
    return compiled.snapshot(span, fingerprint, without=_table(compiled, parent))


def describe(parent: Manifest, growth: Growth) -> str:
    """Return a sentence about what was read."""
    if changed := parent.rows - growth.unchanged:
        return (
            f"All vectors were read, because {changed:,} rows of the snapshot {parent.snapshot_id} have changed or are "
            "no longer in the dataset."
        )
    days = "no vectors were read"
    if growth.first_at and growth.last_at:
        days = f"vectors were read of {growth.first_at:%Y-%m-%d} to {growth.last_at:%Y-%m-%d} only"
    copied = f"{growth.unchanged:,} rows were copied from the snapshot {parent.snapshot_id}"
    return f"{copied}, and {days}, for {growth.added:,} new rows."


def _table(compiled: CompiledDataset, parent: Manifest) -> str:
    return snapshot_tables.table_id(compiled.warehouse, parent.snapshot_id)
