"""Tables whose rows many processes read, each of them some streams of one read session."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from google.cloud.bigquery import SchemaField

from rawless.errors import UserError
from rawless.events.source import TableDescription
from rawless.warehouse.client import Warehouse, translated_errors
from rawless.warehouse.read import batches, connected, open_streams, unreadable

MAX_STREAMS = 1_000
"""Of one session, by BigQuery's limit."""
_ARROW = {
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "INTEGER": pa.int64(),
    "INT64": pa.int64(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "DATETIME": pa.timestamp("us"),
    "DATE": pa.date32(),
    "BOOLEAN": pa.bool_(),
    "BOOL": pa.bool_(),
    "FLOAT": pa.float64(),
    "FLOAT64": pa.float64(),
    "NUMERIC": pa.decimal128(38, 9),
    "JSON": pa.string(),
}
"""The types as which columns are read, as far as an event may have them or a user may have meant them."""
_OTHER = pa.duration("us")
"""For all others: a type that no column of an event has."""
_EXPIRED = (
    "A part of the table cannot be read ({}): what a job reads of a table ends six hours after it started. Run the job "
    "again with more workers, or export the table to Parquet."
)


@dataclass(frozen=True)
class Tables:
    """The tables that a warehouse's project may read; see `rawless.events.source.Tables`."""

    warehouse: Warehouse

    def full_id(self, name: str) -> str:
        """See `rawless.events.source.Tables.full_id`."""
        return name if name.count(".") > 1 else f"{self.warehouse.config.project}.{name}"

    def describe(self, table_id: str) -> TableDescription:
        """See `rawless.events.source.Tables.describe`."""
        with translated_errors(lambda error: UserError(unreadable(table_id).format(type(error).__name__))):
            table = self.warehouse.client.get_table(table_id, retry=self.warehouse.retry)
        schema = pa.schema([_arrow(field) for field in table.schema])
        return TableDescription(table.table_type or "TABLE", schema, table.num_rows or 0, table.num_bytes or 0)

    def open_streams(self, table_id: str, columns: Sequence[str], at_least: int) -> list[str]:
        """See `rawless.events.source.Tables.open_streams`."""
        with connected(self.warehouse, unreadable(table_id)) as (client, retry):
            project = self.warehouse.config.project  # which pays, whoever owns the table
            return open_streams(client, table_id, columns, retry, "", min(max(1, at_least), MAX_STREAMS), project)

    def read_stream(self, name: str) -> Iterator[pa.RecordBatch]:
        """See `rawless.events.source.Tables.read_stream`."""
        with connected(self.warehouse, _EXPIRED) as (client, retry):
            yield from batches(client, name, retry)

    def only_here(self) -> bool:
        """See `rawless.events.source.Tables.only_here`."""
        return self.warehouse.emulator is not None


def _arrow(field: SchemaField) -> pa.Field:
    kind = pa.struct([_arrow(each) for each in field.fields]) if field.fields else _ARROW.get(field.field_type, _OTHER)
    return pa.field(field.name, pa.list_(kind) if field.mode == "REPEATED" else kind)
