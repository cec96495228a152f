"""Loading a file of business facts into a table, with plain subject ids replaced by pseudonyms where asked."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from rawless.errors import UserError
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.warehouse.client import Warehouse, unavailable

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
    table = read(file, subject_column)
    if subject_column is not None and key is not None:
        table = pseudonymised(table, subject_column, key)
    target = bigquery.Table(_table_id(warehouse, name), schema=[_column(field) for field in table.schema])
    config = bigquery.LoadJobConfig(
        source_format="PARQUET",
        schema=target.schema,
        write_disposition="WRITE_TRUNCATE" if replace else "WRITE_APPEND",
    )
    config.parquet_options = _LISTS
    client, retry = warehouse.client, warehouse.retry
    try:
        # Made first: the local BigQuery makes no table when it loads.
        client.create_table(target, exists_ok=True, retry=retry)
        job = client.load_table_from_file(_parquet(table), target.reference, job_config=config, num_retries=1)
        job.result(retry=retry)
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        code = getattr(error, "code", None)
        if isinstance(code, int) and 400 <= code < 500:  # its text may quote a cell
            raise UserError(
                f"BigQuery refused {file} for {name} ({type(error).__name__}): compare its columns and types with the "
                "table's, or give --replace."
            ) from None
        raise unavailable(error) from None
    return table.num_rows, list(table.column_names)


def _parquet(table: pa.Table) -> io.BytesIO:
    content = io.BytesIO()
    pyarrow.parquet.write_table(table, content, coerce_timestamps="us", allow_truncated_timestamps=True)
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


def read(file: Path, subject_column: str | None = None) -> pa.Table:
    """A CSV, JSON lines or Parquet file as a table; in a CSV the subject column is taken as the text that stands there.

    Raises UserError when it cannot be read as what its name says.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if file.suffix not in readers:
        raise UserError(f"The file {file} must end in one of {', '.join(readers)}, which says how to read it.")
    if not file.is_file():
        raise UserError(f"The file {file} does not exist: check the path.")
    try:
        table = readers[file.suffix](file, subject_column)
    except (pa.ArrowException, OSError) as error:  # its text quotes values
        raise UserError(f"The file {file} cannot be read as {file.suffix[1:]} ({type(error).__name__}).") from None
    if table.num_rows == 0:
        raise UserError(f"The file {file} has no rows.")
    for position, name in enumerate(table.column_names, start=1):
        if not re.fullmatch(r"[A-Za-z_]\w{0,127}", name, re.ASCII):  # never shown: without a header it is a value
            raise UserError(
                f"The file {file} has no name for column {position}: give it a header of letters, digits and _."
            )
    if len(set(table.column_names)) != len(table.column_names):
        raise UserError(f"The file {file} has a column twice: rename one.")
    return table


def _read_csv(file: Path, subject_column: str | None) -> pa.Table:
    # An id such as 007 or 1e5 is text, whatever it looks like.
    types = {subject_column: pa.string()} if subject_column else {}
    options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""])
    return pyarrow.csv.read_csv(file, convert_options=options)


def _read_jsonl(file: Path, _: str | None) -> pa.Table:
    return pyarrow.json.read_json(file)


def _read_parquet(file: Path, _: str | None) -> pa.Table:
    return pyarrow.parquet.read_table(file)


def pseudonymised(table: pa.Table, column: str, key: PseudonymKey) -> pa.Table:
    """The table with `column` replaced by subject_key and subject_key_id. A missing id stays missing."""
    if column not in table.column_names:
        raise UserError(f"--pseudonymise names {column!r}, but the file has {', '.join(table.column_names)}.")
    kind = table.schema.field(column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
        raise UserError(f"--pseudonymise names {column!r}, which holds {kind}: subject ids are text or whole numbers.")
    if taken := {"subject_key", "subject_key_id"} & set(table.column_names):
        raise UserError(f"--pseudonymise makes the column {min(taken)}, but the file has one already: rename it.")
    ids = table.column(column).cast(pa.string()).to_pylist()
    keys = pa.array([key.pseudonym(each) if each else None for each in ids], pa.string())
    key_ids = pa.array([key.key_id if each else None for each in ids], pa.string())
    kept = table.drop_columns([column])
    return kept.append_column("subject_key", keys).append_column("subject_key_id", key_ids)


def _table_id(warehouse: Warehouse, name: str) -> str:
    if not re.fullmatch(r"([A-Za-z_]\w{0,127}\.)?[A-Za-z_]\w{0,127}", name, re.ASCII):
        raise UserError(f"The table is {name!r}, but must be TABLE or DATASET.TABLE of letters, digits and _.")
    return warehouse.business_table_id(name)
