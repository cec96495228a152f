"""Filling the subject map from a business table's column of plain customer ids.

The HMAC is computed here, since BigQuery has none. Ids are read from a worklist in the subjects dataset, and what goes
back names a customer by a random handle: a job's parameters can be read in the project's job history for months, and a
query's result lies in a cached table for a day, so neither may hold an id.
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
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.parameters import Parameters, parameters
from rawless.warehouse.tables import FOLDER

MAX_ID_LENGTH = 256
"""As for an event's subject: a longer one has no embeddings."""
PAGE_ROWS = 20_000
"""Handles and keys of a page make a request of 3 MB, of 10 MB that BigQuery takes."""
_MAP = "subject_map_v1"
_UNMAPPED, _MERGE = (FOLDER / _MAP / f"{name}.sql" for name in ("unmapped", "merge"))
_PREFIX = "subject_sync_"
_KEPT = timedelta(hours=6)
"""How long the worklist of a run that was killed stays."""
_WORKLIST = {
    "handle": "STRING", "customer_id": "STRING", "is_mapped": "BOOL", "customers": "INT64", "row_count": "INT64",
}  # fmt: skip
_MOST_NAMES = 20


@dataclass(frozen=True)
class BusinessColumn:
    """A column of plain customer ids, as `--from` names it."""

    table: str
    """TABLE of the events dataset, or DATASET.TABLE."""
    name: str


@dataclass
class Synced:
    """How far a sync is, and at its end what it found and did."""

    new: int = 0
    known: int = 0
    without_id: int = 0
    """Rows of the business table."""
    unusable: int = 0
    """Ids that no event can have: too long, or not printable."""


def business_column(name: str) -> BusinessColumn:
    """From TABLE.COLUMN or DATASET.TABLE.COLUMN. Raises UserError when it is neither, or the subject map itself."""
    if not re.fullmatch(r"([A-Za-z_]\w{0,127}\.){1,2}[A-Za-z_]\w{0,127}", name, re.ASCII):
        raise UserError(
            f"--from is {name!r}, but must be TABLE.COLUMN or DATASET.TABLE.COLUMN of letters, digits and _."
        )
    table, _, column = name.rpartition(".")
    if table.split(".")[-1].lower() == _MAP:
        raise UserError(f"--from names {table}, which is what a sync fills: name a business table.")
    return BusinessColumn(table, column)


def sync(warehouse: Warehouse, source: BusinessColumn, key: PseudonymKey, synced: Synced) -> None:
    """Give every customer of a column a row under this key; `synced` tells how far it is.

    What was put in stays when it is stopped, and the next run goes on there. Raises UserError for a table or column
    that does not fit, Unavailable when BigQuery is away.
    """
    names = {
        "source": warehouse.business_table_id(source.table),
        "column": _live_name(warehouse, source),
        "subject_map": warehouse.table_id(_MAP),
        "worklist": f"{warehouse.dataset_id('subjects')}.{_PREFIX}{secrets.token_hex(8)}",
    }
    key_id = {"subject_key_id": key.key_id}
    with _worklist(warehouse, names["worklist"]) as worklist:
        with _told(f"BigQuery does not read {source.table}: check that this account may read it, in this region"):
            _run(warehouse, warehouse.render(_UNMAPPED, **names), parameters(key_id))
        for page in _pages(warehouse, worklist):
            pseudonyms = _pseudonyms(page, key, synced)
            if not pseudonyms:
                continue
            with _told("The subject map takes no rows: run the command again, and check that this account may write"):
                keys = {"handles": list(pseudonyms), "subject_keys": list(pseudonyms.values())}
                job = _run(warehouse, warehouse.render(_MERGE, **names), parameters(key_id | keys))
            new = int(job.num_dml_affected_rows or 0)
            synced.new += new
            synced.known += len(pseudonyms) - new  # another run was quicker


def _live_name(warehouse: Warehouse, source: BusinessColumn) -> str:
    """The column's name as the table has it. Raises UserError when the table lacks it or it holds no ids."""
    table = _live_table(warehouse, source)
    found = next((field for field in table.schema if field.name.lower() == source.name.lower()), None)
    if found is None:
        names = _listed([field.name for field in table.schema])
        raise UserError(f"The table {source.table} has no column {source.name}: it has {names}.")
    kind = f"{found.field_type} {found.mode}" if found.mode == "REPEATED" else found.field_type
    if kind not in ("STRING", "INTEGER", "INT64"):
        raise UserError(f"The column {source.table}.{found.name} is {kind}, but customer ids are STRING or INT64.")
    if table.require_partition_filter:
        raise UserError(f"The table {source.table} is read with a partition filter only: name a view that has one.")
    return str(found.name)


def _live_table(warehouse: Warehouse, source: BusinessColumn) -> bigquery.Table:
    table_id, client, retry = warehouse.business_table_id(source.table), warehouse.client, warehouse.retry
    dataset_id = table_id.rpartition(".")[0]
    with _told(f"BigQuery does not show {source.table}: check its name and that this account may read it"):
        try:
            return client.get_table(table_id, retry=retry)
        except NotFound:
            there = _listed([each.table_id for each in client.list_tables(dataset_id, retry=retry)])
    raise UserError(f"There is no table {source.table}: the dataset {dataset_id} has {there}.")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return (", ".join(names[:_MOST_NAMES]) or "none") + more


@contextmanager
def _worklist(warehouse: Warehouse, table_id: str) -> Iterator[bigquery.Table]:
    """A table for the ids that wait, readable by whom the subject map is, and gone at the end."""
    client = warehouse.client
    made = bigquery.Table(table_id, schema=[bigquery.SchemaField(name, kind) for name, kind in _WORKLIST.items()])
    made.expires = datetime.now(UTC) + _KEPT
    with _told(f"This account may make no tables in {warehouse.dataset_id('subjects')}, which a sync needs"):
        _sweep(warehouse)
        client.create_table(made, retry=warehouse.retry)
    try:
        yield made
    finally:
        with suppress(GoogleAPIError, GoogleAuthError, OSError):  # else it expires; one try, for who interrupts waits
            client.delete_table(table_id, not_found_ok=True, retry=None)


def _sweep(warehouse: Warehouse) -> None:
    """Drop what runs that were killed left: the local BigQuery heeds no expiry."""
    for each in warehouse.client.list_tables(warehouse.dataset_id("subjects"), retry=warehouse.retry):
        if each.table_id.startswith(_PREFIX) and each.created and each.created < datetime.now(UTC) - _KEPT:
            warehouse.client.delete_table(each.reference, not_found_ok=True, retry=warehouse.retry)


def _pages(warehouse: Warehouse, worklist: bigquery.Table) -> Iterator[list[bigquery.Row]]:
    """The worklist read as a table, not by a query, whose result would be cached."""
    with _told("BigQuery does not show the customers that wait: check that this account may read the subjects dataset"):
        rows = warehouse.client.list_rows(worklist, page_size=PAGE_ROWS, retry=warehouse.retry)
        pages = iter(rows.pages)
    while True:
        with _told("BigQuery does not show the customers that wait: run the command again"):
            page = next(pages, None)
            read = list(page) if page is not None else None
        if read is None:
            return
        yield read


def _pseudonyms(page: Sequence[Any], key: PseudonymKey, synced: Synced) -> dict[str, str]:
    """Subject keys by handle, each of the very text that an event would carry; the other rows are counted."""
    pseudonyms = {}
    for row in page:
        if row["is_mapped"]:
            synced.known += row["customers"]
        elif row["customer_id"] is None:
            synced.without_id += row["row_count"]
        elif len(row["customer_id"]) > MAX_ID_LENGTH or not row["customer_id"].isprintable():
            synced.unusable += 1
        else:
            pseudonyms[row["handle"]] = key.pseudonym(row["customer_id"])
    return pseudonyms


def _run(warehouse: Warehouse, statement: str, parameters: Parameters) -> bigquery.QueryJob:
    """One statement that gives no rows back."""
    config = bigquery.QueryJobConfig(query_parameters=list(parameters))
    job = warehouse.client.query(statement, job_config=config, retry=warehouse.retry, job_retry=None)
    job.result(retry=warehouse.retry, job_retry=None)
    return job


@contextmanager
def _told(refused: str) -> Iterator[None]:
    """Turns what BigQuery answers into a sentence of ours: its own may quote an id."""
    try:
        yield
    except (BadRequest, NotFound, Forbidden) as error:
        raise UserError(f"{refused} ({type(error).__name__}).") from None
    except (GoogleAPIError, GoogleAuthError, ConnectionError) as error:
        raise unavailable(error) from None
