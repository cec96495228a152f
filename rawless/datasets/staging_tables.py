"""The working tables of a build, and the removal of what a killed build left behind.

A snapshot's table is written before its manifest, so one without a manifest belongs to a running build or to none.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from google.api_core.exceptions import GoogleAPIError, NotFound
from google.cloud import bigquery

from rawless.datasets import frozen_sources, ownership, snapshot_tables
from rawless.datasets.compile import WORK_PREFIX, CompiledDataset, Statement
from rawless.datasets.working_columns import ATTRIBUTES, COLUMNS, Role
from rawless.warehouse.client import Warehouse, unavailable

_WORK = re.compile(rf"{WORK_PREFIX}([0-9a-f]+)_(?:event|example|mark)")
_COPY = re.compile(rf"{frozen_sources.PREFIX}([0-9a-f]+)_\w+")
_ATTRIBUTES = bigquery.SchemaField(
    "attributes", "RECORD", "REPEATED", fields=[bigquery.SchemaField(name, "STRING") for name in ("key", "value")]
)


@contextmanager
def working_tables(compiled: CompiledDataset) -> Iterator[None]:
    """Create the working tables of a build, and delete them at the end.

    Raises UserError when another process builds the same snapshot.
    """
    warehouse = compiled.warehouse
    forbidden = f"This account may not create tables in {warehouse.dataset_id('builds')}."
    created: list[str] = []
    try:
        for role in COLUMNS if compiled.stores_events else ("example", "mark"):
            ownership.create(warehouse, _table(role, _table_id(compiled, role)), forbidden=forbidden)
            created.append(_table_id(compiled, role))
        yield
    finally:
        for table_id in created:
            with suppress(GoogleAPIError, ConnectionError):  # the next build sweeps it
                warehouse.client.delete_table(table_id, not_found_ok=True, retry=warehouse.retry)


def _table_id(compiled: CompiledDataset, role: Role) -> str:
    return {"event": compiled.event_table, "example": compiled.example_table, "mark": compiled.mark_table}[role]


def _table(role: Role, table_id: str) -> bigquery.Table:
    schema = [
        _ATTRIBUTES if kind == ATTRIBUTES else bigquery.SchemaField(name, kind) for name, kind in COLUMNS[role].items()
    ]
    return bigquery.Table(table_id, schema=schema)


def fill(compiled: CompiledDataset, role: Role, statement: Statement) -> Statement:
    """Return a statement that inserts the rows of a SELECT into one of the working tables."""
    return insert(_table_id(compiled, role), list(COLUMNS[role]), statement)


def insert(table_id: str, columns: list[str], statement: Statement) -> Statement:
    """Return a statement that inserts the rows of a SELECT into a table; `columns` are in its order."""
    return replace(statement, sql=f"INSERT INTO `{table_id}` ({', '.join(columns)})\n{statement.sql}")


def sweep(warehouse: Warehouse) -> None:
    """Delete the working tables, and the snapshots and copies without a manifest, of builds that no longer run."""
    try:
        names = _tables(warehouse, "snapshots")
        work = _tables(warehouse, "builds")
        running = {match[1] for name in work if (match := _WORK.fullmatch(name)) and _is_in_use(warehouse, name)}
        copies = {name: match[1] for name in work if (match := _COPY.fullmatch(name))}
        left = snapshot_tables.unfinished(warehouse, names, copies.values())
        client, retry = warehouse.client, warehouse.retry
        for name in (name for name, snapshot_id in copies.items() if snapshot_id in left - running):
            client.delete_table(f"{warehouse.dataset_id('builds')}.{name}", not_found_ok=True, retry=retry)
        for snapshot_id in left - running:
            snapshot_tables.drop(warehouse, snapshot_id)
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None


def _tables(warehouse: Warehouse, role: str) -> list[str]:
    return [item.table_id for item in warehouse.client.list_tables(warehouse.dataset_id(role), retry=warehouse.retry)]


def _is_in_use(warehouse: Warehouse, name: str) -> bool:
    """Return whether the build that uses a working table is running; delete the table if it is not."""
    table_id = f"{warehouse.dataset_id('builds')}.{name}"
    try:
        labels = warehouse.client.get_table(table_id, retry=warehouse.retry).labels
    except NotFound:
        return False
    if not ownership.may_be_in_use(labels):
        warehouse.client.delete_table(table_id, not_found_ok=True, retry=warehouse.retry)
        return False
    return True
