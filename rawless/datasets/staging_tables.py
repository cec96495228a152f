"""The working tables of a build, and the removal of what a killed build left behind.

The labels of the two tables name the process that uses them, and the tables expire after some hours. Rows of a snapshot
are written before its manifest, so rows without a manifest belong to a running build or to none.
"""

import hashlib
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from google.api_core.exceptions import Conflict, Forbidden, GoogleAPIError, NotFound
from google.cloud import bigquery

from rawless.datasets import frozen_sources
from rawless.datasets.compile import WORK_PREFIX, CompiledDataset, Statement
from rawless.datasets.rendering import render_template
from rawless.datasets.snapshots import list_manifests
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.parameters import parameters

Role = Literal["event", "example"]
_WORK = re.compile(rf"{WORK_PREFIX}([0-9a-f]+)_(?:event|example)")
_COPY = re.compile(rf"{frozen_sources.PREFIX}([0-9a-f]+)_\w+")
_LIFETIME = timedelta(hours=12)
_STRING, _TIME, _FLOAT, _INT = "STRING", "TIMESTAMP", "FLOAT64", "INT64"
_ATTRIBUTES = bigquery.SchemaField(
    "attributes", "RECORD", "REPEATED", fields=[bigquery.SchemaField(name, _STRING) for name in ("key", "value")]
)
_TABLES: dict[Role, dict[str, str | None]] = {
    "event": {
        "event_id": _STRING, "person_key": _STRING, "occurred_at": _TIME, "logged_at": _TIME,
        "encoder_fingerprint": _STRING, "attributes": None, "conflicting": "BOOL",
    },
    "example": {
        "example_id": _STRING, "side": _STRING, "event_id": _STRING, "person_key": _STRING, "occurred_at": _TIME,
        "logged_at": _TIME, "attributes": None, "label": _STRING, "label_value": _FLOAT, "labelled_at": _TIME,
        "removed_by": _INT, "split": _STRING,
    },
}  # fmt: skip


@contextmanager
def working_tables(compiled: CompiledDataset) -> Iterator[None]:
    """Create the working tables of a build, and delete them at the end.

    Raises UserError when another process builds the same snapshot.
    """
    warehouse = compiled.warehouse
    created: list[str] = []
    try:
        for role in _TABLES:
            _create(warehouse, role, _table_id(compiled, role))
            created.append(_table_id(compiled, role))
        yield
    finally:
        for table_id in created:
            with suppress(GoogleAPIError, ConnectionError):  # the next build sweeps it
                warehouse.client.delete_table(table_id, not_found_ok=True, retry=warehouse.retry)


def _table_id(compiled: CompiledDataset, role: Role) -> str:
    return compiled.event_table if role == "event" else compiled.example_table


def _create(warehouse: Warehouse, role: Role, table_id: str) -> None:
    try:
        warehouse.client.create_table(_table(role, table_id), exists_ok=False, retry=warehouse.retry)
    except Conflict:
        raise UserError("Another process is building this snapshot; run the command again when it is done.") from None
    except Forbidden:
        raise UserError(f"This account may not create tables in {warehouse.dataset_id('builds')}.") from None
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None


def _table(role: Role, table_id: str) -> bigquery.Table:
    schema = [bigquery.SchemaField(name, kind) if kind else _ATTRIBUTES for name, kind in _TABLES[role].items()]
    table = bigquery.Table(table_id, schema=schema)
    table.expires = datetime.now(UTC) + _LIFETIME
    table.labels = {"host": _host(), "process": str(os.getpid())}
    return table


def fill(compiled: CompiledDataset, role: Role, statement: Statement) -> Statement:
    """Return a statement that inserts the rows of a SELECT into one of the working tables."""
    columns = [name for name in _TABLES[role] if name != "split"]
    return insert(_table_id(compiled, role), columns, statement)


def insert(table_id: str, columns: list[str], statement: Statement) -> Statement:
    """Return a statement that inserts the rows of a SELECT into a table; `columns` are in its order."""
    return replace(statement, sql=f"INSERT INTO `{table_id}` ({', '.join(columns)})\n{statement.sql}")


def sweep(warehouse: Warehouse) -> None:
    """Delete the working tables, and the rows and copies without a manifest, of builds that are no longer running."""
    client, retry = warehouse.client, warehouse.retry
    try:
        tables = [item.reference for item in client.list_tables(warehouse.dataset_id("builds"), retry=retry)]
        running = {
            match[1] for table in tables if (match := _WORK.fullmatch(table.table_id)) and _is_in_use(warehouse, table)
        }
        copies = [(table, match[1]) for table in tables if (match := _COPY.fullmatch(table.table_id))]
        finished = {manifest.snapshot_id for manifest in list_manifests(warehouse)} if copies else set()
        for table, snapshot_id in copies:
            if snapshot_id not in finished | running:
                client.delete_table(table, not_found_ok=True, retry=retry)
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None
    warehouse.query(render_template(warehouse, "sweep"), parameters({"live": sorted(running)}))


def _is_in_use(warehouse: Warehouse, table: bigquery.TableReference) -> bool:
    """Return whether the build that uses a working table is running; delete the table if it is not."""
    try:
        labels = warehouse.client.get_table(table, retry=warehouse.retry).labels
    except NotFound:
        return False
    if not _may_be_running(labels):
        warehouse.client.delete_table(table, not_found_ok=True, retry=warehouse.retry)
        return False
    return True


def _may_be_running(labels: dict[str, str]) -> bool:
    """Return whether the process that created a table may be running; one on another machine always may."""
    if labels.get("host") != _host():
        return True
    try:
        os.kill(int(labels.get("process", "-")), 0)
    except (OSError, ValueError):
        return False
    return True


def _host() -> str:
    """Return a hash of this machine's name that a label can store."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:32]
