"""Filling the subject map: one row for each customer and key, persons are kept, and ids appear nowhere else."""

import json
import socket
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from rawless.errors import RawlessError, Unavailable, UserError
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.privacy.subject_ids import MAX_SUBJECT_LENGTH, Step
from rawless.warehouse import subjects
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator
from rawless.warehouse.load import load_file
from rawless.warehouse.subjects import SyncProgress

OLD, NEW = PseudonymKey(b"1" * 32), PseudonymKey(b"2" * 32)
SECRET = "secret8251"
HOSTILE = [
    "'; DROP TABLE x; --", '"', "'", "`", "\\", "\\n", "@handles", "{{ subjects }}", "%s", "é", "e\u0301", "顧客", "😀",
    "a b", "007", "7", "A", "a", "NULL", "x" * MAX_SUBJECT_LENGTH,
]  # fmt: skip


@pytest.fixture
def put(warehouse: Warehouse, tmp_path: Path) -> Callable[..., None]:
    """Add ids to the table `account`."""

    def load(ids: Iterable[Any], kind: pa.DataType | None = None, table: str = "account", column: str = "id") -> None:
        pa.parquet.write_table(pa.table({column: pa.array(ids, kind or pa.string())}), tmp_path / "ids.parquet")
        load_file(
            warehouse, table, tmp_path / "ids.parquet", text=[column], existing="append"
        )  # some are as long as texts

    return load


def sync(
    warehouse: Warehouse, key: PseudonymKey = OLD, source: str = "account.id", subject_form: Sequence[Step] = ()
) -> SyncProgress:
    progress = SyncProgress()
    subjects.sync(warehouse, subjects.business_column(source), key, progress, subject_form)
    return progress


def mapped(warehouse: Warehouse) -> list[tuple[str, str, str, str]]:
    found = warehouse.query(
        "SELECT customer_id, subject_key, subject_key_id, person_key "
        f"FROM {warehouse.config.subjects}.subject_map_v1 ORDER BY customer_id, subject_key_id"
    )
    return [tuple(row.values()) for row in found]  # type: ignore[misc]


def row(customer: str, key: PseudonymKey, first: PseudonymKey | None = None) -> tuple[str, str, str, str]:
    """The row of a customer under a key, whose first pseudonym was made by `first`."""
    return customer, key.pseudonym(customer), key.key_id, (first or key).pseudonym(customer)


def tables(warehouse: Warehouse) -> list[str]:
    return [each.table_id for each in warehouse.client.list_tables(warehouse.dataset_id("subjects"))]


def before_merge(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, call: Callable[[int], None]) -> None:
    """Call a function with 1, 2, … before pseudonyms are merged."""
    query, pages = warehouse.client.query, iter(range(1, 1000))

    def watched(statement: str, **options: Any) -> bigquery.QueryJob:
        if "MERGE" in statement:
            call(next(pages))
        return query(statement, **options)

    monkeypatch.setattr(warehouse.client, "query", watched)


def message_of(caught: BaseException) -> str:
    assert isinstance(caught, RawlessError), repr(caught)
    assert SECRET not in "".join(traceback.format_exception(caught))
    assert len(str(caught).splitlines()) == 1
    return str(caught)


def test_each_customer_gets_one_row_and_a_second_run_adds_none(warehouse: Warehouse, put: Callable[..., None]) -> None:
    put(["a", "b", "a", "a"])
    assert sync(warehouse) == SyncProgress(new=2)
    assert sync(warehouse) == SyncProgress(known=2)
    put(["c", "b"])
    assert sync(warehouse) == SyncProgress(new=1, known=2)
    assert mapped(warehouse) == [row(each, OLD) for each in "abc"]
    assert tables(warehouse) == ["subject_map_v1"]


def test_hostile_ids_are_treated_as_text(warehouse: Warehouse, put: Callable[..., None]) -> None:
    put(HOSTILE)
    assert sync(warehouse) == SyncProgress(new=len(HOSTILE))
    assert sync(warehouse) == SyncProgress(known=len(HOSTILE))
    assert set(mapped(warehouse)) == {row(each, OLD) for each in HOSTILE}


def test_numbers_are_hashed_as_the_text_in_an_event(warehouse: Warehouse, put: Callable[..., None]) -> None:
    numbers = [0, 7, -7, 2**63 - 1, None]
    put(numbers, pa.int64())
    assert sync(warehouse) == SyncProgress(new=4, without_id=1)
    assert set(mapped(warehouse)) == {row(str(each), OLD) for each in numbers if each is not None}


def test_missing_and_unusable_ids_are_counted_and_skipped(warehouse: Warehouse, put: Callable[..., None]) -> None:
    put([None, "", "  ", None, "a", "x" * (MAX_SUBJECT_LENGTH + 1), "tab\t", "line\n", "\u3000", " lead", "trail "])
    assert sync(warehouse) == SyncProgress(new=1, without_id=4, unusable=6)
    assert sync(warehouse) == SyncProgress(known=1, without_id=4, unusable=6)
    assert mapped(warehouse) == [row("a", OLD)]


def test_spellings_of_one_id_have_one_pseudonym(warehouse: Warehouse, put: Callable[..., None]) -> None:
    spellings = ["A@x", " A@x ", "a@x"]
    put(spellings)

    assert sync(warehouse, subject_form=("trim", "lower")) == SyncProgress(new=3)
    assert [found[0] for found in mapped(warehouse)] == sorted(spellings)
    assert {found[1:] for found in mapped(warehouse)} == {row("a@x", OLD)[1:]}


def test_a_new_key_keeps_the_person(warehouse: Warehouse, put: Callable[..., None]) -> None:
    put(["a", "b"])
    sync(warehouse)
    put(["c"])
    assert sync(warehouse, NEW) == SyncProgress(new=3)
    assert sync(warehouse, NEW) == SyncProgress(known=3)
    third = PseudonymKey(b"3" * 32)
    assert sync(warehouse, third) == SyncProgress(new=3)
    wanted = [row(each, key, OLD) for each in "ab" for key in (OLD, NEW, third)]
    assert set(mapped(warehouse)) == {*wanted, row("c", NEW), row("c", third, NEW)}


def test_an_interrupted_run_adds_nothing(
    warehouse: Warehouse, put: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"customer-{number:02}" for number in range(10)]
    put(ids)
    load = warehouse.client.load_table_from_file
    parts = iter(range(10))

    def stop(*arguments: Any, **options: Any) -> Any:
        if next(parts) == 2:
            raise KeyboardInterrupt
        return load(*arguments, **options)

    monkeypatch.setattr(subjects, "LOAD_ROWS", 3)
    with monkeypatch.context() as patched:
        patched.setattr(warehouse.client, "load_table_from_file", stop)
        with pytest.raises(KeyboardInterrupt):
            sync(warehouse)
    assert mapped(warehouse) == []
    assert tables(warehouse) == ["subject_map_v1"]

    assert sync(warehouse) == SyncProgress(new=10)
    assert mapped(warehouse) == [row(each, OLD) for each in ids]


def test_a_run_sends_two_statements_however_many_customers_are_new(
    warehouse: Warehouse, put: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put([f"customer-{number:02}" for number in range(20)])
    sent, query = [], warehouse.client.query

    def watched(statement: str, **options: Any) -> bigquery.QueryJob:
        job = query(statement, **options)  # raises Conflict if an earlier test's job in this warehouse has its id
        if not options["job_config"].dry_run:
            sent.append(statement)
        return job

    monkeypatch.setattr(subjects, "LOAD_ROWS", 3)
    monkeypatch.setattr(warehouse.client, "query", watched)
    sync(warehouse)
    assert ["MERGE" in statement for statement in sent] == [False, True]


@pytest.mark.parametrize("other", [OLD, NEW], ids=["same key", "another key"])
def test_two_simultaneous_runs_add_each_row_once_and_agree_on_the_person(
    warehouse: Warehouse, put: Callable[..., None], monkeypatch: pytest.MonkeyPatch, other: PseudonymKey
) -> None:
    put(["a", "b"])
    beside = replace(warehouse)

    def another(number: int) -> None:
        if number == 1:
            sync(beside, other)

    before_merge(warehouse, monkeypatch, another)
    assert sync(warehouse) == (SyncProgress(known=2) if other is OLD else SyncProgress(new=2))
    assert set(mapped(beside)) == {row(each, key, other) for each in "ab" for key in (OLD, other)}


def test_a_run_that_cannot_see_whether_another_account_has_finished_adds_nothing(
    warehouse: Warehouse, put: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(["a"])
    monkeypatch.setattr(Warehouse, "run_in_turn", lambda *_: None)
    with pytest.raises(Unavailable, match="Another account fills the subject map"):
        sync(warehouse)
    assert mapped(warehouse) == []


def test_the_worklist_of_a_killed_run_is_deleted(
    warehouse: Warehouse, put: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(["a"])
    for name in ("subject_sync_left", "mine"):
        warehouse.query(f"CREATE TABLE {warehouse.config.subjects}.{name} AS SELECT 'a' AS customer_id")
    sync(warehouse)
    assert "subject_sync_left" in tables(warehouse)  # may be of a run that goes on
    monkeypatch.setattr(subjects, "_LIFETIME", timedelta(0))
    sync(warehouse)
    assert sorted(tables(warehouse)) == ["mine", "subject_map_v1"]


def test_no_statement_contains_an_id(
    warehouse: Warehouse, put: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put([f"{SECRET}-{number}" for number in range(1001)])
    jobs, call = [], warehouse.client._call_api

    def watched(*arguments: Any, **options: Any) -> Any:
        jobs.append(json.dumps(options.get("data") or {}, default=str))
        return call(*arguments, **options)

    monkeypatch.setattr(warehouse.client, "_call_api", watched)
    assert sync(warehouse) == SyncProgress(new=1001)
    assert any("MERGE" in each for each in jobs)
    assert not any(SECRET in each or OLD.pseudonym(f"{SECRET}-0") in each for each in jobs)
    assert len({each[0] for each in mapped(warehouse)}) == 1001


MISTAKES = {
    "nowhere.id": r"no table nowhere: the dataset local-dev\.events_\d+ has .*account",
    "nowhere.account.id": "no table nowhere.account|does not show nowhere.account",
    "account.name": "The table account has no column name: it has id",
    "amount.total": r"The column amount\.total is FLOAT64, but customer ids are STRING or INT64",
    "embedding_event_v1.embedding": "is FLOAT64 REPEATED",
    "subject_map_v1.customer_id": "which is the table that a sync fills",
    "other.Subject_Map_v1.customer_id": "which is the table that a sync fills",
    "account": r"must be TABLE\.COLUMN or DATASET\.TABLE\.COLUMN",
    "account.id; DROP TABLE x": r"must be TABLE\.COLUMN",
    "account.id\n": r"must be TABLE\.COLUMN",
}


@pytest.mark.parametrize("source", MISTAKES)
def test_a_mistake_is_reported_in_one_sentence(warehouse: Warehouse, put: Callable[..., None], source: str) -> None:
    put([SECRET])
    put([1.5], pa.float64(), "amount", "total")
    with pytest.raises(UserError, match=MISTAKES[source]) as caught:
        sync(warehouse, source=source)
    message_of(caught.value)
    assert mapped(warehouse) == []


def test_an_error_of_bigquery_quotes_no_id(
    warehouse: Warehouse, put: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put([SECRET])
    warehouse.query("CREATE VIEW broken AS SELECT CAST(id AS INT64) AS id FROM account")
    with pytest.raises(UserError, match="BigQuery cannot read broken") as caught:
        sync(warehouse, source="broken.id")
    message_of(caught.value)

    def refuse(page: int) -> None:
        raise BadRequest(f"it quotes {SECRET}")

    before_merge(warehouse, monkeypatch, refuse)
    with pytest.raises(UserError, match="cannot be written: run the command again") as caught:
        sync(warehouse)
    message_of(caught.value)
    assert tables(warehouse) == ["subject_map_v1"]


def test_an_unavailable_warehouse_is_reported(
    warehouse: Warehouse, within: Callable[[float, Callable[[], object]], BaseException]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    away = replace(warehouse, emulator=Emulator(f"http://{address}", address), retry_seconds=1.0)
    assert "did not answer" in message_of(within(10, lambda: sync(away)))
