"""Loading a file of business facts into a table, with plain subject ids replaced by pseudonyms where asked."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

from privacy import Unavailable, UserError
from privacy.pseudonyms import PseudonymKey
from sql.warehouse import Warehouse

_READERS = {
    ".csv": pyarrow.csv.read_csv,
    ".jsonl": pyarrow.json.read_json,
    ".parquet": pyarrow.parquet.read_table,
}
_TYPES: list[tuple[Callable[[pa.DataType], bool], str]] = [
    (pa.types.is_boolean, "BOOL"),
    (pa.types.is_integer, "INT64"),
    (pa.types.is_floating, "FLOAT64"),
    (pa.types.is_decimal, "NUMERIC"),
    (pa.types.is_date, "DATE"),
    (lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None, "TIMESTAMP"),
    (pa.types.is_timestamp, "DATETIME"),
    (lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind), "STRING"),
]
_LISTS = bigquery.ParquetOptions()  # type: ignore[no-untyped-call]
_LISTS.enable_list_inference = True


def load_file(
    warehouse: Warehouse,
    name: str,
    file: Path,
    *,
    key: PseudonymKey | None = None,
    subject_column: str | None = None,
    replace: bool = False,
) -> tuple[int, list[str]]:
    """Load a file into TABLE or DATASET.TABLE; returns the rows and the columns that were loaded.

    Raises UserError for a name, file or column that does not fit, Unavailable when BigQuery is away.
    """
    table = read(file)
    if subject_column is not None and key is not None:
        table = pseudonymised(table, subject_column, key)
    target = bigquery.Table(_table_id(warehouse, name), schema=[_column(field) for field in table.schema])
    config = bigquery.LoadJobConfig(
        source_format="PARQUET",
        schema=target.schema,
        write_disposition="WRITE_TRUNCATE" if replace else "WRITE_APPEND",
    )
    config.parquet_options = _LISTS
    try:
        # Made first: the local BigQuery makes no table when it loads.
        warehouse.client.create_table(target, exists_ok=True)
        warehouse.client.load_table_from_file(_parquet(table), target.reference, job_config=config).result()
    except GoogleAPICallError as error:
        if error.code is not None and 400 <= error.code < 500:  # its text may quote a cell
            raise UserError(
                f"BigQuery refused {file} for {name} ({type(error).__name__}): compare its columns and types with the "
                "table's, or give --replace."
            ) from None
        raise Unavailable(f"BigQuery did not answer ({type(error).__name__}); run the command again.") from None
    return table.num_rows, list(table.column_names)


def _parquet(table: pa.Table) -> io.BytesIO:
    content = io.BytesIO()
    pyarrow.parquet.write_table(table, content, coerce_timestamps="us")
    content.seek(0)
    return content


def _column(field: pa.Field) -> bigquery.SchemaField:
    if pa.types.is_list(field.type):
        return bigquery.SchemaField(field.name, _type(field, field.type.value_type), "REPEATED")
    return bigquery.SchemaField(field.name, _type(field, field.type), "NULLABLE")


def _type(field: pa.Field, kind: pa.DataType) -> str:
    for fits, name in _TYPES:
        if fits(kind):
            return name
    raise UserError(f"The column {field.name} holds {kind}, which cannot be loaded: turn it into text, number or time.")


def read(file: Path) -> pa.Table:
    """A CSV, JSON lines or Parquet file as a table. Raises UserError when it cannot be read as what its name says."""
    if file.suffix not in _READERS:
        raise UserError(f"The file {file} must end in one of {', '.join(_READERS)}, which says how to read it.")
    if not file.is_file():
        raise UserError(f"The file {file} does not exist: check the path.")
    try:
        table = _READERS[file.suffix](file)
    except (pa.ArrowException, OSError) as error:  # its text quotes values
        raise UserError(f"The file {file} cannot be read as {file.suffix[1:]} ({type(error).__name__}).") from None
    if table.num_rows == 0:
        raise UserError(f"The file {file} has no rows.")
    return table


def pseudonymised(table: pa.Table, column: str, key: PseudonymKey) -> pa.Table:
    """The table with `column` replaced by subject_key and subject_key_id. A missing id stays missing."""
    if column not in table.column_names:
        raise UserError(f"--pseudonymise names {column!r}, but the file has {', '.join(table.column_names)}.")
    ids = table.column(column).cast(pa.string()).to_pylist()
    keys = pa.array([None if each is None else key.pseudonym(each) for each in ids], pa.string())
    key_ids = pa.array([None if each is None else key.key_id for each in ids], pa.string())
    kept = table.drop_columns([column])
    return kept.append_column("subject_key", keys).append_column("subject_key_id", key_ids)


def _table_id(warehouse: Warehouse, name: str) -> str:
    if not re.fullmatch(r"([A-Za-z_]\w{0,127}\.)?[A-Za-z_]\w{0,127}", name, re.ASCII):
        raise UserError(f"The table is {name!r}, but must be TABLE or DATASET.TABLE of letters, digits and _.")
    dataset, _, table = name.rpartition(".")
    return f"{warehouse.places.project}.{dataset or warehouse.places.events}.{table}"
