"""Queries with parameters from Python, and their rows as a frame with the types of their columns."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

from rawless.errors import UserError
from rawless.warehouse.client import Warehouse

_TYPES: dict[type, str] = {
    bool: "BOOL",
    int: "INT64",
    float: "FLOAT64",
    str: "STRING",
    bytes: "BYTES",
    dt.datetime: "TIMESTAMP",
    dt.date: "DATE",
}
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_Parameter = ScalarQueryParameter | ArrayQueryParameter
_NULLABLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
"""Types of columns that keep whole numbers and booleans as they are where a row has none."""


def query(warehouse: Warehouse, statement: str, values: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of a query as a frame, which has all columns even without rows.

    A TIMESTAMP has the time zone UTC, an ARRAY of numbers is a numpy array, an INT64 and a BOOL may be missing.
    """
    if not isinstance(statement, str) or not statement.strip():
        raise UserError("The query is empty or no text: give a SELECT statement, as in home.sql('SELECT 1').")
    rows = warehouse.run_as_arrow(statement, [_parameter(name, value) for name, value in values.items()])
    frame: pd.DataFrame = rows.to_pandas(types_mapper=_NULLABLE.get)
    return frame


def _parameter(name: str, value: Any) -> _Parameter:
    """Return a query parameter. Raises UserError for a value that SQL has no type for."""
    if isinstance(value, list | tuple | set | frozenset | np.ndarray | pd.Series):
        plain = [_plain(name, each) for each in value]
        kinds = {_kind(name, each) for each in plain}
        if kinds == {"INT64", "FLOAT64"}:
            kinds, plain = {"FLOAT64"}, [float(each) for each in plain]
        if len(kinds) != 1 or None in plain:
            raise UserError(
                f"The parameter {name} is a list of {', '.join(sorted(kinds)) or 'nothing'}, but a list has values of "
                "one type, and none that is missing: convert its values."
            )
        return ArrayQueryParameter(name, kinds.pop(), plain)
    plain_value = _plain(name, value)
    return ScalarQueryParameter(name, _kind(name, plain_value), plain_value)


def _plain(name: str, value: Any) -> Any:
    """Return a value of numpy or pandas as Python's own; a missing one as None."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, pd.Timestamp):
        value = value.to_pydatetime(warn=False)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        raise UserError(
            f"The parameter {name} is a time without a time zone: add one, as in "
            "datetime(2026, 11, 1, tzinfo=UTC) or pd.Timestamp('2026-11-01', tz='UTC')."
        )
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        raise UserError(f"The parameter {name} is an integer outside of INT64: give it as text, and cast it in SQL.")
    return value


def _kind(name: str, value: Any) -> str:
    if value is None:
        return "STRING"
    for python, kind in _TYPES.items():
        if type(value) is python:
            return kind
    raise UserError(
        f"The parameter {name} is of type {type(value).__name__}, but SQL takes bool, int, float, str, bytes, date and "
        "datetime, None, and lists of these: convert it."
    )
