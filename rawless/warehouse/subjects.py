"""Fill the subject map from a business table's column of plain customer ids.

The HMAC is computed here because BigQuery has none. Ids are read from a worklist in the subjects dataset, and results
are written back under random handles: the parameters of a job stay in the project's job history for months, and the
result of a query in a cache for a day, so neither may contain an id.
"""

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from rawless.errors import UserError
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.privacy.subject_ids import Step, normal_form
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.parameters import Parameters, parameters
from rawless.warehouse.tables import FOLDER

PAGE_ROWS = 20_000
"""Handles and keys of a page make a request of 3 MB; BigQuery accepts 10 MB."""
_MAP = "subject_map_v1"
_UNMAPPED, _MERGE = (FOLDER / _MAP / f"{name}.sql" for name in ("unmapped", "merge"))
_PREFIX = "subject_sync_"
_LIFETIME = timedelta(hours=6)
"""How long the worklist of a killed run stays."""
_WORKLIST = {
    "handle": "STRING", "customer_id": "STRING", "is_mapped": "BOOL", "customers": "INT64", "row_count": "INT64",
}  # fmt: skip
_MAX_NAMES = 20


@dataclass(frozen=True)
class BusinessColumn:
    """The column of plain customer ids that `--from` names."""

    table: str
    """TABLE of the events dataset, or DATASET.TABLE."""
    name: str


@dataclass
class SyncProgress:
    """The counts of a sync so far: customers by whether they were in the subject map."""

    new: int = 0
    known: int = 0
    without_id: int = 0
    """Rows of the business table with a null."""
    unusable: int = 0
    """Ids that no event can have; see `rawless.privacy.subject_ids`."""


def business_column(name: str) -> BusinessColumn:
    """Parse TABLE.COLUMN or DATASET.TABLE.COLUMN. Raises UserError when it is neither, or is in the subject map."""
    if not re.fullmatch(r"([A-Za-z_]\w{0,127}\.){1,2}[A-Za-z_]\w{0,127}", name, re.ASCII):
        raise UserError(
            f"--from is {name!r}, but must be TABLE.COLUMN or DATASET.TABLE.COLUMN of letters, digits and _."
        )
    table, _, column = name.rpartition(".")
    if table.split(".")[-1].lower() == _MAP:
        raise UserError(f"--from names {table}, which is the table that a sync fills; name a business table.")
    return BusinessColumn(table, column)


def sync(
    warehouse: Warehouse,
    source: BusinessColumn,
    key: PseudonymKey,
    progress: SyncProgress,
    subject_form: Sequence[Step] = (),
) -> None:
    """Add a row under this key to the subject map for every customer of a column, and count them in `progress`.

    Pseudonyms are those of the ids in their normal form, as the streams' events have them.

    When it is interrupted, rows that were added stay, and the next run continues there. Raises UserError for a table or
    column that cannot be used, Unavailable when BigQuery does not answer.
    """
    names = {
        "source": warehouse.business_table_id(source.table),
        "column": _live_name(warehouse, source),
        "subject_map": warehouse.table_id(_MAP),
        "worklist": f"{warehouse.dataset_id('subjects')}.{_PREFIX}{secrets.token_hex(8)}",
    }
    key_id = {"subject_key_id": key.key_id}
    with _worklist(warehouse, names["worklist"]) as worklist:
        with _translated_errors(
            f"BigQuery cannot read {source.table}: check that this account may read it, in this region"
        ):
            _run(warehouse, warehouse.render(_UNMAPPED, **names), parameters(key_id))
        for page in _pages(warehouse, worklist):
            pseudonyms = _pseudonyms(page, key, subject_form, progress)
            if not pseudonyms:
                continue
            with _translated_errors(
                "The subject map cannot be written: run the command again, and check that this account may write"
            ):
                keys = {"handles": list(pseudonyms), "subject_keys": list(pseudonyms.values())}
                job = _run(warehouse, warehouse.render(_MERGE, **names), parameters(key_id | keys))
            new = int(job.num_dml_affected_rows or 0)
            progress.new += new
            progress.known += len(pseudonyms) - new  # another run added them first


def _live_name(warehouse: Warehouse, source: BusinessColumn) -> str:
    """Return the column's name in the case of the table. Raises UserError when it is missing or contains no ids."""
    table = _live_table(warehouse, source)
    column = next((field for field in table.schema if field.name.lower() == source.name.lower()), None)
    if column is None:
        names = _listed([field.name for field in table.schema])
        raise UserError(f"The table {source.table} has no column {source.name}: it has {names}.")
    kind = f"{column.field_type} {column.mode}" if column.mode == "REPEATED" else column.field_type
    if kind not in ("STRING", "INTEGER", "INT64"):
        raise UserError(f"The column {source.table}.{column.name} is {kind}, but customer ids are STRING or INT64.")
    if table.require_partition_filter:
        raise UserError(f"The table {source.table} can only be read with a partition filter; name a view that has one.")
    return str(column.name)


def _live_table(warehouse: Warehouse, source: BusinessColumn) -> bigquery.Table:
    table_id, client, retry = warehouse.business_table_id(source.table), warehouse.client, warehouse.retry
    dataset_id = table_id.rpartition(".")[0]
    with _translated_errors(f"BigQuery does not show {source.table}: check its name and that this account may read it"):
        try:
            return client.get_table(table_id, retry=retry)
        except NotFound:
            existing = _listed([item.table_id for item in client.list_tables(dataset_id, retry=retry)])
    raise UserError(f"There is no table {source.table}: the dataset {dataset_id} has {existing}.")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return (", ".join(names[:_MAX_NAMES]) or "none") + more


@contextmanager
def _worklist(warehouse: Warehouse, table_id: str) -> Iterator[bigquery.Table]:
    """Create a table for the ids to process in the subjects dataset, and delete it at the end."""
    client = warehouse.client
    worklist = bigquery.Table(table_id, schema=[bigquery.SchemaField(name, kind) for name, kind in _WORKLIST.items()])
    worklist.expires = datetime.now(UTC) + _LIFETIME
    with _translated_errors(
        f"This account may not create tables in {warehouse.dataset_id('subjects')}, which a sync needs"
    ):
        _sweep(warehouse)
        client.create_table(worklist, retry=warehouse.retry)
    try:
        yield worklist
    finally:
        # Tried once, since a user who interrupts waits for it; otherwise the table expires.
        with suppress(GoogleAPIError, GoogleAuthError, OSError):
            client.delete_table(table_id, not_found_ok=True, retry=None)


def _sweep(warehouse: Warehouse) -> None:
    """Delete the worklists of killed runs, since the local BigQuery ignores expiry."""
    for item in warehouse.client.list_tables(warehouse.dataset_id("subjects"), retry=warehouse.retry):
        if item.table_id.startswith(_PREFIX) and item.created and item.created < datetime.now(UTC) - _LIFETIME:
            warehouse.client.delete_table(item.reference, not_found_ok=True, retry=warehouse.retry)


def _pages(warehouse: Warehouse, worklist: bigquery.Table) -> Iterator[list[bigquery.Row]]:
    """Yield pages of the worklist. It is read as a table, since the result of a query would be cached."""
    with _translated_errors("BigQuery cannot read the worklist: check that this account may read the subjects dataset"):
        rows = warehouse.client.list_rows(worklist, page_size=PAGE_ROWS, retry=warehouse.retry)
        pages = iter(rows.pages)
    while True:
        with _translated_errors("BigQuery cannot read the worklist: run the command again"):
            page = next(pages, None)
            read = list(page) if page is not None else None
        if read is None:
            return
        yield read


def _pseudonyms(
    page: Sequence[Any], key: PseudonymKey, subject_form: Sequence[Step], progress: SyncProgress
) -> dict[str, str]:
    """Return subject keys by handle, computed from the text that an event has; count the other rows."""
    pseudonyms = {}
    for row in page:
        if row["is_mapped"]:
            progress.known += row["customers"]
        elif row["customer_id"] is None:
            progress.without_id += row["row_count"]
        elif (subject_id := normal_form(row["customer_id"], subject_form)) is None:
            progress.unusable += 1
        else:
            pseudonyms[row["handle"]] = key.pseudonym(subject_id)
    return pseudonyms


def _run(warehouse: Warehouse, statement: str, parameters: Parameters) -> bigquery.QueryJob:
    """Run one statement that returns no rows."""
    config = bigquery.QueryJobConfig(query_parameters=list(parameters))
    job = warehouse.client.query(statement, job_config=config, retry=warehouse.retry, job_retry=None)
    job.result(retry=warehouse.retry, job_retry=None)
    return job


@contextmanager
def _translated_errors(message: str) -> Iterator[None]:
    """Raise BigQuery's errors with `message` in place of their text, which may quote an id."""
    try:
        yield
    except (BadRequest, NotFound, Forbidden) as error:
        raise UserError(f"{message} ({type(error).__name__}).") from None
    except (GoogleAPIError, GoogleAuthError, ConnectionError) as error:
        raise unavailable(error) from None
