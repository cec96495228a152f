"""Table schemas: `sql/<table>_v1/schema.yaml` defines a table for writers, the local stack and terraform."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

import pyarrow as pa
from google.cloud import bigquery
from pydantic import Field

from rawless.config import FrozenModel, read_yaml

FOLDER = Path(__file__).parents[1] / "sql"
DatasetRole = Literal["events", "snapshots", "builds", "subjects", "audit"]
ROLES: tuple[DatasetRole, ...] = ("events", "snapshots", "builds", "subjects", "audit")
START_OF_EVENTS = datetime(1900, 1, 1, tzinfo=UTC)
"""Before any event: a query of a partitioned table, or of its function, must have a lower bound."""
_DAY_MILLISECONDS = 24 * 60 * 60 * 1000

_ARROW = {
    "STRING": pa.string(),
    "JSON": pa.string(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "FLOAT64": pa.float64(),
    "INT64": pa.int64(),
    "BOOL": pa.bool_(),
}


class Column(FrozenModel):
    """One column, in BigQuery's terms."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    type: Literal["STRING", "JSON", "TIMESTAMP", "FLOAT64", "INT64", "BOOL", "RECORD"]
    mode: Literal["REQUIRED", "NULLABLE", "REPEATED"]
    description: str
    fields: tuple["Column", ...] = ()

    def to_bigquery(self) -> bigquery.SchemaField:
        """Return the column as a field of the BigQuery client."""
        nested = [field.to_bigquery() for field in self.fields]
        return bigquery.SchemaField(self.name, self.type, self.mode, description=self.description, fields=nested)

    def to_arrow(self) -> pa.Field:
        """Return the column as an Arrow field, for the Storage Write API."""
        element = pa.struct([field.to_arrow() for field in self.fields]) if self.fields else _ARROW[self.type]
        return pa.field(self.name, pa.list_(element) if self.mode == "REPEATED" else element, self.mode != "REQUIRED")


class Partition(FrozenModel):
    """Partitioning by day of a timestamp column."""

    field: str
    filter_required: bool
    days: int | None = Field(default=None, ge=1)
    """How long rows are kept; None if they do not expire."""


class Table(FrozenModel):
    """A table of Rawless."""

    dataset: DatasetRole
    description: str
    partition: Partition | None = None
    per_snapshot: bool = False
    """Whether there is one for each snapshot, named after its id, instead of one."""
    cluster: tuple[str, ...] = Field(max_length=4)
    columns: tuple[Column, ...] = Field(min_length=1)

    @property
    def arrow_schema(self) -> pa.Schema:
        """Return the schema of all columns, in order."""
        return pa.schema([column.to_arrow() for column in self.columns])

    def to_bigquery(self, table_id: str) -> bigquery.Table:
        """Return the table as the BigQuery client creates it."""
        table = bigquery.Table(table_id, schema=[column.to_bigquery() for column in self.columns])
        table.description = self.description
        table.clustering_fields = list(self.cluster)
        if self.partition:
            lifetime = self.partition.days and self.partition.days * _DAY_MILLISECONDS
            table.time_partitioning = bigquery.TimePartitioning(field=self.partition.field, expiration_ms=lifetime)
            table.require_partition_filter = self.partition.filter_required
        return table


@cache
def table(name: str) -> Table:
    """Return the table with a name such as `embedding_event_v1`."""
    return read_yaml(FOLDER / name / "schema.yaml", Table, what="table schema")


@cache
def names() -> tuple[str, ...]:
    """Return the names of all tables that exist once, sorted."""
    found = sorted(path.parent.name for path in FOLDER.glob("*_v1/schema.yaml"))
    return tuple(name for name in found if not table(name).per_snapshot)


@cache
def functions() -> dict[str, Path]:
    """Return the SQL template of each table function by name; it is in the folder of the table that it reads."""
    return {path.stem: path for path in sorted(FOLDER.glob("*_v1/*.sql")) if f"{path.stem}_v1" == path.parent.name}
