"""Elements of arrays by offsets and ordinals are those of Google's evaluator."""

import pytest

from rawless.connect import LOCAL_CONFIG
from rawless.datasets import googlesql
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse

ROWS = "(SELECT 1 AS number, [1.5, 2.5, 3.5] AS vector UNION ALL SELECT 2, [7.0, 8.0])"


@pytest.mark.parametrize(
    "expression",
    [
        "vector[OFFSET(number)]",
        "vector[ORDINAL(number)]",
        "vector[SAFE_OFFSET(number * 2)]",
        "vector[SAFE_ORDINAL(number + 1)]",
        "vector[OFFSET(ARRAY_LENGTH(vector) - 1)]",
        "vector[OFFSET(0)] + vector[OFFSET(number - 1)]",
        "(SELECT SUM(element * vector[OFFSET(place)]) FROM UNNEST(vector) AS element WITH OFFSET AS place)",
    ],
)
def test_elements_are_those_of_google(stack: Stack, expression: str) -> None:
    condition = "WHERE number = 1" if expression == "vector[OFFSET(number)]" else ""
    sql = f"SELECT number, {expression} AS answer FROM {ROWS} AS example {condition} ORDER BY number"

    assert Warehouse(LOCAL_CONFIG, stack.bigquery).query(sql) == googlesql.load(lambda: None).rows(sql)
