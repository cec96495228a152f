"""Copies of sources without a known time: the columns that SQL names are copied at the build and kept.

A copy is a table `copy_<snapshot id>_<source>` of the builds dataset, with persons in place of customer ids. It has no
free text: each of its columns has numbers, booleans, times, ids, or values of a list that the dataset file declares.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound

from rawless.datasets import sources
from rawless.datasets.compile import CompiledDataset
from rawless.datasets.rendering import render_template
from rawless.datasets.sources import PERSON, SourceTable
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.parameters import parameters

PREFIX = "copy_"
_OUTSIDE = "(outside)"
"""Stands in a copy for a text that it must not contain. It is neither an id nor a value that can be declared."""
_HOLDS_IDS = re.compile(rf"(\w+_)?event_id|{PERSON}")
_NUMBERS = ("INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOLEAN", "BOOL")
_TIMES = ("DATE", "DATETIME", "TIME", "TIMESTAMP")


@dataclass(frozen=True)
class _Column:
    """A column of a copy: its expression, and what its texts must be if it has any."""

    name: str
    expression: str
    rule: str | None = None
    """What a text that the copy must not contain violates."""


def check_columns(compiled: CompiledDataset) -> None:
    """Raise UserError for a column that SQL names but no copy may contain."""
    if any(source.mutable for source in compiled.spec.sources):
        for table in _mutable(compiled):
            list(_columns(compiled, table))


def copy_sources(compiled: CompiledDataset) -> CompiledDataset:
    """Copy the mutable sources, and return the dataset reading the copies. Raises UserError."""
    warehouse = compiled.warehouse
    for table in _mutable(compiled):
        # Raises UserError for customers that are not in the subject map.
        sources.count_rows(warehouse, table, parameters({"as_of": compiled.spec.as_of}))
        columns = list(_columns(compiled, table))
        copy_id = _copy_id(warehouse, compiled.snapshot_id, table)
        statement = render_template(warehouse, "source_copy", of=table, copy=copy_id, columns=columns)
        warehouse.query(statement, parameters({"outside": _OUTSIDE, **_values(table)}))
        _check_texts(compiled, table, columns)
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


def _columns(compiled: CompiledDataset, table: SourceTable) -> Iterator[_Column]:
    """Yield the columns that label and rules name, and the person. Raises UserError for a text that is not bounded."""
    source = table.source
    for name in source.values:
        if table.types.get(name) != "STRING":
            raise UserError(f"The source {source.table} has values for {name}, which is no STRING column of it.")
    readers = [query.validated for query in compiled.queries if source.name in query.validated.tables]
    named = {name for reader in readers for name in reader.columns}
    for name in table.columns:
        if name.lower() in named:
            yield _column(table, name)
    if table.key:
        yield _Column(PERSON, _only_if(f"REGEXP_CONTAINS({table.person}, @id)", table.person), "pseudonyms")


def _column(table: SourceTable, name: str) -> _Column:
    source, kind, column = table.source, table.types[name], f"source.`{name}`"
    if name in source.values:
        parameter = f"@values_{list(source.values).index(name)}"
        return _Column(name, _only_if(f"{column} IN UNNEST({parameter})", column), "in its list of values")
    if kind == "STRING" and _HOLDS_IDS.fullmatch(name):
        return _Column(name, _only_if(f"REGEXP_CONTAINS({column}, @id)", column), "ids")
    if kind in (*_NUMBERS, *_TIMES):
        return _Column(name, column)
    fix = (
        f"declare its values, as in values: {{{name}: [a, b]}}"
        if kind == "STRING"
        else "read another column in label and rules"
    )
    raise UserError(
        f"The source {source.table} has {name} as {kind}, which a copy may not contain because it may be free text: "
        f"{fix}, or add a column with the time at which a row became known and name it in known_at."
    )


def _only_if(condition: str, text: str) -> str:
    return f"IF({text} IS NULL OR {condition}, {text}, @outside)"


def _values(table: SourceTable) -> dict[str, Any]:
    """Return the parameters of the expressions of a copy."""
    values = table.source.values.values()
    return {"id": r"^[A-Za-z0-9_.:-]{1,64}$"} | {
        f"values_{position}": list(each) for position, each in enumerate(values)
    }


def _check_texts(compiled: CompiledDataset, table: SourceTable, columns: list[_Column]) -> None:
    """Raise UserError for texts that the copy must not contain, with their number but without a value."""
    texts = [column for column in columns if column.rule]
    if not texts:
        return
    copy_id = _copy_id(compiled.warehouse, compiled.snapshot_id, table)
    statement = render_template(compiled.warehouse, "source_copy_outside", copy=copy_id, columns=texts)
    (counts,) = compiled.warehouse.query(statement, parameters({"outside": _OUTSIDE}))
    for column in texts:
        if count := counts[column.name]:
            raise UserError(
                f"{count:,} values of {column.name} in the source {table.source.table} are not {column.rule}: correct "
                "the table or the dataset. The values are not printed because they may be confidential."
            )


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
    # The copy has persons in place of the customers.
    return sources.source_table(table.source.model_copy(update={"customer": None}), copy_id, fields)


def _copy_id(warehouse: Warehouse, snapshot_id: str, table: SourceTable) -> str:
    return f"{warehouse.dataset_id('builds')}.{PREFIX}{snapshot_id}_{table.source.name}"
