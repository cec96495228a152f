"""Load a file of business facts into a table, optionally with plain subject ids replaced by pseudonyms."""

import io
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from rawless.errors import UserError
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.privacy.subject_ids import MAX_SUBJECT_LENGTH, Step, normal_form
from rawless.warehouse.client import Warehouse, unavailable

_TYPES: list[tuple[Callable[[pa.DataType], bool], str]] = [
    (pa.types.is_boolean, "BOOL"),
    (pa.types.is_integer, "INT64"),
    (pa.types.is_floating, "FLOAT64"),
    (pa.types.is_decimal, "NUMERIC"),
    (pa.types.is_date, "DATE"),
    (lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None, "TIMESTAMP"),
    (pa.types.is_timestamp, "DATETIME"),
    (lambda kind: _is_text(kind) or pa.types.is_null(kind), "STRING"),
]
MAX_DISTINCT, MAX_LENGTH = 100, 64
"""Of the values of a STRING column that are not ids: with more or longer ones it is free text."""
_ID = rf"^[A-Za-z0-9_.:/+-]{{0,{MAX_LENGTH}}}$"
"""Ids, numbers and dates. No @, which e-mail addresses have, and no spaces."""
_LISTS = bigquery.ParquetOptions()  # type: ignore[no-untyped-call]
_LISTS.enable_list_inference = True


def load_file(
    warehouse: Warehouse,
    name: str,
    file: Path,
    *,
    key: PseudonymKey | None = None,
    subject_column: str | None = None,
    text: Collection[str] = (),
    replace: bool = False,
    subject_form: Sequence[Step] = (),
) -> tuple[int, list[str]]:
    """Load a file into TABLE or DATASET.TABLE, and return the number of rows and the columns that were loaded.

    With `key`, `subject_column` is replaced by pseudonyms of the ids in their normal form. Raises UserError for a name,
    file or column that is not valid, and for a column of free text that is not in `text`; Unavailable when BigQuery
    does not answer.
    """
    table = read(file, subject_column)
    if subject_column is not None and key is not None:
        table = pseudonymise(table, subject_column, key, subject_form)
    _check_texts(table, text)
    target = bigquery.Table(_table_id(warehouse, name), schema=[_column(field) for field in table.schema])
    config = bigquery.LoadJobConfig(
        source_format="PARQUET",
        schema=target.schema,
        write_disposition="WRITE_TRUNCATE" if replace else "WRITE_APPEND",
    )
    config.parquet_options = _LISTS
    client, retry = warehouse.client, warehouse.retry
    try:
        # Created first, because a load job of the local BigQuery creates no table.
        client.create_table(target, exists_ok=True, retry=retry)
        job = client.load_table_from_file(_parquet(table), target.reference, job_config=config, num_retries=1)
        job.result(retry=retry)
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        code = getattr(error, "code", None)
        if isinstance(code, int) and 400 <= code < 500:  # its text may quote a cell
            raise UserError(
                f"BigQuery refused {file} for {name} ({type(error).__name__}): compare its columns and types with the "
                "table's, or use --replace."
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
    for is_type, name in _TYPES:
        if is_type(kind):
            return name
    raise UserError(
        f"The column {field.name} is of type {_type_name(kind)}, which cannot be loaded; convert it to another type."
    )


def _type_name(kind: pa.DataType) -> str:
    """Return the name of a type. The keys of nested values are left out, because they may be content."""
    if pa.types.is_nested(kind):
        return "list" if pa.types.is_list(kind) or pa.types.is_large_list(kind) else "record"
    return str(kind)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _distinct_texts(column: pa.ChunkedArray) -> pa.Array:
    """Return the distinct values of a column of texts, or of lists of texts; none of any other column."""
    values = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    return pc.unique(values).drop_null() if _is_text(values.type) else pa.array([], pa.string())


def _check_texts(table: pa.Table, declared: Collection[str]) -> None:
    """Raise UserError for a column of free text that is not declared, and for a declared one that does not exist."""
    if unknown := sorted(set(declared) - set(table.column_names)):
        raise UserError(f"--text names {unknown[0]!r}, but the file has {', '.join(table.column_names)}.")
    for name in table.column_names:
        texts = _distinct_texts(table.column(name))
        if name in declared or pc.all(pc.match_substring_regex(texts, _ID), min_count=0).as_py():
            continue
        if len(texts) > MAX_DISTINCT or pc.max(pc.utf8_length(texts)).as_py() > MAX_LENGTH:
            raise UserError(
                f"The column {name} contains free text, which may be content: neither ids nor at most {MAX_DISTINCT} "
                f"different values of at most {MAX_LENGTH} characters. Leave it out, or name it by --text {name}."
            )


def read(file: Path, subject_column: str | None = None) -> pa.Table:
    """Read a CSV, JSON lines or Parquet file; the subject column of a CSV file is read as text.

    Raises UserError when the file cannot be read as the format that its suffix names.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if file.suffix not in readers:
        raise UserError(f"The file {file} must end in one of {', '.join(readers)}, which selects the format.")
    if not file.is_file():
        raise UserError(f"The file {file} does not exist; check the path.")
    try:
        table = readers[file.suffix](file, subject_column)
    except (pa.ArrowException, OSError) as error:  # the text of the error quotes values
        raise UserError(f"The file {file} cannot be read as {file.suffix[1:]} ({type(error).__name__}).") from None
    if table.num_rows == 0:
        raise UserError(f"The file {file} has no rows.")
    for position, name in enumerate(table.column_names, start=1):
        if not re.fullmatch(r"[A-Za-z_]\w{0,127}", name, re.ASCII):  # not printed: without a header it is a value
            raise UserError(
                f"The file {file} has no valid name for column {position}; add a header of letters, digits and _."
            )
    if len(set(table.column_names)) != len(table.column_names):
        raise UserError(f"The file {file} has two columns of the same name; rename one.")
    if file.suffix == ".csv":
        _check_header(table, file)
    return table


def _check_header(table: pa.Table, file: Path) -> None:
    """Raise UserError if the names of the columns are values, which tables and messages would then contain."""
    for position, name in enumerate(table.column_names, start=1):
        column = table.column(position - 1)
        is_boolean = pa.types.is_boolean(column.type) and name.lower() in ("true", "false")
        texts = _distinct_texts(column)
        shapes = pc.replace_substring_regex(texts, r"\d", "0") if re.search(r"\d", name) else texts
        if is_boolean or pc.is_in(re.sub(r"\d", "0", name), pc.unique(shapes)).as_py():
            raise UserError(
                f"The first line of {file} seems to be data, since its column {position} has the form of a value below "
                "it; add a header, or rename the column."
            )


def _read_csv(file: Path, subject_column: str | None) -> pa.Table:
    # An id such as 007 or 1e5 is text, whatever it looks like.
    types = {subject_column: pa.string()} if subject_column else {}
    options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""])
    return pyarrow.csv.read_csv(file, convert_options=options)


def _read_jsonl(file: Path, _: str | None) -> pa.Table:
    return pyarrow.json.read_json(file)


def _read_parquet(file: Path, _: str | None) -> pa.Table:
    return pyarrow.parquet.read_table(file)


def pseudonymise(table: pa.Table, column: str, key: PseudonymKey, subject_form: Sequence[Step] = ()) -> pa.Table:
    """Return the table with `column` replaced by subject_key and subject_key_id. A missing id stays missing.

    Pseudonyms are those of the ids in their normal form. Raises UserError if an id cannot be that of an event.
    """
    if column not in table.column_names:
        raise UserError(f"--pseudonymise names {column!r}, but the file has {', '.join(table.column_names)}.")
    kind = table.schema.field(column).type
    if not (_is_text(kind) or pa.types.is_integer(kind)):
        raise UserError(
            f"--pseudonymise names {column!r} of type {_type_name(kind)}, but subject ids are text or whole numbers."
        )
    if existing := {"subject_key", "subject_key_id"} & set(table.column_names):
        raise UserError(f"--pseudonymise adds the column {min(existing)}, but the file already has one; rename it.")
    texts = table.column(column).cast(pa.string()).to_pylist()
    plain = [None if text is None or not text.strip() else text for text in texts]
    ids = [None if text is None else normal_form(text, subject_form) for text in plain]
    if unusable := sum(text is not None and subject is None for text, subject in zip(plain, ids, strict=True)):
        raise UserError(
            f"{unusable:,} ids in {column} cannot be those of an event: an id has at most {MAX_SUBJECT_LENGTH} "
            "characters, all printable, and no outer blanks unless --subject-form says trim, as the streams must, too."
        )
    keys = pa.array([None if subject is None else key.pseudonym(subject) for subject in ids], pa.string())
    key_ids = pa.array([None if subject is None else key.key_id for subject in ids], pa.string())
    return table.drop_columns([column]).append_column("subject_key", keys).append_column("subject_key_id", key_ids)


def _table_id(warehouse: Warehouse, name: str) -> str:
    if not re.fullmatch(r"([A-Za-z_]\w{0,127}\.)?[A-Za-z_]\w{0,127}", name, re.ASCII):
        raise UserError(f"The table is {name!r}, but must be TABLE or DATASET.TABLE of letters, digits and _.")
    return warehouse.business_table_id(name)
