"""Search a snapshot for the rows whose vectors are nearest to the vector of one of its rows."""

from typing import NamedTuple

from rawless.datasets import snapshot_tables
from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import SPLITS, Split
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

MAX_TOP = 1000
_PRESENT = FOLDER / "snapshot_v1" / "present.sql"
_EXACT = FOLDER / "snapshot_v1" / "nearest_exact.sql"
_VECTOR_SEARCH = FOLDER / "snapshot_v1" / "nearest_vector.sql"


class Neighbour(NamedTuple):
    """A row near the requested one."""

    event_id: str
    label: str | None
    label_value: float | None
    split: Split
    cosine: float


def nearest(
    warehouse: Warehouse, manifest: Manifest, event_id: str, top: int, split: Split | None = None
) -> list[Neighbour]:
    """Return the `top` rows with the highest cosine to an event's row, the nearest first; of one split or of all.

    Distances are exact: computed by BigQuery's VECTOR_SEARCH, or by plain SQL on the local BigQuery, which lacks it.
    Raises UserError for a snapshot of pairs, for an event that is not in it, and for a `top` outside 1 to 1000.
    """
    if not 1 <= top <= MAX_TOP:
        raise UserError(f"The number of neighbours is {top}, but must be from 1 to {MAX_TOP:,}.")
    if manifest.is_pairs:
        raise UserError(f"The snapshot {manifest.snapshot_id} contains pairs, but search needs rows with one vector.")
    table = snapshot_tables.table_id(warehouse, manifest.snapshot_id)
    row = {"event_id": event_id}
    if not warehouse.query(warehouse.render(_PRESENT, snapshot=table), parameters(row))[0]["found"]:
        raise UserError(f"The event {event_id!r} is not in the snapshot {manifest.snapshot_id}.")
    template = _EXACT if warehouse.emulator else _VECTOR_SEARCH
    values = parameters({**row, "top": top, "splits": [split] if split else SPLITS})
    return [Neighbour(**row) for row in warehouse.query(warehouse.render(template, snapshot=table), values)]
