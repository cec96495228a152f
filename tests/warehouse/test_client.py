"""The warehouse client: tables are created and compared with their schemas, and errors are one sentence."""

import pickle
import re
import socket
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from rawless.errors import RawlessError, Unavailable, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator, WarehouseConfig, load_warehouse_config
from rawless.warehouse.tables import functions, names, table
from tests.fake_google import credentials_file, fake_google, refused

Within = Callable[[float, Callable[[], object]], BaseException]


@pytest.fixture
def warehouse(new_warehouse: Warehouse) -> Warehouse:
    """A warehouse whose tables these tests may change."""
    return new_warehouse


@pytest.fixture
def away(warehouse: Warehouse) -> Warehouse:
    """The same warehouse at an address without a server."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    address = f"127.0.0.1:{port}"
    return replace(warehouse, emulator=Emulator(f"http://{address}", address), retry_seconds=1.0)


def test_ensure_creates_every_table_with_its_layout(warehouse: Warehouse) -> None:
    for name in names():
        live, wanted = warehouse.client.get_table(warehouse.table_id(name)), table(name)
        assert [field.name for field in live.schema] == [column.name for column in wanted.columns]
        assert list(live.clustering_fields or []) == list(wanted.cluster)
        partition = live.time_partitioning
        assert (partition.field if partition else None) == (wanted.partition.field if wanted.partition else None)


def test_ensure_twice_changes_nothing(warehouse: Warehouse) -> None:
    def state() -> list[Any]:
        tables = [warehouse.client.get_table(warehouse.table_id(name)) for name in names()]
        routines = [warehouse.client.get_routine(f"{warehouse.dataset_id('events')}.{name}") for name in functions()]
        return [(each.created, each.modified, each.etag) for each in (*tables, *routines)]

    warehouse.query(
        "INSERT INTO stream_pointer_v1 (stream, role, encoder_fingerprint, since)"
        " VALUES ('message', 'live', 'f', TIMESTAMP '2026-01-01')"
    )
    before = state()
    warehouse.ensure()
    assert state() == before
    assert warehouse.query("SELECT COUNT(*) AS n FROM stream_pointer_v1") == [{"n": 1}]


def test_ensure_skips_what_an_account_may_not_see() -> None:
    config = WarehouseConfig(
        project="local-dev", events="events", snapshots="snapshots", builds="builds", subjects="subjects", audit="audit"
    )

    class Scientist(dict[str, Any]):
        """Respond as to an account that may see only the tables of snapshots."""

        broken = False

        def get(self, asked: str, default: Any = None) -> Any:
            found = re.fullmatch(r"GET .*/datasets/snapshots/tables/(\w+)", asked)
            if not found:
                return refused(403, "PERMISSION_DENIED")
            live = table(found[1]).to_bigquery(f"local-dev.snapshots.{found[1]}").to_api_repr()
            return live | ({"schema": {"fields": []}} if self.broken else {})

    with fake_google() as google:
        google.answers = Scientist()
        warehouse = Warehouse(config, Emulator(google.url, "127.0.0.1:9"), retry_seconds=1.0)
        warehouse.ensure()
        google.answers.broken = True
        with pytest.raises(UserError, match="differs from sql/"):
            warehouse.ensure()

    assert any("GET" in each and "/tables/snapshot_manifest_v1" in each for each in google.requests)
    assert not any(each.startswith("POST") and "/tables" in each for each in google.requests)


def test_ensure_creates_a_missing_table(warehouse: Warehouse) -> None:
    warehouse.client.delete_table(warehouse.table_id("export_v1"))
    warehouse.ensure()
    assert warehouse.query(f"SELECT COUNT(*) AS n FROM `{warehouse.table_id('export_v1')}`") == [{"n": 0}]


def test_check_creates_no_missing_table(warehouse: Warehouse) -> None:
    warehouse.client.delete_table(warehouse.table_id("rejection_v1"))

    warehouse.check(["embedding_event_v1"])
    with pytest.raises(UserError, match=r"refused to show a table that is needed: .*rejection_v1"):
        warehouse.check(["rejection_v1"])


def test_ensure_replaces_a_function_that_is_out_of_date(warehouse: Warehouse) -> None:
    events = warehouse.dataset_id("events")
    call = f"SELECT message_id FROM `{events}.rejection`(TIMESTAMP '2026-01-01', TIMESTAMP '2026-02-01')"
    warehouse.query(
        "INSERT INTO rejection_v1 (stream, message_id, stage, reason, size_bucket, rejected_at)"
        " VALUES ('message', '7', 'parse', 'bad_event_id', '<100', TIMESTAMP '2026-01-10')"
    )
    current = warehouse.render(functions()["rejection"])
    # Not through `query`: the local BigQuery makes no table function where a default dataset is named.
    warehouse.client.query(current.replace("rejected_at < end_at", "rejected_at < start_at")).result()
    assert warehouse.query(call) == []
    warehouse.ensure()
    assert warehouse.query(call) == [{"message_id": "7"}]


def columns_but(name: str, *left_out: str) -> list[bigquery.SchemaField]:
    return [column.to_bigquery() for column in table(name).columns if column.name not in left_out]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (columns_but("export_v1", "path"), "the column path is missing"),
        (
            [*columns_but("export_v1"), bigquery.SchemaField("note", "STRING", "NULLABLE")],
            "the column note is not in the schema",
        ),
        (
            [*columns_but("export_v1", "path"), bigquery.SchemaField("path", "INT64", "REQUIRED")],
            "the column path is INT64 REQUIRED, but must be STRING REQUIRED",
        ),
        (
            [*columns_but("export_v1", "path"), bigquery.SchemaField("path", "STRING", "NULLABLE")],
            "the column path is STRING NULLABLE, but must be STRING REQUIRED",
        ),
    ],
    ids=["missing", "extra", "type", "mode"],
)
def test_a_live_table_with_other_columns_is_refused(
    warehouse: Warehouse, columns: list[bigquery.SchemaField], expected: str
) -> None:
    table_id = warehouse.table_id("export_v1")
    warehouse.client.delete_table(table_id)
    live = bigquery.Table(table_id, schema=columns)
    live.clustering_fields = ["snapshot_id"]
    warehouse.client.create_table(live)
    with pytest.raises(UserError) as caught:
        warehouse.ensure()
    assert expected in str(caught.value)
    assert table_id in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "http" not in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "CAST(name AS INT64)",
        "ERROR(name)",
        "PARSE_DATE('%Y', name)",
        "CAST(name AS INT64) FROM person UNION ALL SELECT 1",
        "PARSE_JSON(name)",
    ],
)
def test_an_error_of_a_query_quotes_no_value_of_a_row(warehouse: Warehouse, expression: str) -> None:
    statement = f"SELECT {expression}" if "FROM" in expression else f"SELECT {expression} FROM person"
    warehouse.query("CREATE TABLE person AS SELECT 'Rosalind-0815' AS name")
    try:
        with pytest.raises(UserError, match=r"BigQuery refused the query while it read rows \(\w+\)") as caught:
            warehouse.query(statement)
    finally:
        warehouse.query("DROP TABLE person")

    assert "Rosalind" not in "".join(traceback.format_exception(caught.value))


def test_a_nested_column_of_another_type_is_refused(warehouse: Warehouse) -> None:
    table_id = warehouse.table_id("embedding_event_v1")
    warehouse.client.delete_table(table_id)
    pair = [bigquery.SchemaField("key", "STRING", "REQUIRED"), bigquery.SchemaField("value", "INT64", "REQUIRED")]
    other = bigquery.SchemaField("attributes", "RECORD", "REPEATED", fields=pair)
    wanted = table("embedding_event_v1").to_bigquery(table_id)
    wanted.schema = [*columns_but("embedding_event_v1", "attributes"), other]
    warehouse.client.create_table(wanted)
    with pytest.raises(UserError, match="in attributes, the column value is INT64 REQUIRED"):
        warehouse.ensure()


@pytest.mark.parametrize("layout", ["partition", "cluster"])
def test_a_live_table_with_another_layout_is_refused(warehouse: Warehouse, layout: str) -> None:
    table_id = warehouse.table_id("rejection_v1")
    warehouse.client.delete_table(table_id)
    live = bigquery.Table(table_id, schema=columns_but("rejection_v1"))
    if layout == "cluster":
        live.time_partitioning = bigquery.TimePartitioning(field="rejected_at")
    else:
        live.clustering_fields = ["stream", "reason"]
    warehouse.client.create_table(live)
    with pytest.raises(UserError, match=r"rejection_v1.*it is (partitioned by None|clustered by)"):
        warehouse.ensure()


def test_unqualified_tables_are_those_of_the_events_dataset(warehouse: Warehouse) -> None:
    assert warehouse.query("SELECT COUNT(*) AS n FROM encoder_v1") == [{"n": 0}]


def test_values_are_passed_as_parameters(warehouse: Warehouse) -> None:
    hostile = "x' OR '1'='1"
    parameter = bigquery.ScalarQueryParameter("value", "STRING", hostile)
    assert warehouse.query("SELECT @value AS value", [parameter]) == [{"value": hostile}]


@pytest.mark.parametrize(
    "statement",
    [
        "SELEC 1",
        "SELECT nothing FROM encoder_v1",
        "SELECT * FROM no_such_table",
        "SELECT * FROM no_dataset.no_table",
        "SELECT nothing FROM encoder_v1 UNION ALL SELECT 'a'",
    ],
)
def test_a_refused_query_is_reported_in_one_sentence(warehouse: Warehouse, statement: str) -> None:
    with pytest.raises(UserError, match=r"BigQuery refused the query: \S") as caught:
        warehouse.query(statement)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("call", ["query", "ensure"])
def test_an_unavailable_warehouse_is_reported_within_the_retry_time(away: Warehouse, within: Within, call: str) -> None:
    error = within(15, lambda: away.query("SELECT 1") if call == "query" else away.ensure())
    assert isinstance(error, Unavailable), repr(error)
    assert len(str(error).splitlines()) == 1


def test_a_pickled_warehouse_contains_names_only(warehouse: Warehouse) -> None:
    warehouse.query("SELECT 1 AS one")  # connected
    copy = pickle.loads(pickle.dumps(warehouse))
    assert copy == warehouse
    assert "client" not in vars(copy)
    assert copy.query("SELECT 1 AS one") == [{"one": 1}]


GOOD = "project: my-project\nevents: e\nsnapshots: s\nbuilds: b\nsubjects: u\naudit: a\n"


def test_a_warehouse_file_names_project_and_datasets(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.yaml"
    path.write_text(GOOD + "pseudonym_secret: projects/p/secrets/s/versions/3\nlocation: EU\n")
    config = load_warehouse_config(path)
    assert (config.project, config.events, config.location) == ("my-project", "e", "EU")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "does not exist"),
        ("", "must be a mapping"),
        ("events: e\n", "project is missing"),
        (GOOD.replace("audit: a\n", ""), "audit is missing"),
        (GOOD + "dataset: d\n", "dataset is unknown"),
        (GOOD.replace("my-project", "My Project"), "project is 'My Project'"),
        (GOOD.replace("events: e", "events: e-1"), "events is 'e-1'"),
        (GOOD.replace("events: e", "events: `x`.y"), "not valid YAML"),
        (GOOD + "pseudonym_secret: my-secret\n", "pseudonym_secret is (not shown)"),
        (GOOD + "events: f\n", "'events' is repeated"),
    ],
)
def test_an_invalid_warehouse_file_is_reported_in_one_sentence(
    tmp_path: Path, content: str | None, expected: str
) -> None:
    path = tmp_path / "warehouse.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as caught:
        load_warehouse_config(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_subject_map_may_not_share_a_dataset(tmp_path: Path) -> None:
    # Who reads the embeddings would read who they are about.
    path = tmp_path / "warehouse.yaml"
    path.write_text(GOOD.replace("subjects: u", "subjects: e"))
    with pytest.raises(UserError, match="subjects"):
        load_warehouse_config(path)


def test_builds_may_not_share_a_dataset(tmp_path: Path) -> None:
    # Who reads the snapshots would read the copies of business tables.
    path = tmp_path / "warehouse.yaml"
    path.write_text(GOOD.replace("builds: b", "builds: s"))
    with pytest.raises(UserError, match="must be five different datasets"):
        load_warehouse_config(path)


def test_errors_carry_no_traceback_of_the_client(warehouse: Warehouse) -> None:
    with pytest.raises(RawlessError) as caught:
        warehouse.query("SELECT ERROR('stop')")
    assert "google" not in "".join(traceback.format_exception(caught.value)).split("UserError")[-1]


CLOUD = WarehouseConfig(project="a-project", events="e", snapshots="s", subjects="u", builds="b", audit="a")


@pytest.mark.parametrize("address", ["http://bigquery.example:9050", "10.0.0.7:9050", "http://127.0.0.1@evil.example"])
def test_a_bigquery_emulator_on_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", address)

    with pytest.raises(UserError, match=r"BIGQUERY_EMULATOR_HOST is .* must name an emulator on this machine"):
        Warehouse(CLOUD).ensure()


def test_an_emulator_gets_no_credentials_of_google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The library would send the user's token to it."""
    with fake_google() as fake:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials_file(fake, tmp_path)))
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", fake.url)

        with pytest.raises(RawlessError):
            Warehouse(CLOUD, retry_seconds=0.1).check(["encoder_v1"])

        assert fake.requests == ["GET /bigquery/v2/projects/a-project/datasets/e/tables/encoder_v1"]
