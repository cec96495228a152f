"""Query parameters: the only way in which values reach SQL, each with its type."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import NoneType
from typing import Any

from google.cloud import bigquery

_Parameter = bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter
Parameters = Sequence[_Parameter]

_TYPES = {bool: "BOOL", int: "INT64", float: "FLOAT64", str: "STRING", datetime: "TIMESTAMP", NoneType: "STRING"}


def parameters(values: Mapping[str, Any]) -> list[_Parameter]:
    """Values by name, of the types that they have; None is a missing text, and a list is one of texts."""
    return [_parameter(name, value) for name, value in values.items()]


def _parameter(name: str, value: Any) -> _Parameter:
    if isinstance(value, list | tuple):
        return bigquery.ArrayQueryParameter(name, "STRING", list(value))
    return bigquery.ScalarQueryParameter(name, _TYPES[type(value)], value)


def structs(name: str, fields: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> bigquery.ArrayQueryParameter:
    """Rows as an array of structs with these fields, of these types whether or not there are rows."""
    types = [bigquery.ScalarQueryParameterType(kind, name=field) for field, kind in fields.items()]  # type: ignore[no-untyped-call]
    made = [
        bigquery.StructQueryParameter(
            None, *(bigquery.ScalarQueryParameter(field, kind, row[field]) for field, kind in fields.items())
        )
        for row in rows
    ]
    return bigquery.ArrayQueryParameter(name, bigquery.StructQueryParameterType(*types), made)  # type: ignore[no-untyped-call]
