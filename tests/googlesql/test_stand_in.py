"""The stand-in for BigQuery does what BigQuery's documentation says, seen through Google's own client."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import bigquery

from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.load import load_file
from rawless.warehouse.parameters import parameters

pytestmark = pytest.mark.full


def create(warehouse: Warehouse, *values: tuple[int, str | None], name: str = "thing") -> str:
    """Create a table of numbers and names, and return its id."""
    table_id = f"{warehouse.dataset_id('builds')}.{name}"
    schema = [bigquery.SchemaField("number", "INT64", "REQUIRED"), bigquery.SchemaField("name", "STRING")]
    warehouse.client.create_table(bigquery.Table(table_id, schema=schema))
    rows = ", ".join(f"({number}, {name!r})" if name else f"({number}, NULL)" for number, name in values)
    warehouse.query(f"INSERT INTO `{table_id}` (number, name) VALUES {rows}")
    return table_id


def rows(warehouse: Warehouse, table_id: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row.values()) for row in warehouse.query(f"SELECT number, name FROM `{table_id}`"))


@pytest.mark.parametrize(
    ("statement", "changed", "expected"),
    [
        ("UPDATE `{t}` SET name = CONCAT(name, '!') WHERE number > 1", 2, [(1, "a"), (2, "b!"), (3, "c!")]),
        ("UPDATE `{t}` AS old SET name = later.name FROM `{t}` AS later WHERE later.number = old.number + 1", 2,
         [(1, "b"), (2, "c"), (3, "c")]),
        ("UPDATE `{t}` SET number = 0 WHERE name IN (WITH w AS (SELECT 'b' AS n) SELECT n FROM w)", 1,
         [(0, "b"), (1, "a"), (3, "c")]),
        ("DELETE FROM `{t}` WHERE name != 'b'", 2, [(2, "b")]),
        ("INSERT INTO `{t}` (number) WITH w AS (SELECT 9 AS n) SELECT n FROM w", 1,
         [(1, "a"), (2, "b"), (3, "c"), (9, None)]),
        (
            """MERGE `{t}` AS t USING (SELECT 2 AS n UNION ALL SELECT 3 UNION ALL SELECT 8) AS s ON t.number = s.n
            WHEN MATCHED AND s.n = 2 THEN DELETE
            WHEN MATCHED THEN UPDATE SET name = 'm'
            WHEN NOT MATCHED THEN INSERT (number, name) VALUES (s.n, 'new')
            WHEN NOT MATCHED BY SOURCE THEN UPDATE SET name = 'alone'""", 4, [(1, "alone"), (3, "m"), (8, "new")],
        ),
    ],
)  # fmt: skip
def test_a_statement_changes_the_rows_that_it_names(
    evaluated: Warehouse, statement: str, changed: int, expected: list[Any]
) -> None:
    table_id = create(evaluated, (1, "a"), (2, "b"), (3, "c"))

    _, job = evaluated.run(statement.format(t=table_id))

    assert job.num_dml_affected_rows == changed
    assert rows(evaluated, table_id) == expected


def test_no_row_is_changed_twice_by_one_statement(evaluated: Warehouse) -> None:
    table_id = create(evaluated, (1, "a"))
    twice = f"MERGE `{table_id}` AS t USING UNNEST([1, 1]) AS n ON t.number = n WHEN MATCHED THEN UPDATE SET name = 'b'"

    with pytest.raises(BadRequest, match="must match at most one source row"):
        evaluated.client.query(twice).result(retry=None, job_retry=None)

    assert rows(evaluated, table_id) == [(1, "a")]


def test_create_table_as_select_keeps_types_options_and_clustering(evaluated: Warehouse) -> None:
    table_id = f"{evaluated.dataset_id('builds')}.made"
    evaluated.query(
        f"""CREATE TABLE `{table_id}` CLUSTER BY name
        OPTIONS (description = 'of @host', labels = [('host', @host)], expiration_timestamp = TIMESTAMP '2030-01-01')
        AS SELECT 'a' AS name, [STRUCT('k' AS key, 1.5 AS value)] AS pairs,
        @made_at AS made_at, b'x' AS bytes, TRUE AS yes""",
        parameters({"host": "here", "made_at": datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)}),
    )

    table = evaluated.client.get_table(table_id)

    assert {field.name: (field.field_type, field.mode) for field in table.schema} == {
        "name": ("STRING", "NULLABLE"), "pairs": ("RECORD", "REPEATED"), "made_at": ("TIMESTAMP", "NULLABLE"),
        "bytes": ("BYTES", "NULLABLE"), "yes": ("BOOLEAN", "NULLABLE"),
    }  # fmt: skip
    assert (table.labels, table.clustering_fields, table.num_rows) == ({"host": "here"}, ["name"], 1)
    assert table.expires == datetime(2030, 1, 1, tzinfo=UTC)
    assert evaluated.query(f"SELECT * FROM `{table_id}`") == [
        {
            "name": "a",
            "pairs": [{"key": "k", "value": 1.5}],
            "made_at": datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC),
            "bytes": b"x",
            "yes": True,
        }
    ]


def test_tables_are_listed_and_deleted_and_views_follow_their_tables(evaluated: Warehouse) -> None:
    client, dataset = evaluated.client, evaluated.dataset_id("builds")
    table_id = create(evaluated, (1, "a"))
    evaluated.query(f"CREATE VIEW `{dataset}.seen` AS SELECT COUNT(*) AS n FROM `{table_id}`")
    evaluated.query(f"INSERT INTO `{table_id}` (number) VALUES (2)")

    assert {each.table_id: each.table_type for each in client.list_tables(dataset)} == {
        "thing": "TABLE",
        "seen": "VIEW",
    }
    assert evaluated.query(f"SELECT n FROM `{dataset}.seen`") == [{"n": 2}]
    evaluated.query(f"DROP VIEW `{dataset}.seen`")
    with pytest.raises(Conflict):
        client.create_table(bigquery.Table(table_id))
    client.delete_table(table_id)
    with pytest.raises(NotFound):
        client.get_table(table_id)
    assert list(client.list_tables(dataset)) == []


def test_a_file_is_loaded_and_replaced(evaluated: Warehouse, tmp_path: Path) -> None:
    for values in ([1.5, None], [2.5]):
        table = pa.table({"number": values, "at": pa.array([None] * len(values), pa.timestamp("us", "UTC"))})
        pyarrow.parquet.write_table(table, tmp_path / "file.parquet")
        load_file(evaluated, "facts", tmp_path / "file.parquet", existing="replace")

    assert evaluated.query("SELECT * FROM facts") == [{"number": 2.5, "at": None}]
    assert evaluated.types("SELECT * FROM facts") == {"number": "FLOAT", "at": "TIMESTAMP"}


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT 1 FROM `evaluated.builds.nothing`", "Not found: Table evaluated.builds.nothing"),
        ("SELECT nothing FROM `evaluated.builds.thing`", "Unrecognized name: nothing"),
        ("INSERT INTO `evaluated.builds.thing` (name) VALUES ('b')", "Required field number cannot be null"),
        ("INSERT INTO `evaluated.builds.thing` (number) VALUES ('b')", "INT64"),
        ("SELECT 1 / 0 AS x", "division by zero"),
    ],
)
def test_a_wrong_statement_changes_nothing_and_is_explained(evaluated: Warehouse, statement: str, words: str) -> None:
    table_id = create(evaluated, (1, "a"))

    with pytest.raises((BadRequest, NotFound), match=words):
        evaluated.client.query(statement).result(retry=None, job_retry=None)
    with pytest.raises(UserError):
        evaluated.query(statement)

    assert rows(evaluated, table_id) == [(1, "a")]


def test_rows_are_listed_without_a_query(evaluated: Warehouse) -> None:
    table_id = create(evaluated, (1, "a"), (2, None))

    only = evaluated.client.list_rows(table_id, selected_fields=[bigquery.SchemaField("name", "STRING")])

    assert [tuple(row.values()) for row in evaluated.client.list_rows(table_id)] == [(1, "a"), (2, None)]
    assert [tuple(row.values()) for row in only] == [("a",), (None,)]


def test_a_job_id_is_used_once(evaluated: Warehouse) -> None:
    table_id = create(evaluated, (1, "a"))
    statement = f"INSERT INTO `{table_id}` (number) VALUES (2)"
    evaluated.client.query(statement, job_id="register-2", job_retry=None).result(job_retry=None)

    with pytest.raises(Conflict):
        evaluated.client.query(statement, job_id="register-2", job_retry=None)

    assert rows(evaluated, table_id) == [(1, "a"), (2, None)]
