"""The tables that a build works in, and what a build that was killed left behind.

Its two tables say by their labels which process works in them, and expire after some hours.
Rows of a snapshot come before its manifest, so those without one are a build's that goes on, or nobody's.
"""

import hashlib
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from google.api_core.exceptions import Conflict, Forbidden, GoogleAPIError, NotFound
from google.cloud import bigquery

from rawless.datasets import frozen_sources
from rawless.datasets.compile import Build, Statement
from rawless.datasets.rendering import template
from rawless.datasets.snapshots import list_manifests
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, unanswered
from rawless.warehouse.parameters import parameters

PREFIX = "build_"
_WORK = re.compile(rf"{PREFIX}([0-9a-f]+)_(?:event|example)")
_COPY = re.compile(rf"{frozen_sources.PREFIX}([0-9a-f]+)_\w+")
_KEPT = timedelta(hours=12)
_STRING, _TIME, _FLOAT, _INT = "STRING", "TIMESTAMP", "FLOAT64", "INT64"
_ATTRIBUTES = bigquery.SchemaField(
    "attributes", "RECORD", "REPEATED", fields=[bigquery.SchemaField(each, _STRING) for each in ("key", "value")]
)
_TABLES = {
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
def tables(build: Build) -> Iterator[None]:
    """The build's tables, gone at the end. Raises UserError when another process builds the same."""
    made: list[str] = []
    try:
        for suffix, table_id in (("event", build.event), ("example", build.example)):
            _make(build.warehouse, suffix, table_id)
            made.append(table_id)
        yield
    finally:
        for table_id in made:
            with suppress(GoogleAPIError, ConnectionError):  # swept by the next build
                build.warehouse.client.delete_table(table_id, not_found_ok=True, retry=build.warehouse.retry)


def _make(warehouse: Warehouse, suffix: str, table_id: str) -> None:
    try:
        warehouse.client.create_table(_table(suffix, table_id), exists_ok=False, retry=warehouse.retry)
    except Conflict:
        raise UserError("Another process builds this snapshot now: wait for it, and run the command again.") from None
    except Forbidden:
        raise UserError(f"This account may not make tables in {warehouse.dataset_id('snapshots')}.") from None
    except (GoogleAPIError, ConnectionError) as error:
        raise unanswered(error) from None


def _table(suffix: str, table_id: str) -> bigquery.Table:
    schema = [bigquery.SchemaField(name, kind) if kind else _ATTRIBUTES for name, kind in _TABLES[suffix].items()]
    made = bigquery.Table(table_id, schema=schema)
    made.expires = datetime.now(UTC) + _KEPT
    made.labels = {"host": _host(), "process": str(os.getpid())}
    return made


def fill(build: Build, suffix: str, statement: Statement) -> Statement:
    """Puts the rows of a SELECT into one of the build's tables."""
    return insert(getattr(build, suffix), [name for name in _TABLES[suffix] if name != "split"], statement)


def insert(table_id: str, columns: list[str], statement: Statement) -> Statement:
    """Puts the rows of a SELECT, whose columns come in that order, into a table."""
    return replace(statement, sql=f"INSERT INTO `{table_id}` ({', '.join(columns)})\n{statement.sql}")


def sweep(warehouse: Warehouse) -> None:
    """Removes what builds that are no more left: their tables, and the rows and copies that no manifest tells of."""
    client, retry = warehouse.client, warehouse.retry
    try:
        found = [each.reference for each in client.list_tables(warehouse.dataset_id("snapshots"), retry=retry)]
        live = {match[1] for each in found if (match := _WORK.fullmatch(each.table_id)) and _is_live(warehouse, each)}
        copied = [(each, match[1]) for each in found if (match := _COPY.fullmatch(each.table_id))]
        known = {each.snapshot_id for each in list_manifests(warehouse)} if copied else set()
        for each, snapshot_id in copied:
            if snapshot_id not in known | live:
                client.delete_table(each, not_found_ok=True, retry=retry)
    except (GoogleAPIError, ConnectionError) as error:
        raise unanswered(error) from None
    warehouse.query(template(warehouse, "sweep"), parameters({"live": sorted(live)}))


def _is_live(warehouse: Warehouse, table: bigquery.TableReference) -> bool:
    """Whether the build that works in a table goes on; the table of one that does not is dropped."""
    try:
        labels = warehouse.client.get_table(table, retry=warehouse.retry).labels
    except NotFound:
        return False
    if not _alive(labels):
        warehouse.client.delete_table(table, not_found_ok=True, retry=warehouse.retry)
        return False
    return True


def _alive(labels: dict[str, str]) -> bool:
    """Whether the process that made a table may go on: of other machines' only the table's expiry tells."""
    if labels.get("host") != _host():
        return True
    try:
        os.kill(int(labels.get("process", "-")), 0)
    except (OSError, ValueError):
        return False
    return True


def _host() -> str:
    """This machine, as a label may hold it, without its name."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:32]
