"""Promise 1 for rows: a marker in any column of a Parquet file or table is found nowhere afterwards."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from encoders.spec import EncoderSpec
from pipelines.ingest import Ingest
from rawless.audit.search import Trace
from rawless.events.columns import Columns
from rawless.events.source import BoundedSource, TableDescription
from rawless.events.sources import open_bounded_source
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse

MARKER = "Rosalind-0815-Quibble-Zanzibar"
TEXT = f"{MARKER} is my name."
AT = (datetime.now(UTC) - timedelta(days=1)).isoformat()
EVENT = {"event_id": "e", "occurred_at": AT, "stream": "message", "subject_id": "customer", "text": TEXT}
EVENTS: list[dict[str, Any]] = [
    EVENT,
    {**EVENT, "subject_id": MARKER, "channel": MARKER},
    {**EVENT, "event_id": f"id {MARKER}"},
    {**EVENT, "event_id": None, "other": MARKER},
    {**EVENT, "occurred_at": MARKER},
    {**EVENT, "stream": MARKER},
    {**EVENT, "text": TEXT * 100},
    {**EVENT, "text": f"{TEXT}\0"},
    {**EVENT, "payload": TEXT.encode()},
    {**EVENT, "text": None, "payload": b"\xff" + TEXT.encode()},
    {**EVENT, "text": None, "uri": f"gs://{MARKER}/{MARKER}"},
    {**EVENT, "text": None, "payload_base64": MARKER},
]


def _table() -> pa.Table:
    table = pa.Table.from_pylist(EVENTS, pa.schema([pa.field(name, _type(name)) for name in _names()]))
    content = [(each["text"] or "").encode() for each in EVENTS]
    content[0] = b"\xff" + MARKER.encode()  # not valid UTF-8
    unchecked = pa.Array.from_buffers(pa.string(), len(content), pa.array(content, pa.binary()).buffers())
    return pa.concat_tables([table, table.set_column(table.schema.get_field_index("text"), "text", unchecked)])


def _names() -> list[str]:
    return [*EVENT, "payload", "payload_base64", "uri", "channel", "other", MARKER]


def _type(name: str) -> pa.DataType:
    return pa.binary() if name == "payload" else pa.string()


@dataclass(frozen=True)
class _Held:
    """Tables in memory: those of the local BigQuery are where the marker is looked for."""

    def full_id(self, name: str) -> str:
        return name

    def describe(self, _: str) -> TableDescription:
        return TableDescription("TABLE", _table().schema, 0, 0)

    def open_streams(self, _: str, columns: Sequence[str], at_least: int) -> list[str]:
        return ["only"]

    def read_stream(self, _: str) -> Iterator[pa.RecordBatch]:
        yield from _table().drop_columns(["other", MARKER]).to_batches(max_chunksize=5)

    def only_here(self) -> bool:
        return True


@pytest.fixture(params=["parquet", "bigquery"])
def source(request: pytest.FixtureRequest, tmp_path: Path, stream: Stream) -> BoundedSource:
    """A source whose rows have the marker everywhere."""
    if request.param == "bigquery":
        return open_bounded_source("bigquery:d.t", stream, tables=_Held)
    pq.write_table(_table(), tmp_path / "events.parquet", row_group_size=7)
    return open_bounded_source(f"parquet:{tmp_path}/*.parquet", stream)


@pytest.fixture
def run(
    source: BoundedSource,
    key: KeySource,
    stream: Stream,
    warehouse: Warehouse,
    searched: Callable[..., set[Trace]],
    tiny_sealed: EncoderSpec,
) -> Callable[[], set[Trace]]:
    """Runs the job over the source and returns the traces of the marker."""
    job = Ingest(stream, source, (tiny_sealed,), key, warehouse, "cpu")
    return lambda: searched(job, [MARKER.encode()])


def test_no_marker_escapes_from_rows(run: Callable[[], set[Trace]], warehouse: Warehouse) -> None:
    assert run() == set()
    (rows,) = warehouse.query("SELECT COUNT(*) AS n, COUNTIF(reason = 'internal') AS internal FROM rejection_v1")
    (embedded,) = warehouse.query("SELECT COUNT(*) AS n FROM embedding_event_v1")
    assert rows["n"] + embedded["n"] == 2 * len(EVENTS)
    assert embedded["n"] == 3
    assert rows["internal"] == 0


def test_no_marker_escapes_from_a_reader_that_raises(
    run: Callable[[], set[Trace]],
    monkeypatch: pytest.MonkeyPatch,
    talkative: Callable[[str], Any],
    warehouse: Warehouse,
) -> None:
    monkeypatch.setattr(Columns, "_fields", talkative(MARKER))
    assert run() == set()
    assert warehouse.query("SELECT DISTINCT reason FROM rejection_v1") == [{"reason": "internal"}]


def test_no_marker_escapes_from_a_step_that_does_not_handle_its_error(
    run: Callable[[], set[Trace]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*arguments: Any) -> Any:
        raise KeyError(arguments)

    monkeypatch.setattr(Columns, "deliveries", raises)
    assert run() == set()
