"""Load a file of business facts into a table, optionally with plain subject ids replaced by pseudonyms."""

import io
import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from rawless.errors import UserError
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.privacy.subject_ids import MAX_SUBJECT_LENGTH, Step, normal_form
from rawless.warehouse import business_file, column_types
from rawless.warehouse.business_file import distinct_texts
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.column_types import ColumnType, is_text, type_name

Types = dict[str, ColumnType]
MAX_DISTINCT, MAX_LENGTH = 100, 64
"""Of the values of a STRING column that are not ids: with more or longer ones it is free text."""
_ID = rf"^[A-Za-z0-9_.:/+-]{{0,{MAX_LENGTH}}}$"
"""Ids, numbers and dates. No @, which e-mail addresses have, and no spaces."""
_LISTS = bigquery.ParquetOptions()  # type: ignore[no-untyped-call]
_LISTS.enable_list_inference = True
_SYNONYMS = {
    "INTEGER": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}


def load_file(
    warehouse: Warehouse,
    name: str,
    file: Path,
    *,
    existing: Literal["refuse", "append", "replace"] = "refuse",
    schema: Path | None = None,
    key: PseudonymKey | None = None,
    subject_column: str | None = None,
    subject_form: Sequence[Step] = (),
    text: Collection[str] = (),
) -> tuple[int, Types]:
    """Load a file into TABLE or DATASET.TABLE, and return the number of rows and the types of the columns.

    The types are those of the table if it exists and is not replaced, else those of `schema`, a file in BigQuery's
    JSON format, else inferred. With `key`, `subject_column` is replaced by pseudonyms of the ids in their normal form.

    Raises UserError for a name, file or column that is not valid, for a table that has rows unless `existing` says what
    becomes of them, and for a column of free text that is not in `text`; Unavailable when BigQuery does not answer.
    """
    table_id = _table_id(warehouse, name)
    table = business_file.read(file)
    if subject_column is not None and key is not None:
        table = pseudonymise(table, subject_column, key, subject_form)
    declared = None if schema is None else read_schema(schema)
    try:
        held = _held_types(warehouse, table_id, name, existing)
        if held and declared and held != declared:
            raise UserError(f"The table {name} exists with its own types: leave --schema out, or add --replace.")
        types = _types(table, held or declared, f"the table {name}" if held else f"--schema {schema}")
        typed = pa.table(
            {column: column_types.convert(column, table.column(column), types[column]) for column in types}
        )
        _check_texts(typed, text)
        _write(warehouse, table_id, typed, types, replace=existing == "replace")
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        code = getattr(error, "code", None)
        if isinstance(code, int) and 400 <= code < 500:  # its text may quote a cell
            raise UserError(
                f"BigQuery refused {file} for {name} ({type(error).__name__}): compare its columns and types with the "
                "table's, or use --replace."
            ) from None
        raise unavailable(error) from None
    return typed.num_rows, types


def read_schema(file: Path) -> Types:
    """Read the types of columns from a file in BigQuery's JSON format, as `bq show --schema` prints it.

    Raises UserError for a file that is not, and for a type that business data cannot have.
    """
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        entries = [
            (str(field["name"]), str(field["type"]).upper(), str(field.get("mode", "NULLABLE"))) for field in fields
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(
            f"--schema names {file}, which cannot be read as a list of columns ({type(error).__name__}): it contains "
            '[{"name": "customer_id", "type": "STRING"}, …].'
        ) from None
    types = {}
    for name, kind, mode in entries:
        kind = _SYNONYMS.get(kind, kind)
        if kind not in column_types.ARROW:
            raise UserError(
                f"--schema names {file}, but a column has none of the types {', '.join(column_types.ARROW)}."
            )
        types[name] = ColumnType(kind, mode.upper() == "REPEATED")
    return types


def _held_types(warehouse: Warehouse, table_id: str, name: str, existing: str) -> Types | None:
    """Return the types of an existing table to which rows are added, None if there is none or it is replaced."""
    try:
        table = warehouse.client.get_table(table_id, retry=warehouse.retry)
    except NotFound:
        return None
    if existing == "replace":
        return None
    if existing == "refuse" and table.num_rows:
        raise UserError(
            f"The table {name} already has {table.num_rows:,} rows: use --append to add those of the file to them, or "
            "--replace."
        )
    return {
        field.name: ColumnType(_SYNONYMS.get(field.field_type, field.field_type), field.mode == "REPEATED")
        for field in table.schema
    }


def _types(table: pa.Table, given: Types | None, where: str) -> Types:
    """Return the type of each column of the file. Raises UserError unless `given`, found in `where`, has them all."""
    if given is None:
        return {name: column_types.infer(name, table.column(name)) for name in table.column_names}
    if unknown := [name for name in table.column_names if name not in given]:
        raise UserError(f"The file has the column {unknown[0]}, but {where} has {', '.join(given)}.")
    if missing := [name for name in given if name not in table.column_names]:
        raise UserError(f"The file has no column {missing[0]}, but {where} has: add it, empty if there are no values.")
    return given


def _write(warehouse: Warehouse, table_id: str, table: pa.Table, types: Types, *, replace: bool) -> None:
    client, retry = warehouse.client, warehouse.retry
    target = bigquery.Table(table_id, schema=[_field(name, kind) for name, kind in types.items()])
    config = bigquery.LoadJobConfig(
        source_format="PARQUET",
        schema=target.schema,
        write_disposition="WRITE_TRUNCATE" if replace else "WRITE_APPEND",
    )
    config.parquet_options = _LISTS
    # A load job of the local BigQuery creates no table and replaces no columns.
    if replace and warehouse.emulator:
        client.delete_table(target, not_found_ok=True, retry=retry)
    client.create_table(target, exists_ok=True, retry=retry)
    job = client.load_table_from_file(_parquet(table), target.reference, job_config=config, num_retries=1)
    job.result(retry=retry)


def _field(name: str, kind: ColumnType) -> bigquery.SchemaField:
    return bigquery.SchemaField(name, kind.name, "REPEATED" if kind.repeated else "NULLABLE")


def _parquet(table: pa.Table) -> io.BytesIO:
    content = io.BytesIO()
    pyarrow.parquet.write_table(table, content)
    content.seek(0)
    return content


def _check_texts(table: pa.Table, declared: Collection[str]) -> None:
    """Raise UserError for a column of free text that is not declared, and for a declared one that does not exist."""
    if unknown := sorted(set(declared) - set(table.column_names)):
        raise UserError(f"--text names {unknown[0]!r}, but the file has {', '.join(table.column_names)}.")
    for name in table.column_names:
        texts = distinct_texts(table.column(name))
        if name in declared or pc.all(pc.match_substring_regex(texts, _ID), min_count=0).as_py():
            continue
        if len(texts) > MAX_DISTINCT or pc.max(pc.utf8_length(texts)).as_py() > MAX_LENGTH:
            raise UserError(
                f"The column {name} contains free text, which may be content: neither ids nor at most {MAX_DISTINCT} "
                f"different values of at most {MAX_LENGTH} characters. Leave it out, or name it by --text {name}."
            )


def pseudonymise(table: pa.Table, column: str, key: PseudonymKey, subject_form: Sequence[Step] = ()) -> pa.Table:
    """Return the table with `column` replaced by subject_key and subject_key_id. A missing id stays missing.

    Pseudonyms are those of the ids in their normal form. Raises UserError if an id cannot be that of an event.
    """
    if column not in table.column_names:
        raise UserError(f"--pseudonymise names {column!r}, but the file has {', '.join(table.column_names)}.")
    kind = table.schema.field(column).type
    if not (is_text(kind) or pa.types.is_integer(kind)):
        raise UserError(
            f"--pseudonymise names {column!r} of type {type_name(kind)}, but subject ids are text or whole numbers."
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
    dataset = name.rpartition(".")[0]
    if dataset.lower() == warehouse.config.snapshots.lower():
        raise UserError(f"{dataset} is the dataset of snapshots, which data scientists read: choose another dataset.")
    return warehouse.business_table_id(name)
