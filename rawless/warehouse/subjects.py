"""Fill the subject map from a business table's column of plain customer ids.

The HMAC is computed here because BigQuery has none. Ids are read from a table in the subjects dataset, their pseudonyms
are loaded into another, and one statement merges it: the parameters of a job stay in the project's job history for
months, and the result of a query in a cache for a day, so neither may contain an id.
"""

import io
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from rawless.errors import Unavailable, UserError
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.privacy.subject_ids import Step, normal_form
from rawless.warehouse.client import PAGE_ROWS, Warehouse, translated_errors
from rawless.warehouse.parameters import Parameters, parameters
from rawless.warehouse.tables import FOLDER

LOAD_ROWS = 500_000
"""Rows of a load job: about 40 MB. BigQuery allows 1,500 such jobs a day for a table."""
_MAP = "subject_map_v1"
_UNMAPPED, _MERGE, _OUTSIDE = (FOLDER / _MAP / f"{name}.sql" for name in ("unmapped", "merge", "outside"))
_PREFIX = "subject_sync_"
ERASURE_PREFIX = "erasure_"
"""Begins the names of the tables that `working_tables` creates for an erasure."""
_LIFETIME = timedelta(hours=6)
"""How long the tables of a killed run stay."""
_WORKLIST = {"customer_id": "STRING", "is_mapped": "BOOL", "customers": "INT64", "row_count": "INT64"}
PSEUDONYMS = {"customer_id": "STRING", "subject_key": "STRING"}
"""The columns of a table of pseudonyms."""
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

    A run that is interrupted adds no row. Raises UserError for a table or column that cannot be used, Unavailable when
    BigQuery does not answer or another account fills the subject map.
    """
    column = _live_name(warehouse, source)
    worklist = f"{warehouse.dataset_id('subjects')}.{_PREFIX}{secrets.token_hex(8)}"
    names = {"subject_map": warehouse.table_id(_MAP), "worklist": worklist, "pseudonyms": f"{worklist}_pseudonyms"}
    key_id = parameters({"subject_key_id": key.key_id})
    with working_tables(warehouse, {names["worklist"]: _WORKLIST, names["pseudonyms"]: PSEUDONYMS}) as (
        waiting,
        pseudonyms,
    ):
        with _translated_errors(
            f"BigQuery cannot read {source.table}: check that this account may read it, in this region"
        ):
            business = {"source": warehouse.business_table_id(source.table), "column": column}
            _run(warehouse, warehouse.render(_UNMAPPED, **names, **business), key_id)
        keyed = load_pseudonyms(
            warehouse, pseudonyms, _pseudonyms(_pages(warehouse, waiting), key, subject_form, progress)
        )
        if keyed:
            new = _merge(warehouse, warehouse.render(_MERGE, **names), key_id)
            progress.new += new
            progress.known += keyed - new  # another run added them first


def rotate(warehouse: Warehouse, key: PseudonymKey, progress: SyncProgress, subject_form: Sequence[Step] = ()) -> None:
    """Add a row under a new key for every customer in the subject map, and count them in `progress`.

    Each stays the same person. It raises and can be interrupted as `sync`.
    """
    source = BusinessColumn(f"{warehouse.config.subjects}.{_MAP}", "customer_id")
    sync(warehouse, source, key, progress, subject_form)


def persons_outside(warehouse: Warehouse) -> int | None:
    """Return how many persons have events but no customer in the subject map; None if this account may not see it."""
    try:
        statement = warehouse.render(_OUTSIDE, subject_map=warehouse.table_id(_MAP))
        return int(warehouse.query(statement)[0]["persons"])
    except UserError:
        return None


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
def working_tables(warehouse: Warehouse, columns: Mapping[str, Mapping[str, str]]) -> Iterator[list[bigquery.Table]]:
    """Create tables with these columns in the subjects dataset, and delete them at the end."""
    client = warehouse.client
    tables = [
        bigquery.Table(table_id, schema=[bigquery.SchemaField(name, kind) for name, kind in kinds.items()])
        for table_id, kinds in columns.items()
    ]
    try:
        with _translated_errors(
            f"This account may not create tables in {warehouse.dataset_id('subjects')}, which the command needs"
        ):
            _sweep(warehouse)
            for table in tables:
                table.expires = datetime.now(UTC) + _LIFETIME
                client.create_table(table, retry=warehouse.retry)
        yield tables
    finally:
        # Tried once, since a user who interrupts waits for it; otherwise the tables expire.
        for table in tables:
            with suppress(GoogleAPIError, GoogleAuthError, OSError):
                client.delete_table(table, not_found_ok=True, retry=None)


def _sweep(warehouse: Warehouse) -> None:
    """Delete the tables of killed runs, since the local BigQuery ignores expiry."""
    for item in warehouse.client.list_tables(warehouse.dataset_id("subjects"), retry=warehouse.retry):
        if (
            item.table_id.startswith((_PREFIX, ERASURE_PREFIX))
            and item.created
            and item.created < datetime.now(UTC) - _LIFETIME
        ):
            warehouse.client.delete_table(item.reference, not_found_ok=True, retry=warehouse.retry)


def _pages(warehouse: Warehouse, worklist: bigquery.Table) -> Iterator[list[Any]]:
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
    pages: Iterable[Sequence[Any]], key: PseudonymKey, subject_form: Sequence[Step], progress: SyncProgress
) -> Iterator[tuple[str, str]]:
    """Yield ids with their subject keys, computed from the text that an event has; count the other rows."""
    for row in chain.from_iterable(pages):
        if row["is_mapped"]:
            progress.known += row["customers"]
        elif row["customer_id"] is None:
            progress.without_id += row["row_count"]
        elif (subject_id := normal_form(row["customer_id"], subject_form)) is None:
            progress.unusable += 1
        else:
            yield row["customer_id"], key.pseudonym(subject_id)


def load_pseudonyms(warehouse: Warehouse, table: bigquery.Table, rows: Iterator[tuple[str, str]]) -> int:
    """Append ids with their subject keys to a table with the columns of `PSEUDONYMS`, and return how many."""
    loaded = 0
    config = bigquery.LoadJobConfig(
        source_format="PARQUET",
        schema=table.schema,
        write_disposition="WRITE_APPEND",
        create_disposition="CREATE_NEVER",
    )
    while part := list(islice(rows, LOAD_ROWS)):
        columns = [pa.array(column, pa.string()) for column in zip(*part, strict=True)]
        content = io.BytesIO()
        pyarrow.parquet.write_table(pa.table(columns, names=list(PSEUDONYMS)), content)
        with _translated_errors("The pseudonyms cannot be loaded: check that this account may write"):
            job = warehouse.client.load_table_from_file(
                content, table.reference, rewind=True, job_config=config, num_retries=1
            )
            job.result(retry=warehouse.retry)
        loaded += len(part)
    return loaded


def _merge(warehouse: Warehouse, statement: str, statement_parameters: Parameters) -> int:
    """Add the loaded pseudonyms to the subject map after other runs have, and return how many rows are new.

    The time of the map's last change is part of the key, so that the numbers of `run_in_turn` stay small: it is the
    same for runs at the same time.
    """
    with _translated_errors("BigQuery does not show the subject map: check that this account may write it"):
        live = warehouse.client.get_table(warehouse.table_id(_MAP), retry=warehouse.retry)
    try:
        job = warehouse.run_in_turn(f"{live.reference} {live.modified}", statement, statement_parameters)
    except UserError:
        raise UserError(
            "The subject map cannot be written: run the command again, and check that this account may write."
        ) from None
    if job is None:
        raise Unavailable("Another account fills the subject map; run the command again when it has finished.")
    return int(job.num_dml_affected_rows or 0)


def _run(warehouse: Warehouse, statement: str, parameters: Parameters) -> None:
    """Run one statement that returns no rows."""
    config = bigquery.QueryJobConfig(query_parameters=list(parameters))
    job = warehouse.client.query(statement, job_config=config, retry=warehouse.retry, job_retry=None)
    job.result(retry=warehouse.retry, job_retry=None)


def _translated_errors(message: str) -> AbstractContextManager[None]:
    """Raise BigQuery's errors with `message` in place of their text, which may quote an id."""
    return translated_errors(lambda error: UserError(f"{message} ({type(error).__name__})."))
