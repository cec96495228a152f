"""Count what a build reads on BigQuery and what that costs, from the columns that its statements read.

BigQuery bills the columns that a statement reads of each table, once however often it names them, in the partitions and
blocks that its filters leave. Nothing is billed for rows that are written.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from rawless.datasets.working_columns import COLUMNS
from rawless.warehouse.tables import names, table

PRICE_PER_TIB = 6.25
"""US dollars per TiB read on demand, as published for the US in 2026."""
STORAGE_PER_GIB_MONTH = 0.02
"""US dollars for active logical storage."""
WRITE_PER_GIB = 0.025
"""US dollars for rows through the Storage Write API; the first 2 TiB a month are free."""
CPU_WORKER_PER_HOUR = 0.166
"""US dollars for a worker of 2 vCPUs and 8 GB."""
TIB = 2**40
GIB = 2**30
_FIXED_BYTES = {"TIMESTAMP": 8, "FLOAT64": 8, "INT64": 8, "BOOL": 1}
_LENGTHS = {
    "event_id": 36, "subject_key": 64, "person_key": 64, "subject_key_id": 16, "caller_key": 16,
    "encoder_fingerprint": 64, "row_hash": 64, "attributes": 24,
}  # fmt: skip
"""Typical characters of text columns; all others are about as long as a name."""
_NAME_LENGTH = 12
_EMPTY = {"example_id", "label_value", "left_event_id", "right_event_id", "right_embedding", "removed_by", "caller_key"}
"""Columns that are empty in nearly all rows of events, for which BigQuery bills nothing."""
_DAYS = 365
"""Over which the deliveries are spread."""


@dataclass(frozen=True)
class Volume:
    """How many rows the tables have that a build reads."""

    deliveries: int
    """Of the stream, by all encoders."""
    dimension: int
    encoders: int = 1
    """By which each event was encoded."""
    days_read: float = 1.0
    """The share of the deliveries that is on the days of the remaining events."""
    remaining: float = 1.0
    """The share of the events that the snapshot has."""
    events_of_person: int = 10
    event_id_length: int = 36

    @property
    def events(self) -> int:
        """Return how many events there are."""
        return self.deliveries // self.encoders


def dollars(size: float) -> float:
    """Return what reading so many bytes costs on demand, in US dollars."""
    return size / TIB * PRICE_PER_TIB


def count(sql: str, volume: Volume, business: Mapping[str, tuple[str, ...]], *, created_only: bool = False) -> float:
    """Return the bytes that a statement of a build reads, of all tables or only of those that the build creates.

    `business` has the columns of the tables of facts by name.
    """
    read = columns_read(sql, tuple(sorted(business.items())))
    if created_only:
        read = {name: columns for name, columns in read.items() if name.startswith(("build_", "snapshot_"))}
    return sum(_rows(name, sql, volume, business) * _width(name, columns, volume) for name, columns in read.items())


@cache
def columns_read(sql: str, business: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, frozenset[str]]:
    """Return the columns that a statement reads by the name of the table, without those that it does not need."""
    (tree,) = BigQuery().parse(sql)
    query = tree.expression if isinstance(tree, exp.Insert | exp.Create) else tree
    if not isinstance(query, exp.Query):
        return {}
    schema = _schema(query, dict(business))
    query = qualify(query, schema=schema, dialect=BigQuery, validate_qualify_columns=False, quote_identifiers=False)
    query = pushdown_projections(query, schema=schema)
    read: dict[str, set[str]] = defaultdict(set)
    for scope in traverse_scope(query):
        for alias, source in scope.sources.items():
            if isinstance(source, exp.Table) and source.db:
                read[source.name] |= {column.name for column in scope.columns if column.table == alias}
    return {name: frozenset(columns) for name, columns in read.items()}


def _schema(query: exp.Query, business: dict[str, tuple[str, ...]]) -> dict[str, object]:
    schema: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for found in query.find_all(exp.Table):
        if found.db and (columns := _columns(found.name, business)):
            place = schema.setdefault(found.catalog, {}).setdefault(found.db, {})
            place[found.name] = dict.fromkeys(columns, "STRING")
    return dict(schema)


def _columns(name: str, business: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    if name in names():
        return tuple(column.name for column in table(name).columns)
    if name.startswith("build_"):
        return next(tuple(columns) for role, columns in COLUMNS.items() if name.endswith(f"_{role}"))
    if name.startswith("snapshot_"):
        return tuple(column.name for column in table("snapshot_v1").columns)
    return business.get(name, ())


def _rows(name: str, sql: str, volume: Volume, business: Mapping[str, tuple[str, ...]]) -> float:
    """Return how many rows of a table a statement reads, by the filters of our statements."""
    if name == "embedding_event_v1":
        if "delivery_number" in sql:  # to find the first delivery, those by all encoders are read
            return volume.deliveries
        return volume.events / _DAYS if "@encoder_hash" in sql else volume.events * volume.days_read
    if name.startswith("build_") and name.endswith("_mark"):
        return volume.events * (1 - volume.remaining)
    if name.startswith("snapshot_"):
        return 0 if name in names() else volume.events * volume.remaining
    if name == "subject_map_v1" or "event_id" not in business.get(name, ("event_id",)):
        return volume.events / volume.events_of_person
    return 0 if name in names() else volume.events


def _width(name: str, columns: frozenset[str], volume: Volume) -> float:
    """Return the bytes of columns in a row, as BigQuery counts them."""
    return sum(_column_bytes(name, column, volume) for column in columns)


def _column_bytes(name: str, column: str, volume: Volume) -> int:
    if column == "example_id" and name.endswith("_mark"):
        column = "event_id"
    if column in _EMPTY:
        return 0
    if column == "embedding":
        return 8 * volume.dimension
    if column == "event_id":
        return 2 + volume.event_id_length
    kind = _types(name).get(column, "TIMESTAMP" if column.endswith("_at") else "STRING")
    return _FIXED_BYTES.get(kind, 2 + _LENGTHS.get(column, _NAME_LENGTH))


@cache
def _types(name: str) -> dict[str, str]:
    if name.startswith("build_"):
        return next(dict(columns) for role, columns in COLUMNS.items() if name.endswith(f"_{role}"))
    known = "snapshot_v1" if name.startswith("snapshot_") and name not in names() else name
    return {column.name: column.type for column in table(known).columns} if known in {*names(), "snapshot_v1"} else {}


def column_bytes(column: str, dimension: int) -> int:
    """Return the bytes that a column of `embedding_event_v1` takes in a row, as BigQuery counts them."""
    return _column_bytes("embedding_event_v1", column, Volume(1, dimension))


def row_bytes(dimension: int) -> int:
    """Return the bytes of one row of `embedding_event_v1`, as BigQuery counts them."""
    return sum(column_bytes(column.name, dimension) for column in table("embedding_event_v1").columns)
