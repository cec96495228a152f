"""Complete jobs over objects in a bucket, in one process and in several."""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from encoders.spec import EncoderSpec
from rawless.events.sources import open_source
from rawless.events.stream import Stream
from tests.object_server import Store

OBJECTS = 50
Ingested = Callable[..., dict[str, Any]]
Rows = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def fifty_objects(store: Store) -> Iterator[str]:
    """The source of fifty compressed objects with four events each, of which the last one also has two bad lines."""
    now = datetime.now(UTC).isoformat()
    common = {"stream": "message", "occurred_at": now, "subject_id": "Rosalind"}
    for number in range(OBJECTS):
        events = [{**common, "event_id": f"e-{4 * number + each:03}", "text": "A text."} for each in range(4)]
        lines = [json.dumps(event) for event in events]
        if number == OBJECTS - 1:
            lines += ["garbage", json.dumps({**common, "event_id": "empty", "text": ""})]
        store.put(f"2026/{number:02}-Rosalind.jsonl.gz", gzip.compress("\n".join(lines).encode()))
    return "gs://bucket/2026/*.jsonl.gz"


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("processes", [1, pytest.param(4, marks=pytest.mark.full)])
def test_fifty_objects_are_ingested_whole_and_a_bad_line_can_be_found(
    processes: int,
    fifty_objects: str,
    ingest: Ingested,
    embeddings: Rows,
    rejections: Rows,
    tiny_sealed: EncoderSpec,
    store: Store,
) -> None:
    several = (f"--direct_num_workers={processes}", "--direct_running_mode=multi_processing")
    beam = several if processes > 1 else ()
    summary = ingest(fifty_objects, *beam, encoders=(tiny_sealed,))

    assert [row["event_id"] for row in embeddings()] == [f"e-{number:03}" for number in range(4 * OBJECTS)]
    assert (summary["read"], summary["embeddings"]) == (4 * OBJECTS + 2, 4 * OBJECTS)
    last = gzip.decompress(store.objects[f"bucket/2026/{OBJECTS - 1}-Rosalind.jsonl.gz"].content)
    found = {row["reason"]: row["message_id"].split(":") for row in rejections()}
    assert found.keys() == {"malformed_event", "empty_text"}
    for reason, (position, offset) in found.items():
        assert int(position) == OBJECTS
        assert last[int(offset) :].startswith({"malformed_event": b"garbage\n", "empty_text": b'{"stream"'}[reason])


def test_objects_with_csv_files_are_ingested_whole_and_each_is_accounted_for(
    store: Store, stream: Stream, ingest: Ingested, embeddings: Rows, rejections: Rows, tiny_sealed: EncoderSpec
) -> None:
    now = datetime.now(UTC).isoformat()
    for number in range(20):
        store.put(f"notes/{number:02}-Rosalind.txt", b"A text.", media_status=[403 if number == 7 else 200])
    for part in range(2):
        rows = [f"{number:02}-Rosalind.txt,e-{number:02},{now},Rosalind" for number in range(part, 19, 2)]
        lines = ["file,event_id,occurred_at,subject_id", *rows, f"none.txt,none-{part},{now},Rosalind"]
        store.put(f"lists/{part}.csv", "\n".join(lines).encode())
    source = open_source("files:gs://bucket/notes/*.txt", stream, "gs://bucket/lists/*.csv")

    summary = ingest("gs://bucket/notes/*.txt", source=source, encoders=(tiny_sealed,))

    embedded = [number for number in range(19) if number != 7]
    assert [row["event_id"] for row in embeddings()] == [f"e-{number:02}" for number in embedded]
    assert summary["read"] == 22
    assert {(row["message_id"], row["event_id"], row["reason"]) for row in rejections()} == {
        ("1:12", "none-0", "object_not_found"),
        ("2:5", "e-07", "object_unreadable"),
        ("2:11", "none-1", "object_not_found"),
        ("file-1", None, "missing_event_id"),
    }
