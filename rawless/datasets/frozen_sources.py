"""Copies of sources without a known time: the columns that SQL names are copied at the build and kept.

A copy is a table `copy_<snapshot id>_<source>` of the snapshots dataset, with persons in place of customer ids.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from google.api_core.exceptions import GoogleAPIError, NotFound

from rawless.datasets import sources
from rawless.datasets.compile import CompiledDataset
from rawless.datasets.rendering import render_template
from rawless.datasets.sources import SourceTable
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.parameters import parameters

PREFIX = "copy_"


def copy_sources(compiled: CompiledDataset) -> CompiledDataset:
    """Copy the mutable sources, and return the dataset reading the copies. Raises UserError."""
    warehouse = compiled.warehouse
    for table in _mutable(compiled):
        # Raises UserError for customers that are not in the subject map.
        sources.count_rows(warehouse, table, parameters({"as_of": compiled.spec.as_of}))
        select = render_template(warehouse, "source", of=_only_named_columns(compiled, table))
        warehouse.query(f"CREATE TABLE `{_copy_id(warehouse, compiled.snapshot_id, table)}` AS\n{select}")
    return with_copies(compiled, compiled.snapshot_id)


def with_copies(compiled: CompiledDataset, snapshot_id: str) -> CompiledDataset:
    """Return the dataset reading the copies that are kept beside a snapshot. Raises UserError when one is missing."""
    copies = {table.source.name: _find_copy(compiled.warehouse, snapshot_id, table) for table in _mutable(compiled)}
    tables = {**compiled.sources, **copies}
    return replace(compiled, look_up_sources=lambda: tables)


def drop_copies(compiled: CompiledDataset) -> None:
    """Delete the copies of a build that failed. The next build deletes those that cannot be deleted now."""
    warehouse = compiled.warehouse
    for table in _mutable(compiled):
        with suppress(GoogleAPIError, ConnectionError):
            copy_id = _copy_id(warehouse, compiled.snapshot_id, table)
            warehouse.client.delete_table(copy_id, not_found_ok=True, retry=warehouse.retry)


def _mutable(compiled: CompiledDataset) -> Iterator[SourceTable]:
    return (table for table in compiled.sources.values() if table.source.mutable)


def _only_named_columns(compiled: CompiledDataset, table: SourceTable) -> SourceTable:
    """Return the source with the columns that label and rules name, or with one column if they only count rows."""
    readers = [query.validated for query in compiled.queries if table.source.name in query.validated.tables]
    named = {name for reader in readers for name in reader.columns}
    columns = tuple(name for name in table.columns if name.lower() in named)
    return replace(table, columns=columns or table.columns[:1])


def _find_copy(warehouse: Warehouse, snapshot_id: str, table: SourceTable) -> SourceTable:
    copy_id = _copy_id(warehouse, snapshot_id, table)
    try:
        fields = list(warehouse.client.get_table(copy_id, retry=warehouse.retry).schema)
    except NotFound:
        raise UserError(
            f"The copy of {table.source.table} that was kept beside the snapshot {snapshot_id} is missing, so the rows "
            "of the snapshot cannot be built again."
        ) from None
    except (GoogleAPIError, ConnectionError) as error:
        raise unavailable(error) from None
    return sources.source_table(table.source, copy_id, fields)


def _copy_id(warehouse: Warehouse, snapshot_id: str, table: SourceTable) -> str:
    return f"{warehouse.dataset_id('snapshots')}.{PREFIX}{snapshot_id}_{table.source.name}"
