"""Database files: DuckDB and SQLite, with what their logs of unfinished writes contain."""

import contextlib
import sqlite3
from collections.abc import Iterator

from rawless.audit.formats.columns import batch_parts
from rawless.audit.formats.source import Budget, Part, Source

_DUCKDB_MAGIC_AT = 8
_DUCKDB_CATALOGUE = (
    "schemas", "tables", "views", "columns", "constraints", "indexes", "functions", "sequences", "types",
)  # fmt: skip
_DUCKDB_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoload_known_extensions": False,
}
_BATCH_ROWS = 10_000


def is_duckdb(head: bytes) -> bool:
    """Return whether a file is a DuckDB database."""
    return head[_DUCKDB_MAGIC_AT:].startswith(b"DUCK")


def duckdb_parts(source: Source, budget: Budget) -> Iterator[Part]:
    """Yield the catalogue and all tables of a DuckDB database, of all schemas, from a copy of it.

    The copy is what makes it possible to read the local BigQuery's database while its server runs.
    """
    import duckdb  # an extra

    with (
        source.copied(".wal") as copy,
        duckdb.connect(copy, read_only=True, config=_DUCKDB_SETTINGS) as database,
    ):
        for name in _DUCKDB_CATALOGUE:
            rows = database.execute(f"FROM duckdb_{name}() WHERE database_name = current_database()")
            yield from batch_parts(rows.to_arrow_reader(_BATCH_ROWS), budget)
        tables = database.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary").fetchall()
        for schema, table in tables:
            rows = database.execute(f"FROM {_quoted(schema)}.{_quoted(table)}")
            for part in batch_parts(rows.to_arrow_reader(_BATCH_ROWS), budget):
                yield Part(f"{schema}.{table}.{part.name}", part.data)


def is_sqlite(head: bytes) -> bool:
    """Return whether a file is an SQLite database."""
    return head.startswith(b"SQLite format 3\0")


def sqlite_parts(source: Source, budget: Budget) -> Iterator[Part]:
    """Yield the catalogue and all tables of an SQLite database, from a copy of it."""
    with source.copied("-wal", "-journal") as copy, contextlib.closing(sqlite3.connect(copy)) as database:
        database.text_factory = bytes
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for table in ["sqlite_master", *(name.decode() for (name,) in tables)]:
            rows = database.execute(f"SELECT * FROM {_quoted(table)}")  # noqa: S608
            while batch := rows.fetchmany(_BATCH_ROWS):
                data = b"\n".join(_bytes(value) for row in batch for value in row)
                budget.take(data)
                yield Part(table, data)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
