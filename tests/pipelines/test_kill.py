"""A job that is killed and run again loses nothing and repeats nothing."""

import gzip
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse
from tests.object_server import Store
from tests.programs import Program
from tests.stored import count_rows
from tests.streams import ANY_ID

EVENTS = 6_000
LIMIT_SECONDS = 120


@pytest.mark.full
@pytest.mark.parametrize("place", ["here", "bucket"])
def test_a_job_that_is_killed_twice_and_then_completes_loses_and_repeats_nothing(
    place: str, stack: Stack, tmp_path: Path, write_events: Callable[..., Path], tiny_file: Path, store: Store
) -> None:
    name = f"killed_{place}"
    stream = tmp_path / "stream.yaml"
    stream.write_text(
        yaml.safe_dump(
            {
                "stream": name,
                "modality": "text",
                "encoders": [str(tiny_file)],
                "event_id": ANY_ID,
            }
        )
    )
    events = [
        {"event_id": f"e-{number:04d}", "stream": name, "text": f"Message {number}. " + "Some words. " * 8}
        for number in range(EVENTS)
    ]
    path = write_events(*events, b"garbage", {"stream": name, "text": ""})
    source = f"jsonl:{path}"
    if place == "bucket":
        lines = path.read_bytes().splitlines(keepends=True)
        for start in range(0, len(lines), 200):
            store.put(f"2026/{start:05}.jsonl.gz", gzip.compress(b"".join(lines[start : start + 200])))
        source = "jsonl:gs://bucket/2026/*.jsonl.gz"
    warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    warehouse.ensure()
    command = [
        "ingest",
        "--stream",
        str(stream),
        "--source",
        source,
        "--json",
    ]

    for _ in range(2):
        _kill_once_it_writes(command, warehouse, name)
    out, _ = Program(*command).communicate(timeout=LIMIT_SECONDS)

    assert json.loads(out)["read"] == EVENTS + 2
    seen = warehouse.query(
        "SELECT event_id FROM events.embedding_event(TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01') "
        f"WHERE stream = '{name}' ORDER BY event_id"
    )
    assert [row["event_id"] for row in seen] == [f"e-{number:04d}" for number in range(EVENTS)]
    assert count_rows(warehouse, name) > EVENTS  # rows of the killed runs: the test is not about an empty table
    rejected = warehouse.query(
        "SELECT reason FROM events.rejection(TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01') "
        f"WHERE stream = '{name}' ORDER BY reason"
    )
    assert [row["reason"] for row in rejected] == ["empty_text", "malformed_event"]


def _kill_once_it_writes(command: list[str], warehouse: Warehouse, stream: str) -> None:
    before = count_rows(warehouse, stream)
    process = Program(*command)
    limit = time.monotonic() + LIMIT_SECONDS
    try:
        while count_rows(warehouse, stream) == before and time.monotonic() < limit:
            if process.ends_within(0.1):
                break
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL, "the job ended, or wrote nothing, before it could be killed"
