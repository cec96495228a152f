"""What `rawless ingest --metrics-port` tells Prometheus: what its events cost, and nothing of what they are."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.launch import PreparedJob

Rawless = Callable[..., Any]
MARKER = "rosalind-0815-quibble"


def test_the_metrics_of_a_job_count_its_events_and_have_no_trace_of_them(
    rawless: Rawless, stream_file: Path, write_events: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    events = write_events(
        {"event_id": f"{MARKER}-1", "text": MARKER, "attributes": {MARKER: MARKER}},
        {"event_id": f"{MARKER}-2", "text": " ", "subject_id": MARKER},
        {"event_id": f"{MARKER}-3", "uri": f"gs://{MARKER}/{MARKER}", "text": None},
        MARKER.encode(),
    )
    exposed: list[str] = []
    run = PreparedJob.run

    def scraped(self: PreparedJob) -> dict[str, Any]:
        before = _get(port, "/metrics")
        summary = run(self)
        exposed.extend([before, _get(port, "/metrics")])
        return summary

    monkeypatch.setattr(PreparedJob, "run", scraped)
    port = _free_port()
    done = rawless("ingest", "--stream", stream_file, "--source", f"jsonl:{events}", "--metrics-port", port, "--json")

    assert done.code == 0
    assert f"Metrics are at http://127.0.0.1:{port}/metrics." in done.err.splitlines()
    before, after = exposed
    for series, more in {
        "rawless_read_total": 4,
        'rawless_embeddings_total{encoder="minilm@1.0.0"}': 1,
        'rawless_rejected_total{encoder="minilm@1.0.0",reason="empty_text",stage="encode"}': 1,
        'rawless_rejected_total{encoder="",reason="malformed_event",stage="read"}': 1,
        'rawless_batch_items_sum{encoder="minilm@1.0.0"}': 1,
        'rawless_append_rows_sum{table="embedding_event_v1"}': 1,
        'rawless_append_rows_sum{table="rejection_v1"}': 3,
    }.items():
        assert _value(after, series) - _value(before, series) == more, series
    assert MARKER[:8] not in after.lower()
    with pytest.raises(httpx.ConnectError):
        _get(port, "/health")


def test_a_job_that_runs_elsewhere_serves_no_metrics(
    rawless: Rawless, stream_file: Path, write_events: Callable[..., Path]
) -> None:
    options = ("--", "--direct_running_mode=multi_processing", "--direct_num_workers=2")
    done = rawless(
        "ingest", "--stream", stream_file, "--source", f"jsonl:{write_events({})}", "--metrics-port", 0, *options
    )
    assert done.code == 2
    assert "--metrics-port is for jobs that run in this process, so leave it out" in done.err


def _get(port: int, path: str) -> str:
    answer = httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)
    assert answer.status_code == 200
    return answer.text


def _value(exposed: str, series: str) -> float:
    return next((float(line.split()[-1]) for line in exposed.splitlines() if line.startswith(f"{series} ")), 0.0)


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
