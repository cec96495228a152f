"""What was erased from snapshots: how many rows, and the digest over those that remain."""

from datetime import datetime
from typing import NamedTuple

from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

_ERASURES = FOLDER / "snapshot_erasure_v1" / "erasures.sql"


class SnapshotErasure(NamedTuple):
    """One erasure of rows of a snapshot."""

    snapshot_id: str
    certificate_id: str
    row_count: int
    row_digest: str | None
    """The digest over the rows that remain; None if those before were not the manifest's."""
    erased_at: datetime


def list_erasures(warehouse: Warehouse, snapshot_id: str | None = None) -> list[SnapshotErasure]:
    """Return all erasures from snapshots, or those from one of them, oldest first."""
    rows = warehouse.query(warehouse.render(_ERASURES), parameters({"snapshot_id": snapshot_id}))
    return [SnapshotErasure(**row) for row in rows]


def erased_rows(erasures: list[SnapshotErasure]) -> int:
    """Return how many rows some erasures removed together."""
    return sum(erasure.row_count for erasure in erasures)


def describe(erasures: list[SnapshotErasure]) -> str:
    """Return a sentence about what was erased from a snapshot. There must be an erasure."""
    certificates = ", ".join(dict.fromkeys(erasure.certificate_id for erasure in erasures))
    rows = erased_rows(erasures)
    return f"minus {rows:,} erased row{'s' if rows != 1 else ''} (certificate {certificates})"
