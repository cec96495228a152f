"""The local record of accesses: which tables a statement reads, in every way to read, and nothing but names."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rawless.local import accesses
from rawless.local.accesses import ACCESS_FILE, EARLIER_FILE, AccessRecord, tables_read
from rawless.warehouse.account import user_name
from rawless.warehouse.client import Warehouse
from rawless.warehouse.read import read

SNAPSHOT = f"snapshot_{'0a' * 12}"
STATEMENTS: dict[str, tuple[str, list[str]]] = {
    "one table": ("SELECT event_id FROM `local-dev.events.embedding_event_v1`", ["events.embedding_event_v1"]),
    "without quotes": ("SELECT 1 FROM local-dev.events.embedding_event_v1 AS e", ["events.embedding_event_v1"]),
    "each part quoted": ("SELECT 1 FROM `local-dev`.`events`.`rejection_v1`", ["events.rejection_v1"]),
    "without the project": ("SELECT 1 FROM events.encoder_v1 JOIN x.y USING (z)", ["events.encoder_v1"]),
    "a snapshot and its view": (
        f"SELECT 1 FROM `p.snapshots.{SNAPSHOT}`, `p.snapshots.dataset_topics`",
        [f"snapshots.{SNAPSHOT}", "snapshots.dataset_topics"],
    ),
    "through its function": ("SELECT 1 FROM `p.events.embedding_event`(@a, @b) AS e", ["events.embedding_event_v1"]),
    "twice": ("SELECT 1 FROM `p.e.head_v1` WHERE 1 IN (SELECT 1 FROM `p.e.head_v1`)", ["e.head_v1"]),
    "into another": ("INSERT INTO `p.s.head_v1` (a) SELECT 1 FROM `p.e.encoder_v1`", ["e.encoder_v1"]),
    "as another": (
        f"CREATE TABLE `p.s.{SNAPSHOT}` AS SELECT 1 FROM `p.b.embedding_event_v1`",
        ["b.embedding_event_v1"],
    ),
    "only deleted": ("DELETE FROM `p.e.rejection_v1` WHERE TRUE", []),
    "only created": (
        "-- Return it.\nCREATE OR REPLACE TABLE FUNCTION `p.e.rejection`(a INT64) AS (SELECT 1 FROM e.rejection_v1)",
        [],
    ),
    "only in a comment": ("-- of events.rejection_v1\nSELECT 1", []),
    "a table of the business": ("SELECT 1 FROM `p.crm.rosalind`", []),
    "a column of that name": ("SELECT x.rejection, x.snapshot_id FROM `p.crm.t` AS x", []),
    "a dataset of that name": ("SELECT 1 FROM `p.dataset_topics.t`", []),
}


@pytest.mark.parametrize(("sql", "expected"), STATEMENTS.values(), ids=STATEMENTS)
def test_the_tables_of_rawless_that_a_statement_reads_are_found(sql: str, expected: list[str]) -> None:
    assert [".".join(table) for table in tables_read(sql)] == expected


@pytest.fixture
def accessed(warehouse: Warehouse, home: Path) -> Callable[[], set[tuple[str, str, bool]]]:
    """Returns table, action and whether a job is named, of the accesses to this test's own datasets."""
    begun = datetime.now(UTC)  # after the warehouse was emptied
    datasets = {warehouse.config.events, warehouse.config.snapshots}

    def found() -> set[tuple[str, str, bool]]:
        entries = [each for each in accesses.accesses(home, begun) if each["table"].split(".")[0] in datasets]
        assert {entry["account"] for entry in entries} <= {user_name()}
        return {(entry["table"].split(".")[1], entry["action"], entry["job"] is not None) for entry in entries}

    return found


def test_every_way_to_read_or_change_a_table_is_recorded(
    warehouse: Warehouse, accessed: Callable[[], set[tuple[str, str, bool]]]
) -> None:
    marker = "Rosalind-0815"
    head = warehouse.table_id("head_v1")

    warehouse.list_rows("encoder_v1")
    list(read(warehouse, warehouse.table_id("snapshot_manifest_v1"), ["snapshot_id"], "TRUE"))
    warehouse.query(f"SELECT head FROM `{head}` WHERE head = '{marker}'")
    warehouse.dry_run(f"SELECT 1 FROM `{warehouse.table_id('prediction_v1')}`")
    warehouse.query(f"DELETE FROM `{warehouse.table_id('export_v1')}` WHERE TRUE")

    assert accessed() == {
        ("encoder_v1", "read", False),
        ("snapshot_manifest_v1", "read", False),
        ("head_v1", "read", True),
        ("export_v1", "change", True),
    }


def test_the_record_names_tables_only_and_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawless.local.accesses.MAX_BYTES", 1_000)
    record = AccessRecord(tmp_path)
    for number in range(20):
        with record.job(f"job-{number}"):
            record.add_statement("SELECT 'Rosalind' FROM `p.events.embedding_event_v1` JOIN `p.crm.rosalind` USING (a)")
    record.add("crm", "rosalind", "read")
    with (tmp_path / ACCESS_FILE).open("a") as file:
        file.write('{"at": "2026-')

    left = (tmp_path / ACCESS_FILE).read_text() + (tmp_path / EARLIER_FILE).read_text()
    assert "osalind" not in left
    assert len(left) < 2_200
    found = list(accesses.accesses(tmp_path, datetime.now(UTC) - timedelta(hours=1)))
    assert [entry["job"] for entry in found][-1] == "job-19"
    assert {entry["table"] for entry in found} == {"events.embedding_event_v1"}
