"""Made-up rows of a unit test as SQL: a CTE for each table, with literals, so that no table has to be created."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlglot import exp

from rawless.datasets.working_columns import ATTRIBUTES
from rawless.errors import UserError

Row = Mapping[str, Any]
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "BOOL"), (int, "INT64"), (float, "FLOAT64"), (str, "STRING"), (datetime, "TIMESTAMP"), (date, "DATE"),
)  # fmt: skip
"""In this order, since a bool is an int too, and a datetime a date."""


def type_of(column: str, values: Iterable[Any], where: str) -> str:
    """Return the type of a column with these values; that of one without values follows from its name.

    Raises UserError, which starts with `where`, for values of several types.
    """
    kinds = {_kind(column, value, where) for value in values if value is not None}
    if kinds == {"INT64", "FLOAT64"}:
        return "FLOAT64"
    if len(kinds) > 1:
        raise UserError(f"{where} has {column} as {' and '.join(sorted(kinds))}: write all its values as one type.")
    return kinds.pop() if kinds else "TIMESTAMP" if column.endswith("_at") else "STRING"


def _kind(column: str, value: Any, where: str) -> str:
    if isinstance(value, datetime) and value.tzinfo is None:
        return "DATETIME"
    for kind, name in _TYPES:
        if isinstance(value, kind):
            return name
    raise UserError(f"{where} has {column} as {type(value).__name__}: write a text, number, boolean or time.")


def render(name: str, types: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Return a CTE with these rows. A column that a row lacks is NULL."""
    first, *others = rows or [{}]
    names = [f"{_literal(first.get(column), kind)} AS `{column}`" for column, kind in types.items()]
    lines = [f"SELECT {', '.join(names)}"]
    lines += [
        f"SELECT {', '.join(_literal(row.get(column), kind) for column, kind in types.items())}" for row in others
    ]
    selected = "\n  UNION ALL\n  ".join(lines)
    return f"{name} AS (\n  {selected}{'' if rows else ' LIMIT 0'}\n)"


def _literal(value: Any, kind: str) -> str:
    if kind == ATTRIBUTES:
        pairs = ", ".join(f"STRUCT({_text(each['key'])}, {_text(each['value'])})" for each in value or ())
        return f"{ATTRIBUTES}[{pairs}]"
    if value is None:
        return f"CAST(NULL AS {kind})"
    if isinstance(value, bool | int | float):
        return f"CAST({str(value).upper()} AS {kind})"
    return f"CAST({_text(value.isoformat() if isinstance(value, date) else value)} AS {kind})"


def _text(value: str) -> str:
    return exp.Literal.string(value).sql("bigquery")
