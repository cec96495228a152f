"""The table of a snapshot, `snapshot_<id>`: created by its build, and dropped unless its manifest is written."""

import re
from collections.abc import Iterable

from google.api_core.exceptions import Conflict, Forbidden, GoogleAPIError

from rawless.datasets import ownership
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.tables import FOLDER, table

PREFIX = "snapshot_"
VIEW_PREFIX = "dataset_"
"""Begins the names of views: each reads the snapshot that the name of a dataset means."""
_NAME = re.compile(rf"{PREFIX}([0-9a-f]{{16,64}})")
_IDS = FOLDER / "snapshot_manifest_v1" / "ids.sql"
_READER = FOLDER / "snapshot_v1" / "reader.sql"


def table_id(warehouse: Warehouse, snapshot_id: str) -> str:
    """Return the id of a snapshot's table. Raises UserError for a snapshot id that is not valid."""
    if not _NAME.fullmatch(PREFIX + snapshot_id):
        raise UserError(f"The snapshot id {snapshot_id!r} is not valid: it must be 16 to 64 of the characters 0-9a-f.")
    return f"{warehouse.dataset_id('snapshots')}.{PREFIX}{snapshot_id}"


def create(warehouse: Warehouse, snapshot_id: str) -> None:
    """Create the empty table of a snapshot, which expires unless it is kept. Raises UserError if it may not."""
    new = table("snapshot_v1").to_bigquery(table_id(warehouse, snapshot_id))
    ownership.claim(new)
    try:
        warehouse.client.create_table(new, exists_ok=False, retry=warehouse.retry)
    except Conflict:
        raise UserError("Another process is building this snapshot; run the command again when it is done.") from None
    except Forbidden:
        raise UserError(f"This account may not create tables in {warehouse.dataset_id('snapshots')}.") from None
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None


def keep(warehouse: Warehouse, snapshot_id: str) -> None:
    """Let the table of a snapshot no longer expire."""
    try:
        kept = warehouse.client.get_table(table_id(warehouse, snapshot_id), retry=warehouse.retry)
        kept.expires = None
        warehouse.client.update_table(kept, ["expires"], retry=warehouse.retry)
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None


def drop(warehouse: Warehouse, snapshot_id: str) -> None:
    """Delete the table of a snapshot, if there is one."""
    try:
        warehouse.client.delete_table(table_id(warehouse, snapshot_id), not_found_ok=True, retry=warehouse.retry)
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None


def unfinished(warehouse: Warehouse, names: Iterable[str], ids: Iterable[str]) -> set[str]:
    """Return the ids of snapshots without a manifest among `ids` and among tables named `names` of their dataset."""
    found = {match[1] for name in names if (match := _NAME.fullmatch(name))}.union(ids)
    if not found:
        return found
    return found - {row["snapshot_id"] for row in warehouse.query(warehouse.render(_IDS))}


def point(warehouse: Warehouse, dataset: str, snapshot_id: str) -> None:
    """Let the view of a dataset's name read a snapshot. Raises UserError if it may not."""
    view = f"{warehouse.dataset_id('snapshots')}.{VIEW_PREFIX}{dataset}"
    warehouse.query(warehouse.render(_READER, view=view, snapshot=table_id(warehouse, snapshot_id)))
