"""A job that is killed and run again loses nothing and repeats nothing."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rawless.connect import LOCAL_CONFIG
from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse
from tests.programs import Program
from tests.streams import ANY_ID

EVENTS = 6_000
LIMIT_SECONDS = 120


@pytest.mark.full
def test_a_job_that_is_killed_twice_and_then_completes_loses_and_repeats_nothing(
    stack: Stack, tmp_path: Path, write_events: Callable[..., Path], tiny_file: Path
) -> None:
    stream = tmp_path / "stream.yaml"
    stream.write_text(
        yaml.safe_dump(
            {
                "stream": "killed",
                "modality": "text",
                "encoders": [str(tiny_file)],
                "event_id": ANY_ID,
            }
        )
    )
    events = [
        {"event_id": f"e-{number:04d}", "stream": "killed", "text": f"Message {number}. " + "Some words. " * 8}
        for number in range(EVENTS)
    ]
    source = write_events(*events, b"garbage", {"stream": "killed", "text": ""})
    warehouse = Warehouse(LOCAL_CONFIG, stack.bigquery)
    warehouse.ensure()
    command = [
        "ingest",
        "--stream",
        str(stream),
        "--source",
        f"jsonl:{source}",
        "--json",
    ]

    for _ in range(2):
        _kill_once_it_writes(command, warehouse)
    out, _ = Program(*command).communicate(timeout=LIMIT_SECONDS)

    assert json.loads(out)["read"] == EVENTS + 2
    seen = warehouse.query(
        "SELECT event_id FROM events.embedding_event(TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01') "
        "WHERE stream = 'killed' ORDER BY event_id"
    )
    assert [row["event_id"] for row in seen] == [f"e-{number:04d}" for number in range(EVENTS)]
    assert _count(warehouse) > EVENTS  # the killed runs had written rows: this test is not about an empty table
    rejected = warehouse.query(
        "SELECT reason FROM events.rejection(TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01') "
        "WHERE stream = 'killed' ORDER BY reason"
    )
    assert [row["reason"] for row in rejected] == ["empty_text", "malformed_event"]


def _kill_once_it_writes(command: list[str], warehouse: Warehouse) -> None:
    before = _count(warehouse)
    process = Program(*command)
    limit = time.monotonic() + LIMIT_SECONDS
    try:
        while _count(warehouse) == before and time.monotonic() < limit:
            if process.ends_within(0.1):
                break
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL, "the job ended, or wrote nothing, before it could be killed"


def _count(warehouse: Warehouse) -> Any:
    return warehouse.query("SELECT COUNT(*) AS n FROM embedding_event_v1 WHERE stream = 'killed'")[0]["n"]
