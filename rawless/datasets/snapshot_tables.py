"""The table of a snapshot, `snapshot_<id>`: created by its build, and dropped unless its manifest is written."""

import re
from collections.abc import Iterable

from google.api_core.exceptions import Forbidden, GoogleAPIError
from google.cloud import bigquery

from rawless.datasets import ownership
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.tables import FOLDER, table

PREFIX = "snapshot_"
VIEW_PREFIX = "dataset_"
"""Begins the names of views: each reads the snapshot that the name of a dataset means."""
_VECTORS = ("embedding", "right_embedding")
_NAME = re.compile(rf"{PREFIX}([0-9a-f]{{16,64}})")
_IDS = FOLDER / "snapshot_manifest_v1" / "ids.sql"
_READER = FOLDER / "snapshot_v1" / "reader.sql"


def table_id(warehouse: Warehouse, snapshot_id: str) -> str:
    """Return the id of a snapshot's table. Raises UserError for a snapshot id that is not valid."""
    if not _NAME.fullmatch(PREFIX + snapshot_id):
        raise UserError(f"The snapshot id {snapshot_id!r} is not valid: it must be 16 to 64 of the characters 0-9a-f.")
    return f"{warehouse.dataset_id('snapshots')}.{PREFIX}{snapshot_id}"


def create(warehouse: Warehouse, snapshot_id: str) -> None:
    """Create the empty table of a snapshot, which expires unless it is kept. Raises UserError if it may not.

    Its vectors have the policy tags that the vectors of events have, so that the same accounts see both.
    """
    new = table("snapshot_v1").to_bigquery(table_id(warehouse, snapshot_id))
    if tags := _policy_tags(warehouse):
        new.schema = [_tagged(column, tags) if column.name in _VECTORS else column for column in new.schema]
    to_tag = ", bigquery.tables.setCategory there, and roles/datacatalog.viewer on the taxonomy of the policy tags"
    forbidden = (
        f"This account may not create the table of a snapshot in {warehouse.dataset_id('snapshots')}: it needs the "
        f"role WRITER there{to_tag if tags else ''}."
    )
    ownership.create(warehouse, new, forbidden=forbidden)


def _policy_tags(warehouse: Warehouse) -> bigquery.PolicyTagList | None:
    events = warehouse.table_id("embedding_event_v1")
    try:
        columns = warehouse.client.get_table(events, retry=warehouse.retry).schema
    except Forbidden:
        raise UserError(
            f"This account may not see the table {events}, whose vectors have the policy tags of a snapshot's."
        ) from None
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None
    tags: dict[str, bigquery.PolicyTagList | None] = {column.name: column.policy_tags for column in columns}
    return tags["embedding"]


def _tagged(column: bigquery.SchemaField, tags: bigquery.PolicyTagList) -> bigquery.SchemaField:
    return bigquery.SchemaField.from_api_repr({**column.to_api_repr(), "policyTags": tags.to_api_repr()})


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
