"""Read files of business facts: CSV, JSON lines and Parquet, optionally compressed."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from rawless.errors import UserError
from rawless.events.csv_records import declared_delimiter
from rawless.events.file_format import check_text, open_text
from rawless.warehouse.column_types import is_text

_COMPRESSED = (".gz", ".zst", ".bz2", ".lz4")
_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_BOOLEANS = {"true", "false"}
_LARGEST_EXACT = 2**53
_LONGEST_HEADER = 1 << 20


class _Shape(NamedTuple):
    """The number of a row of a CSV file, and how many values it has and should have."""

    number: int
    values: int
    columns: int


def read(file: Path) -> pa.Table:
    """Return the rows of a file. All columns of a CSV file are texts, and so are times in JSON.

    Raises UserError when the file cannot be read as the format that its suffix names.
    """
    readers: dict[str, Callable[[Path], pa.Table]] = {
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
        ".parquet": pyarrow.parquet.read_table,
    }
    suffix = Path(file.stem).suffix if file.suffix in _COMPRESSED else file.suffix
    if suffix not in readers or (suffix == ".parquet" and file.suffix in _COMPRESSED):
        raise UserError(
            f"The file {file} must end in one of {', '.join(readers)}, which selects the format; .csv and .jsonl may "
            f"be followed by one of {', '.join(_COMPRESSED)}."
        )
    if not file.is_file():
        raise UserError(f"The file {file} does not exist; check the path.")
    try:
        table = _plain(readers[suffix](file))
    except (pa.ArrowException, OSError) as error:  # the text of the error quotes values
        if suffix != ".parquet" and (number := _line_of_another_encoding(file)):
            raise UserError(
                f"Line {number:,} of {file} is not UTF-8; convert the file, as in `iconv -f LATIN1 -t UTF-8`."
            ) from None
        raise UserError(f"The file {file} cannot be read as {suffix[1:]} ({type(error).__name__}).") from None
    _check_names(table, file)
    if table.num_rows == 0:
        raise UserError(f"The file {file} has no rows.")
    if suffix == ".csv":
        _check_header(table, file)
    return table


def is_name(name: str) -> bool:
    """Return whether a column may have a name."""
    return re.fullmatch(r"[A-Za-z_]\w{0,127}", name, re.ASCII) is not None


def distinct_texts(column: pa.ChunkedArray) -> pa.Array:
    """Return the distinct values of a column of texts, or of lists of texts; none of any other column."""
    values = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    return pc.unique(values).drop_null() if is_text(values.type) else pa.array([], pa.string())


def _check_names(table: pa.Table, file: Path) -> None:
    for position, name in enumerate(table.column_names, start=1):
        if not is_name(name):  # not printed: without a header it is a value
            raise UserError(
                f"The file {file} has no valid name for column {position}; add a header of letters, digits and _."
            )
    if len({name.lower() for name in table.column_names}) != len(table.column_names):
        raise UserError(f"The file {file} has two columns of the same name; rename one.")


def _check_header(table: pa.Table, file: Path) -> None:
    """Raise UserError if the names of the columns are values, which tables and messages would then contain."""
    for position, name in enumerate(table.column_names, start=1):
        texts = pc.utf8_lower(distinct_texts(table.column(position - 1)))
        shapes = pc.replace_substring_regex(texts, r"\d", "0") if re.search(r"\d", name) else texts
        is_boolean = name.lower() in _BOOLEANS and _BOOLEANS.issuperset(texts.to_pylist()[: len(_BOOLEANS) + 1])
        if is_boolean or pc.is_in(re.sub(r"\d", "0", name.lower()), pc.unique(shapes)).as_py():
            raise UserError(
                f"The first line of {file} seems to be data, since its column {position} has the form of a value below "
                "it; add a header, or rename the column."
            )


def _read_csv(file: Path) -> pa.Table:
    check_text(str(file), "FILE", "CSV")
    with open_text(file) as source:
        line = source.readline(_LONGEST_HEADER)
        declared = declared_delimiter(line)
        header = (source.readline(_LONGEST_HEADER) if declared else line).decode("utf-8-sig", errors="replace")
    if not line:
        raise UserError(f"The file {file} is empty; begin it with the names of its columns.")
    if "\ufffd" in header:
        raise UserError(f"The first line of {file} is not UTF-8; convert the file, as in `iconv -f LATIN1 -t UTF-8`.")
    delimiter = declared or max(_DELIMITERS, key=header.count)
    # Of several threads, none knows the number of a row.
    rows = pyarrow.csv.ReadOptions(skip_rows=1 if declared else 0, use_threads=False)
    refused: list[_Shape] = []
    shape = pyarrow.csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=partial(_refuse, refused)
    )
    try:
        with open_text(file) as source:
            # Names are read first, because only then every column can be declared to be text.
            names = pyarrow.csv.open_csv(source, rows, shape).schema.names
        texts = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        with open_text(file) as source:
            return pyarrow.csv.read_csv(source, rows, shape, texts)
    except pa.ArrowInvalid:
        if not refused:
            raise
        number, values, columns = refused[0]
        raise UserError(
            f"Row {number:,} of {file}, counting from the header, has {values} values instead of {columns}: put values "
            f"that contain {_DELIMITERS.get(delimiter, delimiter)} into quotation marks, and close each."
        ) from None


def _refuse(refused: "list[_Shape]", row: "pyarrow.csv.InvalidRow") -> str:
    """Note the shape of a row with another number of values than the header, whose text is content, and refuse it."""
    refused.append(_Shape(row.number, row.actual_columns, row.expected_columns))
    return "error"


def _line_of_another_encoding(file: Path) -> int | None:
    """Return the number of the first line that is not UTF-8; None if all are, or the file cannot be read."""
    try:
        with open_text(file) as source:
            for number, line in enumerate(source, start=1):
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return number
    except OSError:
        pass
    return None


def _read_jsonl(file: Path) -> pa.Table:
    check_text(str(file), "FILE", "JSON lines")
    with open_text(file) as source:
        table = pyarrow.json.read_json(source)
    # Arrow reads a time without its zone.
    if times := [field.name for field in table.schema if pa.types.is_timestamp(field.type)]:
        options = pyarrow.json.ParseOptions(explicit_schema=pa.schema([(name, pa.string()) for name in times]))
        with open_text(file) as source:
            table = pyarrow.json.read_json(source, parse_options=options).select(table.column_names)
    for field in table.schema:
        if pa.types.is_floating(field.type):
            largest = pc.max(pc.abs(table.column(field.name))).as_py() or 0
            if largest >= _LARGEST_EXACT:
                raise UserError(
                    f"The column {field.name} of {file} has numbers of so many digits that they would be rounded; "
                    "write them as text, in quotation marks."
                )
    return table


def _plain(table: pa.Table) -> pa.Table:
    """Return the table with categories, views and large types as plain types."""
    return table.cast(pa.schema([pa.field(field.name, _plain_type(field.type)) for field in table.schema]))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_list(kind) or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return kind
