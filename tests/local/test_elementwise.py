"""Arrays that are computed element by element are those of Google's evaluator, whether or not the rule applies."""

import pytest
import sqlglot
from bqemulator.sql.rewriter.unnest_offset import rewrite_unnest_offset
from sqlglot import exp

from rawless.connect import LOCAL_CONFIG
from rawless.datasets import googlesql
from rawless.local.elementwise import ElementwiseRule
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse

ROWS = (
    "(SELECT 1.0 AS weight, [3.5, -1.0, 0.25, 16384.0, 3.5] AS vector "
    "UNION ALL SELECT 2.0, [7.5] UNION ALL SELECT 3.0, NULL)"
)
ELEMENTWISE = [
    "SELECT number * 2 FROM UNNEST(vector) AS number WITH OFFSET AS place ORDER BY place",
    "SELECT IF(number > weight, 'x', CAST(weight AS STRING)) FROM UNNEST(vector) AS number WITH OFFSET AS place "
    "ORDER BY place",
    "SELECT number FROM UNNEST(IF(weight > 1, vector, NULL)) AS number WITH OFFSET AS place ORDER BY place",
]
OTHERS = [
    "SELECT number * place FROM UNNEST(vector) AS number WITH OFFSET AS place ORDER BY place",
    "SELECT number FROM UNNEST(vector) AS number WITH OFFSET AS place ORDER BY place DESC",
    "SELECT number FROM UNNEST(vector) AS number WITH OFFSET AS place ORDER BY number, place",
    "SELECT number FROM UNNEST(vector) AS number WITH OFFSET AS place WHERE number > 0 ORDER BY place",
    "SELECT number FROM UNNEST(vector) AS number WITH OFFSET AS place ORDER BY place LIMIT 2",
    "SELECT (SELECT MAX(each) FROM UNNEST([number, 2.0]) AS each) FROM UNNEST(vector) AS number WITH OFFSET AS place "
    "ORDER BY place",
]


@pytest.mark.parametrize("subquery", ELEMENTWISE + OTHERS)
def test_arrays_are_those_of_google(stack: Stack, subquery: str) -> None:
    sql = f"SELECT ARRAY({subquery}) AS answer FROM {ROWS} AS example ORDER BY weight"

    assert Warehouse(LOCAL_CONFIG, stack.bigquery).query(sql) == googlesql.load(lambda: None).rows(sql)


@pytest.mark.parametrize(
    ("subquery", "applies"), [(each, True) for each in ELEMENTWISE] + [(each, False) for each in OTHERS]
)
def test_the_rule_applies_to_what_depends_on_one_element_alone(subquery: str, applies: bool) -> None:
    sql = f"SELECT ARRAY({subquery})"
    for rewritten in (sql, rewrite_unnest_offset(sql)):
        (translated,) = sqlglot.transpile(rewritten, read="bigquery", write="duckdb")
        array = sqlglot.parse_one(translated, dialect="duckdb").find(exp.Array)
        assert array is not None
        assert ElementwiseRule().applies_to(array) is applies
