"""Statements with one key run one after another, whichever process sends them: BigQuery accepts an id of a job once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NoReturn

import pytest
from google.api_core.exceptions import Conflict, Forbidden
from google.cloud import bigquery

from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters

ONCE = (
    "INSERT INTO stream_pointer_v1 (stream, role, encoder_fingerprint, since) "
    "SELECT 'message', 'live', @by, TIMESTAMP '2026-01-01' FROM (SELECT 1 AS only_once) AS once "
    "WHERE NOT EXISTS (SELECT 1 FROM stream_pointer_v1 AS pointer WHERE pointer.stream = 'message')"
)


@pytest.fixture
def insert(warehouse: Warehouse) -> Callable[..., bigquery.QueryJob | None]:
    """Insert the row unless it exists, with a key of this test."""
    key = warehouse.table_id("stream_pointer_v1")

    def run(by: str, within: Warehouse = warehouse) -> bigquery.QueryJob | None:
        return within.run_in_turn(key, ONCE, parameters({"by": by}))

    return run


def written(warehouse: Warehouse) -> list[str]:
    return [row["encoder_fingerprint"] for row in warehouse.query("SELECT * FROM stream_pointer_v1")]


def test_of_racing_processes_one_inserts_the_row(
    warehouse: Warehouse, insert: Callable[..., bigquery.QueryJob | None]
) -> None:
    racers = [f"racer-{number}" for number in range(4)]
    together = threading.Barrier(len(racers))

    def race(by: str) -> bigquery.QueryJob:
        beside = replace(warehouse)  # has a client of its own
        assert beside.client
        together.wait()
        job = insert(by, beside)
        assert job is not None
        return job

    with ThreadPoolExecutor(len(racers)) as pool:
        jobs = dict(zip(racers, pool.map(race, racers), strict=True))

    assert written(warehouse) == [by for by, job in jobs.items() if job.num_dml_affected_rows]
    assert sorted(job.job_id.rpartition("-")[2] for job in jobs.values()) == ["1", "2", "3", "4"]


def test_a_statement_is_sent_when_the_one_before_has_ended(
    warehouse: Warehouse, insert: Callable[..., bigquery.QueryJob | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    insert("first")
    get_job, query = warehouse.client.get_job, warehouse.client.query
    waited, ended, sent = threading.Event(), threading.Event(), []

    def get_running_job(job_id: str, **options: Any) -> bigquery.QueryJob:
        job = get_job(job_id, **options)

        def wait(**_: Any) -> None:
            waited.set()
            ended.wait(10)

        monkeypatch.setattr(job, "exception", wait)
        return job

    def watched(statement: str, **options: Any) -> bigquery.QueryJob:
        sent.append(str(options.get("job_id")).rpartition("-")[2])
        return query(statement, **options)

    monkeypatch.setattr(warehouse.client, "get_job", get_running_job)
    monkeypatch.setattr(warehouse.client, "query", watched)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(insert, "second")
        assert waited.wait(10)
        assert sent[-1] == "1"
        ended.set()
        job = second.result()
    assert sent[-1] == "2"
    assert job is not None
    assert job.num_dml_affected_rows == 0


def test_a_statement_whose_answer_was_lost_is_not_sent_again(
    warehouse: Warehouse, insert: Callable[..., bigquery.QueryJob | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = warehouse.client.query

    def lose_answer(statement: str, **options: Any) -> bigquery.QueryJob:
        job = query(statement, **options)
        if "job_id" in options:
            raise Conflict("the client sent its request again, and the job exists")
        return job

    monkeypatch.setattr(warehouse.client, "query", lose_answer)
    job = insert("first")
    assert job is not None
    assert job.num_dml_affected_rows == 1
    assert written(warehouse) == ["first"]


def test_a_statement_runs_after_one_that_failed(
    warehouse: Warehouse, insert: Callable[..., bigquery.QueryJob | None]
) -> None:
    key = warehouse.table_id("stream_pointer_v1")
    with pytest.raises(UserError, match="BigQuery refused the query"):
        warehouse.run_in_turn(key, "SELECT CAST(@by AS INT64) AS number", parameters({"by": "x"}))
    job = insert("second")
    assert job is not None
    assert job.num_dml_affected_rows == 1


def test_a_job_of_another_account_may_still_run(
    warehouse: Warehouse, insert: Callable[..., bigquery.QueryJob | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    insert("first")

    def refuse(*_: object, **__: object) -> NoReturn:
        raise Forbidden("the account lacks bigquery.jobs.get")

    monkeypatch.setattr(warehouse.client, "get_job", refuse)
    assert insert("second") is None
    assert written(warehouse) == ["first"]


def test_the_local_bigquery_runs_an_id_once(warehouse: Warehouse) -> None:
    warehouse.client.query("SELECT 1", job_id=warehouse.config.events, job_retry=None).result()
    with pytest.raises(Conflict):
        warehouse.client.query("SELECT 2", job_id=warehouse.config.events, job_retry=None)
