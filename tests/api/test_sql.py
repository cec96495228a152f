"""A query returns a frame with the types of its columns, and takes values of Python as parameters."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rawless.api.home import Home
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse

AT = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def opened(warehouse: Warehouse) -> Home:
    """A home whose warehouse has no rows."""
    return Home(warehouse)


def test_each_column_has_its_type(opened: Home) -> None:
    rows = opened.sql(
        "SELECT TIMESTAMP '2026-11-01 12:30:00+00' AS moment, [1.5, 2.5] AS vector, 9007199254740993 AS large, "
        "CAST(NULL AS INT64) AS missing, TRUE AS flag, 'é' AS text, CAST(NULL AS STRING) AS none, "
        "DATE '2026-11-01' AS d"
    )
    (row,) = rows.to_dict("records")

    assert rows["moment"].dtype == "datetime64[us, UTC]"
    assert row["moment"] == AT
    assert row["vector"].dtype == np.float64
    assert row["vector"].tolist() == [1.5, 2.5]
    assert row["large"] == 9007199254740993  # which a float would round
    assert rows["missing"].dtype == "Int64"
    assert pd.isna(row["missing"])
    assert (row["flag"], row["text"], row["d"]) == (True, "é", date(2026, 11, 1))
    assert pd.isna(row["none"])


def test_a_query_without_rows_has_its_columns_and_types(opened: Home) -> None:
    rows = opened.sql("SELECT event_id, occurred_at, embedding FROM embedding_event_v1 WHERE occurred_at > @at", at=AT)

    assert (len(rows), list(rows.columns)) == (0, ["event_id", "occurred_at", "embedding"])
    assert rows["occurred_at"].dtype == "datetime64[us, UTC]"


VALUES: dict[str, tuple[Any, str]] = {
    "text": ("it's", "@value = 'it\\'s'"),
    "integer": (7, "@value = 7"),
    "numpy's integer": (np.int32(7), "@value = 7"),
    "float": (np.float32(0.5), "@value = 0.5"),
    "boolean": (np.True_, "@value"),
    "date": (date(2026, 11, 1), "@value = DATE '2026-11-01'"),
    "time": (AT, "@value = TIMESTAMP '2026-11-01 12:30:00+00'"),
    "time of pandas": (pd.Timestamp(AT), "@value = TIMESTAMP '2026-11-01 12:30:00+00'"),
    "nothing": (None, "@value IS NULL"),
    "nothing of pandas": (pd.NA, "@value IS NULL"),
    "texts": (["a", "b"], "'b' IN UNNEST(@value)"),
    "numbers of both kinds": ([1, 2.5], "2.5 IN UNNEST(@value)"),
    "a vector": (np.array([1, 0], np.float32), "@value[OFFSET(0)] = 1.0"),
    "a series": (pd.Series([1, 2]), "2 IN UNNEST(@value)"),
}


@pytest.mark.parametrize(("value", "condition"), VALUES.values(), ids=VALUES)
def test_values_are_parameters(opened: Home, value: Any, condition: str) -> None:
    assert opened.sql(f"SELECT {condition} AS holds", value=value)["holds"].tolist() == [True]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": 1}, "The parameter value is of type dict, but SQL takes"),
        (datetime(2026, 11, 1), "The parameter value is a time without a time zone"),  # noqa: DTZ001
        ([1, "a"], "is a list of INT64, STRING, but a list has values of one type"),
        ([], "is a list of nothing"),
        ([1, None], "none that is missing"),
        (2**63, "outside of INT64"),
        ([[1.0], [2.0]], "of type list"),
    ],
)
def test_a_value_that_sql_has_no_type_for_is_named(opened: Home, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        opened.sql("SELECT @value", value=value)


@pytest.mark.parametrize("query", ["", " ", None, 3])
def test_a_query_that_is_none_is_refused(opened: Home, query: Any) -> None:
    with pytest.raises(UserError, match="The query is empty or no text"):
        opened.sql(query)


def test_a_parameter_may_have_any_name(opened: Home) -> None:
    assert opened.sql("SELECT @query AS a, @self AS b", query=1, self=2).to_numpy().tolist() == [[1, 2]]


def test_a_refused_query_is_one_sentence(opened: Home) -> None:
    with pytest.raises(UserError, match=r"BigQuery refused the query: .*nowhere"):
        opened.sql("SELECT * FROM nowhere")


def test_rows_that_have_no_type_are_refused_without_a_value(opened: Home) -> None:
    with pytest.raises(UserError, match="cannot be read as the types of its columns") as caught:
        opened.sql("SELECT [7719, NULL] AS numbers")
    assert "7719" not in str(caught.value)
