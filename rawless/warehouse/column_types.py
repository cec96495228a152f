"""The BigQuery types of columns: inferred from a file's values, or as declared, and the conversion to them."""

import re
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rawless.errors import UserError

_DATE, _CLOCK = r"\d{4}-\d{2}-\d{2}", r"\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
_ZONE = r"( ?UTC|Z|[+-]\d{2}(:?\d{2})?)"
_INTEGER = r"(0|-?[1-9]\d{0,17})"
_PATTERNS = {
    "BOOL": r"(?i:true|false)",
    "INT64": _INTEGER,
    "FLOAT64": rf"{_INTEGER}|-?\d+\.\d+([eE][+-]?\d+)?",
    "DATE": _DATE,
    "TIMESTAMP": f"{_DATE}[T ]{_CLOCK}{_ZONE}",
    "DATETIME": f"{_DATE}[T ]{_CLOCK}",
}
"""The type of a column of texts is the first of which all values have the form, else STRING. A number with leading
zeros, with more digits than INT64 has, or such as 1e5 is an identifier."""
_IDENTIFIER = re.compile(
    r"(^|_)(id|ids|key|code|ref|reference|uuid|account|customer|user|person|subject|zip|postcode|phone|iban)"
    r"(_?(number|no|num))?$",
    re.IGNORECASE,
)
"""Names of columns that contain identifiers, which are text whatever they look like."""
ARROW = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "NUMERIC": pa.decimal128(38, 9),
}
"""The types that a column of business data may have."""


class ColumnType(NamedTuple):
    """The type of a column, as BigQuery names it."""

    name: str
    repeated: bool = False

    def __str__(self) -> str:
        """Return it as in SQL."""
        return f"ARRAY<{self.name}>" if self.repeated else self.name

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of the same values."""
        kind = ARROW[self.name]
        return pa.list_(kind) if self.repeated else kind


def infer(name: str, column: pa.ChunkedArray) -> ColumnType:
    """Return the type of a column: that of the file, or for texts the type that all of them have the form of.

    Columns that are named like identifiers are text. Raises UserError for a type that cannot be loaded.
    """
    kind, repeated = column.type, pa.types.is_list(column.type)
    values = pc.list_flatten(column) if repeated else column
    of = values.type
    if is_text(of) or pa.types.is_null(of):
        return ColumnType("STRING" if repeated or _IDENTIFIER.search(name) else _infer_text(values), repeated)
    if pa.types.is_integer(of):
        return ColumnType("STRING" if _IDENTIFIER.search(name) else "INT64", repeated)
    if pa.types.is_floating(of) and not _IDENTIFIER.search(name):
        return ColumnType("FLOAT64", repeated)
    if pa.types.is_decimal(of) and 0 <= of.scale <= 9 and of.precision - of.scale <= 29:
        return ColumnType("NUMERIC", repeated)
    if pa.types.is_timestamp(of):
        return ColumnType("DATETIME" if of.tz is None else "TIMESTAMP", repeated)
    if pa.types.is_boolean(of) or pa.types.is_date(of):
        return ColumnType("BOOL" if pa.types.is_boolean(of) else "DATE", repeated)
    raise UserError(
        f"The column {name} is of type {type_name(kind)}, which cannot be loaded; convert it to one of "
        f"{', '.join(ARROW)}, and identifiers to text."
    )


def _infer_text(values: pa.ChunkedArray) -> str:
    texts = pc.unique(values.cast(pa.string())).drop_null()
    if not len(texts):
        return "STRING"
    for name, pattern in _PATTERNS.items():
        if pc.all(pc.match_substring_regex(texts, f"^({pattern})$")).as_py() and _convertible(texts, name):
            return name
    return "STRING"


def _convertible(texts: pa.Array, name: str) -> bool:
    try:
        _cast(texts, ColumnType(name))
    except pa.ArrowInvalid:
        return False
    return True


def convert(name: str, column: pa.ChunkedArray, kind: ColumnType) -> pa.ChunkedArray:
    """Return a column with its values as the given type. Raises UserError, which counts the values that are not."""
    try:
        return _cast(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # its text quotes a value
        wrong = 0 if kind.repeated else sum(not _is_convertible(value, kind) for value in pc.unique(column))
    raise UserError(
        f"The column {name} is {kind}, but {f'{wrong:,} of its different values' if wrong else 'its values'} are not: "
        "correct them, or declare another type by --schema with --replace."
    )


def _is_convertible(value: pa.Scalar, kind: ColumnType) -> bool:
    try:
        _cast(pa.array([value.as_py()], value.type), kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _cast(column: pa.ChunkedArray | pa.Array, kind: ColumnType) -> pa.ChunkedArray | pa.Array:
    """Return the column cast without loss, except that fractions of a second are cut after six digits."""
    if is_text(column.type):
        if kind.name in ("TIMESTAMP", "DATETIME"):
            column = pc.replace_substring_regex(column, r"(\.\d{6})\d+", r"\1")
            column = pc.replace_substring_regex(column, " ?UTC$", "Z")
        if kind.name == "BOOL":
            column = pc.utf8_lower(column)
    if pa.types.is_timestamp(column.type):
        return column.cast(kind.arrow, safe=kind.name not in ("TIMESTAMP", "DATETIME"))
    return column.cast(kind.arrow)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is that of texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def type_name(kind: pa.DataType) -> str:
    """Return the name of a type. The keys of nested values are left out, because they may be content."""
    if pa.types.is_nested(kind):
        return "list" if pa.types.is_list(kind) or pa.types.is_large_list(kind) else "record"
    return str(kind)
