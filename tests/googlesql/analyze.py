"""Google's analyzer accepts every statement that Rawless sends. `make analyze` runs this after `make test`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from rawless.datasets.near_duplicates import search_values
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import WarehouseConfig
from rawless.warehouse.tables import FOLDER, ROLES, functions, names, table
from tests.datasets.drawn_vectors import COSINE, Row, near_duplicates, rows
from tests.googlesql.analyzer import Analyzer, Refused
from tests.googlesql.statements import Statement, read

PROJECT = "local-dev"
WAREHOUSE = Warehouse(WarehouseConfig.model_validate({"project": PROJECT, **{role: role for role in ROLES}}))
RECORDED = read(Path(__file__).parents[2] / "build" / "statements")
LEAST = 80
"""Fewer distinct statements mean that they were not recorded, or only those of some tests."""
TIMES = {"start_at": "TIMESTAMP", "end_at": "TIMESTAMP"}
OWN_TABLES = {
    WAREHOUSE.table_id(name): [column.to_bigquery().to_api_repr() for column in table(name).columns]
    for name in (*names(), "snapshot_v1")
}


def on_google(sql: str, **parameters: str) -> Statement:
    """A statement over Rawless's own tables."""
    return Statement(sql, {name: kind(each) for name, each in parameters.items()}, OWN_TABLES, "")


def refusal(analyzer: Analyzer, statement: Statement) -> str | None:
    """Google's words if it refuses a statement."""
    try:
        analyzer.analyze(statement)
    except Refused as refused:
        return str(refused)
    return None


def kind(name: str) -> dict[str, Any]:
    return {"type": "ARRAY", "arrayType": {"type": name.removesuffix("[]")}} if "[]" in name else {"type": name}


def columns(name: str, selected: Sequence[str]) -> list[dict[str, Any]]:
    return [column.to_bigquery().to_api_repr() for column in table(name).columns if column.name in selected]


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    """The analyzer with Rawless's table functions, each of which it has accepted."""
    made = Analyzer()
    for name, template in functions().items():
        made.add_function(f"{WAREHOUSE.dataset_id('events')}.{name}", TIMES, on_google(WAREHOUSE.render(template)))
    made.add_vector_search(
        columns("snapshot_v1", ["event_id", "label", "label_value", "split", "embedding"]),
        columns("snapshot_v1", ["embedding"]),
    )
    return made


def test_the_statements_of_the_tests_were_recorded() -> None:
    assert len(RECORDED) >= LEAST, "Run `make test` first, which records the statements."


@pytest.mark.parametrize("statement", RECORDED, ids=lambda statement: statement.test)
def test_google_accepts_the_statement_of_a_test(analyzer: Analyzer, statement: Statement) -> None:
    assert refusal(analyzer, statement) is None, statement.sql


ROW = {"event_id": "STRING", "top": "INT64", "splits": "STRING[]"}
EVENTS = {**TIMES, "stream": "STRING", "encoder": "STRING", "encoder_version": "STRING"}
ADAPTED = {**TIMES, "stream": "STRING", "target_fingerprint": "STRING", "adapted_fingerprint": "STRING"}


@pytest.mark.parametrize(
    ("template", "names", "parameters"),
    [
        ("snapshot_v1/nearest_vector.sql", {"snapshot": WAREHOUSE.table_id("snapshot_v1")}, ROW),
        ("templates/vectors.sql", {"adapted": False}, EVENTS),
        ("templates/vectors.sql", {"adapted": True}, ADAPTED),
    ],
)
def test_google_accepts_what_is_only_sent_to_google(
    analyzer: Analyzer, template: str, names: dict[str, Any], parameters: dict[str, str]
) -> None:
    assert refusal(analyzer, on_google(WAREHOUSE.render(FOLDER / template, **names), **parameters)) is None


@pytest.mark.parametrize(
    ("clauses", "words"),
    [
        ("ORDER BY stage.rejected_at", "Cannot access field rejected_at"),
        ("WHERE rejected_at = DATE '2026-01-01'", "No matching signature"),
        ("WHERE nothing = 1", "Unrecognized name: nothing"),
        ("ORDER BY stage LIMIT 5 + 5", "LIMIT expects"),
    ],
)
def test_google_refuses_what_the_local_bigquery_accepts(analyzer: Analyzer, clauses: str, words: str) -> None:
    statement = on_google(f"SELECT stage.stage FROM `{WAREHOUSE.table_id('rejection_v1')}` AS stage {clauses}")

    assert words in (refusal(analyzer, statement) or "")


NEAR_DUPLICATES = WAREHOUSE.render(FOLDER / "templates/near_duplicates.sql")


def test_google_accepts_the_search_for_near_duplicates(analyzer: Analyzer) -> None:
    vector = f"SELECT event_id, split, embedding FROM `{WAREHOUSE.table_id('snapshot_v1')}`"
    types = dict.fromkeys(search_values(COSINE, 1), "INT64") | {"cosine": "FLOAT64", "recall": "FLOAT64"}
    sql = f"WITH vector AS ({vector}), {NEAR_DUPLICATES} SELECT event_id FROM near_duplicate CROSS JOIN hashing"

    assert refusal(analyzer, on_google(sql, **types)) is None


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows())
def test_google_finds_only_near_duplicates_and_all_equal_ones(analyzer: Analyzer, rows: list[Row]) -> None:
    values = ", ".join(
        f"STRUCT('{event_id}' AS event_id, '{split}' AS split, {list(embedding)} AS embedding)"
        for event_id, split, embedding in rows
    )
    sql = f"WITH vector AS (SELECT * FROM UNNEST([{values}])), {NEAR_DUPLICATES} SELECT event_id FROM near_duplicate"
    for name, value in search_values(COSINE, len(rows)).items():
        sql = sql.replace(f"@{name}", str(value))
    equal, near = near_duplicates(rows)

    assert equal <= set(analyzer.evaluate(sql)) <= near
