"""Sources without a known time: what SQL names of them is copied when a snapshot is built, and kept beside it.

A copy is a table `copy_<snapshot id>_<source>` of the snapshots dataset, with persons in place of customer ids.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from google.api_core.exceptions import GoogleAPIError, NotFound

from rawless.datasets import sources
from rawless.datasets.compile import Build
from rawless.datasets.rendering import template
from rawless.datasets.sources import Columns
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, unanswered
from rawless.warehouse.parameters import parameters

PREFIX = "copy_"


def make(build: Build, snapshot_id: str) -> Build:
    """The build, with its mutable sources copied: it reads the copies. Raises UserError."""
    for columns in _mutable(build):
        sources.count(build.warehouse, columns, parameters({"as_of": build.as_of}))  # refuses unmapped customers
        select = template(build.warehouse, "source", of=_named(build, columns))
        build.warehouse.query(f"CREATE TABLE `{_table(build.warehouse, snapshot_id, columns)}` AS\n{select}")
    return kept(build, snapshot_id)


def kept(build: Build, snapshot_id: str) -> Build:
    """The build, reading the copies that are kept beside a snapshot. Raises UserError when one is gone."""
    found = {columns.source.name: _copy(build.warehouse, snapshot_id, columns) for columns in _mutable(build)}
    return replace(build, columns={**build.columns, **found})


def drop(build: Build, snapshot_id: str) -> None:
    """Takes the copies of a build that failed away; what cannot be taken away now, the next build sweeps."""
    warehouse = build.warehouse
    for columns in _mutable(build):
        with suppress(GoogleAPIError, ConnectionError):
            table_id = _table(warehouse, snapshot_id, columns)
            warehouse.client.delete_table(table_id, not_found_ok=True, retry=warehouse.retry)


def _mutable(build: Build) -> Iterator[Columns]:
    return (columns for columns in build.columns.values() if columns.source.mutable)


def _named(build: Build, columns: Columns) -> Columns:
    """The source with those of its columns alone that label and rules name, or one where they but count rows."""
    reading = [judged for judged in build.judged() if columns.source.name in judged.tables]
    wanted = {name for judged in reading for name in judged.columns}
    named = tuple(name for name in columns.kept if name.lower() in wanted)
    return replace(columns, kept=named or columns.kept[:1])


def _copy(warehouse: Warehouse, snapshot_id: str, columns: Columns) -> Columns:
    table_id = _table(warehouse, snapshot_id, columns)
    try:
        fields = list(warehouse.client.get_table(table_id, retry=warehouse.retry).schema)
    except NotFound:
        raise UserError(
            f"The copy of {columns.source.table} that was kept beside the snapshot {snapshot_id} is gone, so its rows "
            "cannot be made again."
        ) from None
    except (GoogleAPIError, ConnectionError) as error:
        raise unanswered(error) from None
    return sources.columns_of(columns.source, table_id, fields)


def _table(warehouse: Warehouse, snapshot_id: str, columns: Columns) -> str:
    return f"{warehouse.dataset_id('snapshots')}.{PREFIX}{snapshot_id}_{columns.source.name}"
