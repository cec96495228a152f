"""Query parameters, through which alone values reach SQL."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import NoneType
from typing import Any

from google.cloud import bigquery

_Parameter = bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter
Parameters = Sequence[_Parameter]

_TYPES = {bool: "BOOL", int: "INT64", float: "FLOAT64", str: "STRING", datetime: "TIMESTAMP", NoneType: "STRING"}


def parameters(values: Mapping[str, Any]) -> list[_Parameter]:
    """Convert values by name to parameters of the matching types; None becomes a null STRING, a list one of STRINGs."""
    return [_parameter(name, value) for name, value in values.items()]


def _parameter(name: str, value: Any) -> _Parameter:
    if isinstance(value, list | tuple):
        return bigquery.ArrayQueryParameter(name, "STRING", list(value))
    return bigquery.ScalarQueryParameter(name, _TYPES[type(value)], value)


def renamed(parameter: _Parameter, name: str) -> _Parameter:
    """Return the same parameter under another name."""
    copied = copy.copy(parameter)
    copied.name = name
    return copied


def structs(name: str, fields: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> bigquery.ArrayQueryParameter:
    """Convert rows to an array of structs with these fields, given as BigQuery types by name."""
    types = [bigquery.ScalarQueryParameterType(kind, name=field) for field, kind in fields.items()]  # type: ignore[no-untyped-call]
    values = [
        bigquery.StructQueryParameter(
            None, *(bigquery.ScalarQueryParameter(field, kind, row[field]) for field, kind in fields.items())
        )
        for row in rows
    ]
    return bigquery.ArrayQueryParameter(name, bigquery.StructQueryParameterType(*types), values)  # type: ignore[no-untyped-call]
