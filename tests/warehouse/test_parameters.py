"""Query parameters: the types that values have in BigQuery."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters, structs

NOW = datetime(2026, 2, 1, 12, 30, tzinfo=UTC)
METRIC = {"name": "STRING", "value": "FLOAT64", "low": "FLOAT64"}


@pytest.mark.parametrize("value", [True, 7, 0.5, "it's", NOW, None, ["a", "b"], []], ids=repr)
def test_a_value_is_returned_unchanged(warehouse: Warehouse, value: Any) -> None:
    assert warehouse.query("SELECT @value AS value", parameters({"value": value})) == [{"value": value}]


def test_structs_are_returned_with_their_nulls(warehouse: Warehouse) -> None:
    rows = [{"name": "f1", "value": 1.0, "low": None}, {"name": "auc", "value": 0.5, "low": 0.25}]
    statement = "SELECT each.name, each.value, each.low FROM UNNEST(@metrics) AS each ORDER BY each.value DESC"
    assert warehouse.query(statement, [structs("metrics", METRIC, rows)]) == rows
