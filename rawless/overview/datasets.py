"""The datasets of a warehouse and their snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from rawless.datasets.spec import SPLITS
from rawless.overview.encoders import encoder_names, name_of
from rawless.warehouse.client import Warehouse
from rawless.warehouse.tables import FOLDER

_SNAPSHOTS = FOLDER / "overview" / "snapshots.sql"


@dataclass(frozen=True)
class SnapshotSummary:
    """A finished snapshot, with the numbers of rows that it was built with."""

    snapshot_id: str
    stream: str
    encoder: str
    """NAME@VERSION, or the beginning of the fingerprint if the name is not known."""
    encoder_fingerprint: str
    as_of: datetime
    created_at: datetime
    asked_at: datetime
    """When a build asked for it last; the name of the dataset means the snapshot that was asked for last."""
    rows_by_split: Mapping[str, int]
    rows_by_label: Mapping[str, int]
    sources: tuple[str, ...]
    """The tables that the build read, by name."""
    removed: int
    """Rows that the rules of the ledger removed."""

    @property
    def rows(self) -> int:
        """The number of rows in all splits."""
        return sum(self.rows_by_split.values())


@dataclass(frozen=True)
class DatasetSummary:
    """A dataset that has snapshots."""

    dataset: str
    snapshots: tuple[SnapshotSummary, ...]
    """The one that the dataset's name means first."""

    @property
    def current(self) -> SnapshotSummary:
        """The snapshot that the dataset's name means."""
        return self.snapshots[0]


def datasets(warehouse: Warehouse) -> tuple[DatasetSummary, ...]:
    """Return the datasets by name.

    Raises UserError for an account that may not read them, Unavailable when the warehouse does not answer.
    """
    rows = warehouse.query(warehouse.render(_SNAPSHOTS))
    names = encoder_names(warehouse) if rows else {}
    return tuple(
        DatasetSummary(dataset, tuple(_snapshot(row, names) for row in of_dataset))
        for dataset, of_dataset in groupby(rows, lambda row: str(row["dataset"]))
    )


def _snapshot(row: Mapping[str, Any], names: Mapping[str, str]) -> SnapshotSummary:
    by_split: dict[str, int] = dict.fromkeys(SPLITS, 0)
    by_label: dict[str, int] = {}
    for count in row["counts"]:
        by_split[count["split"]] = by_split.get(count["split"], 0) + count["row_count"]
        by_label[count["label"]] = by_label.get(count["label"], 0) + count["row_count"]
    fingerprint = row["encoder_fingerprint"]
    return SnapshotSummary(
        snapshot_id=row["snapshot_id"],
        stream=row["stream"] or "",
        encoder=name_of(fingerprint, {fingerprint: row["encoder"]} | dict(names) if row["encoder"] else names),
        encoder_fingerprint=fingerprint,
        as_of=row["as_of"],
        created_at=row["created_at"],
        asked_at=row["asked_at"],
        rows_by_split=by_split,
        rows_by_label=by_label,
        sources=tuple(row["sources"]),
        removed=row["removed"] or 0,
    )
