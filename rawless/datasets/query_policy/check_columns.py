"""Check that the columns that a query reads are those of its tables, as far as its syntax tree tells which table."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope


class UnknownColumn(NamedTuple):
    """A column that its table does not have, and where in the query it is, both from 1."""

    table: str
    column: str
    line: int
    position: int


def unknown_column(sql: str, tables: Mapping[str, Mapping[str, str]]) -> UnknownColumn | None:
    """Return the first column that a query reads of a table that does not have it; None if there is none.

    `tables` are the types of columns by table. Columns whose table is not written before the dot are not looked at, nor
    those of subqueries, whose columns are checked inside of them.
    """
    columns = {name.lower(): {each.lower() for each in types} for name, types in tables.items()}
    found = (
        UnknownColumn(table, column.name, _meta(column, "line"), _meta(column, "col") - len(column.name) + 1)
        for table, column in _columns_of_tables(sql)
        if table.lower() in columns and column.name.lower() not in columns[table.lower()]
    )
    return min(found, key=lambda each: (each.line, each.position), default=None)


def _columns_of_tables(sql: str) -> Iterator[tuple[str, exp.Column]]:
    """Yield the columns before whose dot a table or its alias stands, each with the name of the table."""
    try:
        scopes = traverse_scope(parse_one(sql, read="bigquery"))
    except (SqlglotError, RecursionError):
        return
    for scope in scopes:
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table) and not source.args.get("pivots") and len(column.parts) == 2:
                yield source.name, column


def _meta(column: exp.Column, name: str) -> int:
    return int(column.this.meta.get(name) or 0)
