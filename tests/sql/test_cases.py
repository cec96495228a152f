"""Every rule of a table function, as a folder: the rows of its table, and the rows that the function must return.

`<table>_v1/row.yaml` is the row that each case varies. A case `<table>_v1/test_<rule>/` has

- `rows.yaml`: a list of rows as differences from that row;
- `tombstones.yaml` and `event_tombstones.yaml`, if needed: rows of `tombstone_v1` and `event_tombstone_v1`;
- `expected.yaml`: a list of queries (`start_at` and `end_at`, by default January 2026; `as_of`, which is applied to the
  result as readers do) with all `rows` that they must return, each by the fields that matter.

Each case runs with its rows in the order of the file and in reverse: the result must not depend on the order.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.rows import EmbeddingRow, PredictionRow, RejectionRow, Row
from rawless.warehouse.templates import environment

HERE = Path(__file__).parent
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
KNOWN = {
    "embedding_event": "{% from 'embedding_event_v1/known.sql' import is_known %}{{ is_known('row') }}",
    "prediction": "row.predicted_at <= @as_of",
    "rejection": "row.rejected_at <= @as_of",
}
"""How readers select the rows that count at an as-of."""
CASES = sorted(path.parent for name in KNOWN for path in HERE.glob(f"{name}_v1/test_*/rows.yaml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def make_row(function: str, fields: dict[str, Any]) -> Row:
    if function == "rejection":
        return RejectionRow(**fields)
    if function == "prediction":
        return PredictionRow(**{**fields, "probabilities": tuple(fields["probabilities"].items())})
    vector = np.array(fields["embedding"], dtype=np.float32)
    attributes = tuple(fields["attributes"].items())
    return EmbeddingRow(**{**fields, "embedding": vector, "attributes": attributes})


def insert(warehouse: Warehouse, case: Path, function: str, *, is_reversed: bool) -> None:
    base = read(case.parent / "row.yaml")
    rows = [make_row(function, {**base, **differences}) for differences in read(case / "rows.yaml")]
    for row in reversed(rows) if is_reversed else rows:
        append_all(warehouse, [row])
    for name in ("tombstone", "event_tombstone"):
        file = case / f"{name}s.yaml"
        for tombstone in read(file) if file.is_file() else []:
            columns, values = ", ".join(tombstone), ", ".join(f"@{column}" for column in tombstone)
            warehouse.query(
                f"INSERT INTO `{warehouse.table_id(f'{name}_v1')}` ({columns}) VALUES ({values})",
                parameters(tombstone),
            )


def query_function(warehouse: Warehouse, function: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    name = f"{warehouse.dataset_id('events')}.{function}"
    times = {"start_at": query.get("start_at", START), "end_at": query.get("end_at", END)}
    statement = f"SELECT * FROM `{name}`(@start_at, @end_at) AS row"
    if "as_of" in query:
        statement += f" WHERE {environment().from_string(KNOWN[function]).render()}"
        times["as_of"] = query["as_of"]
    return warehouse.query(statement, parameters(times))


def match(row: dict[str, Any], expected: dict[str, Any]) -> bool:
    return all(
        np.allclose(row[name], value, rtol=0, atol=1e-9) if name == "embedding" else row[name] == value
        for name, value in expected.items()
    )


def test_the_cases_are_found() -> None:
    assert len(CASES) >= 8
    assert {path.parent.name for path in CASES} == {"embedding_event_v1", "prediction_v1", "rejection_v1"}


def check(warehouse: Warehouse, case: Path, *, is_reversed: bool) -> list[list[dict[str, Any]]]:
    """Check that the function returns the rows of a case in an empty warehouse, and return them, by query."""
    function = case.parent.name.removesuffix("_v1")
    insert(warehouse, case, function, is_reversed=is_reversed)
    answers = []
    for query in read(case / "expected.yaml"):
        answers.append(query_function(warehouse, function, query))
        left = list(answers[-1])
        for expected in query["rows"]:
            matching = [row for row in left if match(row, expected)]
            assert len(matching) == 1, f"{len(matching)} rows are {expected}, among {left}"
            left.remove(matching[0])
        assert left == [], query
    return answers


def case_id(value: Path | bool) -> str:
    if isinstance(value, bool):
        return "reversed" if value else "as written"
    return f"{value.parent.name}/{value.name.removeprefix('test_')}"


@pytest.mark.parametrize("is_reversed", [False, True], ids=case_id)
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_the_function_returns_exactly_the_rows_of_the_case(warehouse: Warehouse, case: Path, is_reversed: bool) -> None:
    check(warehouse, case, is_reversed=is_reversed)
