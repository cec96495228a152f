"""How much a source has is known before it is read, or not told."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rawless.events.file_set import FileSet
from rawless.events.source import read_all
from rawless.events.source_total import Total, total_of
from rawless.events.sources import open_bounded_source
from rawless.events.sources.jsonl import JsonlFiles
from rawless.events.stream import Stream
from tests.streams import ANY_ID

LINES = [json.dumps({"event_id": f"e-{number}", "text": "where is my parcel?" * number}) for number in range(9)]
STREAM = Stream.model_validate(
    {"stream": "message", "modality": "text", "encoders": ["minilm@1.0.0"], "event_id": ANY_ID, "subject": "none"}
)


def total(location: str, metadata: str | None = None) -> Total | None:
    return total_of(open_bounded_source(location, STREAM, metadata, 10_000))


def test_the_total_of_lines_is_the_sum_of_what_is_delivered(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("\n".join([*LINES, ""]))
    one = open_bounded_source(f"jsonl:{tmp_path}/a.jsonl", STREAM, None, 10_000)
    delivered = sum(delivery.size for delivery in read_all(one))
    assert total_of(one) == (delivered, "bytes")
    assert total(f"jsonl:{tmp_path}/*.jsonl") == (2 * delivered, "bytes")


def test_the_total_of_compressed_lines_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(gzip.compress("\n".join(LINES).encode()))  # whatever its name says
    assert total(f"jsonl:{tmp_path}/a.jsonl") is None
    assert total(f"jsonl:{tmp_path}/*.jsonl") is None


def test_the_total_of_parquet_files_is_their_rows(tmp_path: Path) -> None:
    rows = pa.table({"event_id": ["e-1", "e-2"], "occurred_at": ["2026-11-20T10:00:00Z"] * 2, "text": ["a", "b"]})
    for name in ("a", "b"):
        pq.write_table(rows, tmp_path / f"{name}.parquet")
    source = open_bounded_source(f"parquet:{tmp_path}/*.parquet", STREAM, None, 10_000)
    assert total_of(source) == (4, "events") == (len([*read_all(source)]), "events")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    assert total_of(source) is None


def test_a_file_that_is_gone_has_no_total(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(LINES[0])
    source = open_bounded_source(f"jsonl:{tmp_path}/a.jsonl", STREAM, None, 10_000)
    (tmp_path / "a.jsonl").unlink()
    assert total_of(source) is None


def test_objects_in_a_bucket_are_not_listed_for_their_total() -> None:
    assert total_of(JsonlFiles(FileSet("gs://bucket/*.jsonl"), 10_000)) is None
