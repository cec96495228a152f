"""Whole jobs over Parquet in a bucket and over a table of BigQuery."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from encoders.spec import EncoderSpec
from pipelines import options
from pipelines.ingest import Ingest
from pipelines.run import run
from rawless.errors import UserError
from rawless.events.sources import open_source
from rawless.events.stream import Stream
from rawless.warehouse.client import Warehouse
from rawless.warehouse.table_streams import Tables
from tests.conftest import event
from tests.object_server import Store

Rows = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def ingest_from(
    job: Callable[..., Ingest], write_events: Callable[..., Path], stream: Stream, warehouse: Warehouse,
    tiny_sealed: EncoderSpec,
) -> Callable[[str], dict[str, Any]]:  # fmt: skip
    """Returns a function that runs a job over a source and returns its summary."""

    def go(source: str) -> dict[str, Any]:
        opened = open_source(source, stream, tables=lambda: Tables(warehouse))
        made = replace(job(write_events({})), source=opened, encoders=(tiny_sealed,))
        return run(made, options.parse([]), time.monotonic())

    return go


def _parquet(*events: dict[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(events)), sink)
    return sink.getvalue().to_pybytes()


def test_parquet_files_in_a_bucket_become_rows(
    store: Store, ingest_from: Callable[[str], dict[str, Any]], embeddings: Rows, warehouse: Warehouse
) -> None:
    for number in range(3):
        events = [event(event_id=f"e{number}-{row}", channel="chat", other=1) for row in range(4)]
        store.put(f"2026/part-{number}.parquet", _parquet(*events))
    store.put("2026/part-3.parquet", _parquet(event(event_id="no id")))

    summary = ingest_from("parquet:gs://bucket/2026/*.parquet")

    assert (summary["read"], summary["rejections"], summary["dropped_attributes"]) == (13, {"bad_event_id": 1}, 12)
    found = embeddings()
    assert [row["event_id"] for row in found] == [f"e{number}-{row}" for number in range(3) for row in range(4)]
    assert {row["attributes"][0]["value"] for row in found} == {"chat"}
    assert warehouse.query("SELECT message_id FROM rejection_v1") == [{"message_id": "4:1"}]


def test_a_later_file_with_other_columns_ends_the_job_with_one_sentence(
    store: Store, ingest_from: Callable[[str], dict[str, Any]]
) -> None:
    store.put("a.parquet", _parquet(event()))
    store.put("b.parquet", _parquet(event(occurred_at=1.5)))

    with pytest.raises(UserError, match=r"^--source names file 2 of gs://.*, but its column occurred_at is"):
        ingest_from("parquet:gs://bucket/*.parquet")


def test_the_rows_of_a_table_and_the_objects_that_they_name_become_rows(
    store: Store, ingest_from: Callable[[str], dict[str, Any]], embeddings: Rows, warehouse: Warehouse, stream: Stream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(stream.__dict__, "uri_prefixes", ("gs://bucket/",))
    store.put("1.txt", b"the first")
    warehouse.query(
        f"CREATE TABLE `{warehouse.config.events}.uploads` AS SELECT CONCAT('e', CAST(n AS STRING)) AS event_id, "
        "CURRENT_TIMESTAMP() AS occurred_at, n AS subject_id, "
        "IF(n = 3, NULL, CONCAT('gs://bucket/', CAST(n AS STRING), '.txt')) AS uri, IF(n = 3, 'inline', NULL) AS text "
        "FROM UNNEST(GENERATE_ARRAY(1, 3)) AS n"
    )

    summary = ingest_from(f"bigquery:{warehouse.config.events}.uploads")

    assert (summary["read"], summary["rejections"]) == (3, {"object_not_found": 1})
    assert [row["event_id"] for row in embeddings()] == ["e1", "e3"]
